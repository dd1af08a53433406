"""The API server fails while agents are sent into pods, and back: nothing is left behind.

Agents are asked and told by programs that the API server runs for us; that request is tried once,
so an act may fail, and stays owed: then a revert takes all of it away. Each fault has a pod of its
own, and some are done at once. What is covered where, for each of the ten faults:

- in each run: every call of an inject and of a revert fails once, all in one go, the kinds of
  failure taking turns, and each program that is run fails in each way. And the server goes for
  good at some call of an inject, and of a revert, and comes back: at two calls for each fault,
  which together are all that they make (but for later looks at the same list).
- in the long lane: each single call in each way, and the server goes for good at each call.

An agent that came into the pod, and was never told to begin, ends by itself within a minute.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest

from chaosrun.errors import Indeterminate, Transient
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import calls
from chaosrun.providers.kubernetes.kinds import labels_of
from chaosrun.providers.kubernetes.marks import LABEL, key
from tests.cluster.faults import WRONG, Fail, FaultyApi, at, each_once, gone_from
from tests.cluster.inside import make, whole
from tests.cluster.outside import Object, outside, until
from tests.cluster.session import kubeconfig
from tests.cluster.streams import StreamingApi
from tests.contract.labs.in_pods import LABS, InPodsLab

PLACE = "inside-api-faults"
ACTS = ("inject", "revert")
MADE = {"inject": 8, "revert": 9}
"""So many calls are different ones; the rest looks again whether an agent has begun, or ended."""
AT_ONCE = 4
World = tuple[InPodsLab, FaultyApi, int]


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[World]]:
    """A lab of each fault, the server that fails between it and the cluster, and its number."""
    directory, found = tmp_path_factory.mktemp("faulty"), []
    servers = [f"web-{number}" for number in range(len(LABS))]
    with contextlib.ExitStack() as stack:
        make(PLACE, *servers)
        until(lambda: whole(PLACE, *servers), f"{PLACE} should be whole", 120)
        for number, (kind, server) in enumerate(zip(LABS, servers, strict=True)):
            assert issubclass(kind, InPodsLab)
            api: FaultyApi = stack.enter_context(StreamingApi(kubeconfig(), directory))
            lab = kind(PLACE, server)
            lab.through = str(api.kubeconfig)
            found.append((stack.enter_context(lab), api, number))
        yield found


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that failed is made again at once: how often is tested here, and not how patiently."""
    monkeypatch.setattr(calls, "_FIRST_PAUSE", 0.01)


def all_at_once(worlds: list[World], act: Callable[[InPodsLab, FaultyApi, int], None]) -> None:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        done = [threads.submit(act, *world) for world in worlds]
    wrong = {}
    for (lab, _, _), each in zip(worlds, done, strict=True):
        if error := each.exception():
            wrong[type(lab).__name__] = f"{type(error).__name__}: {error}"
    assert not wrong, "\n".join(f"{name}: {said}" for name, said in wrong.items())


def test_every_call_may_fail_once(worlds: list[World]) -> None:
    def act(lab: InPodsLab, api: FaultyApi, number: int) -> None:
        before, fault, hold = lab.snapshot(), lab.kind(), lab.lease()
        with api.failing(each_once(number)):
            fault.inject(hold, lab.client)
            assert {said.partition(":")[0] for said in api.failed} == set(WRONG) - {"slow"}
        assert lab.took_effect(hold).seen
        with api.failing(each_once(number + 2)):
            fault.revert(hold, lab.client)
            assert any("/exec?" in said for said in api.failed)
        nothing_is_left(lab, hold, before)

    all_at_once(worlds, act)


@pytest.mark.parametrize("again", [0, 1])
@pytest.mark.parametrize("act", ACTS)
def test_a_server_that_goes_in_the_middle_leaves_nothing_once_it_is_back(
    worlds: list[World], act: str, again: int
) -> None:
    def go(lab: InPodsLab, api: FaultyApi, number: int) -> None:
        first = (number + again * (MADE[act] // 2)) % MADE[act]
        assert suffered(lab, api, act, gone_from(first))

    all_at_once(worlds, go)


@pytest.mark.long
@pytest.mark.parametrize("wrong", [*WRONG, "gone"])
@pytest.mark.parametrize("act", ACTS)
def test_a_failure_of_any_call_leaves_nothing(worlds: list[World], act: str, wrong: str) -> None:
    def go(lab: InPodsLab, api: FaultyApi, _number: int) -> None:
        first, failed = 0, True
        while failed:
            failed = suffered(
                lab, api, act, gone_from(first) if wrong == "gone" else at(first, wrong)
            )
            first += 1

    all_at_once(worlds, go)


def suffered(lab: InPodsLab, api: FaultyApi, act: str, fail: Fail) -> bool:
    """Do it while the server fails, and revert when it is back; whether a call went wrong."""
    before, fault, hold, ended = lab.snapshot(), lab.kind(), lab.lease(), ""
    if act == "revert":
        fault.inject(hold, lab.client)
    asked: list[str] = []
    with api.failing(lambda *call: asked.append(fail(*call)) or asked[-1]):  # type: ignore[func-returns-value]
        try:
            getattr(fault, act)(hold, lab.client)
        except (Transient, Indeterminate) as error:
            ended = str(error)
    if act == "inject" and not ended:
        assert lab.took_effect(hold).seen
    fault.revert(hold, lab.client)
    nothing_is_left(lab, hold, before)
    return any(asked)


def nothing_is_left(lab: InPodsLab, hold: Hold, before: Any) -> None:
    """It is as before, no helper is there and no mark, and no agent that was told to begin."""
    lab.eventually(partial(lab.restored, hold), lambda e: e.seen, "restored")
    lab.eventually(lab.snapshot, lambda now: now == before, f"not as before: {before!r:.300}")
    pod = lab.pod()
    assert LABEL not in labels_of(pod)
    assert key(hold) not in labels_of(pod)
    until(lambda: not helpers(hold), "no helper should be left")


def helpers(hold: Hold) -> list[Object]:
    path = f"/api/v1/namespaces/{PLACE}/pods?labelSelector=app.kubernetes.io/name=chaosrun-agent"
    return [one for one in outside().items(path) if key(hold) in labels_of(one)]
