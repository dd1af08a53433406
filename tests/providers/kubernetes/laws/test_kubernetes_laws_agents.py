"""Agents in pods whose runner's clock is wrong, that are killed, or whose node does not answer.

Law (L3): each ends in time, and what a killed one left is taken away by another. Law (L5): a node
that does not answer holds up no other.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chaosrun.codec import from_plain
from chaosrun.errors import Indeterminate, Refused, Transient
from chaosrun.fault import AnyFault, Hold
from chaosrun.providers.kubernetes import agent_orders, agent_pods, agent_states, agents, marks
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import POD, Ref
from chaosrun.providers.kubernetes.pods import Pods
from chaosrun.providers.kubernetes.press import Cpu
from chaosrun.targeting import Pick
from tests.cluster.inside import point
from tests.cluster.objects import template
from tests.cluster.outside import outside, until
from tests.providers.kubernetes.laws.changes import PLACE, given_back, planned

KILL = """
import os, signal, sys
from chaosrun.mechanisms.supervisor import holders
for each in holders()[sys.argv[1]]:
    os.kill(each.pid, signal.SIGKILL)
"""


@pytest.fixture
def busy(web: str) -> Iterator[Callable[..., AnyFault]]:
    """What keeps so many pods of the Deployment busy."""
    with contextlib.ExitStack() as cleanup:
        point(cleanup)
        yield lambda pick, by="ephemeral": from_plain(
            {"target": {"namespace": PLACE, "selector": "app=web", "pick": pick},
             "load": "5%", "cores": 1, "agent": {"by": by}},
            Cpu,
        )  # fmt: skip


def state_of(at: agents.At, hold: Hold, client: Kubernetes) -> str:
    return agent_states.Pods(hold, client).state(at, hold).word


def test_an_agent_ends_in_time_though_its_runners_clock_is_ahead(
    cluster: Kubernetes, busy: Callable[..., AnyFault], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = time.time
    monkeypatch.setattr(time, "time", lambda: right() + 600)
    fault = busy("one")
    hold = replace(planned(fault, cluster), deadline=time.time() + 45)
    type(fault).inject(hold, cluster)
    assert type(fault).took_effect(hold, cluster).seen
    (at,) = agents.agents(hold)
    until(lambda: state_of(at, hold, cluster) == "ended", "nobody tells it to end", 60)
    assert type(fault).restored(hold, cluster).seen
    type(fault).revert(hold, cluster)


def killed_in_place(cluster: Kubernetes, busy: Callable[..., AnyFault]) -> tuple[AnyFault, Hold]:
    """A fault that is done, and whose helper was killed."""
    fault = busy("one", "helper")
    hold = replace(planned(fault, cluster), deadline=time.time() + 120)
    type(fault).inject(hold, cluster)
    (at,) = agents.agents(hold)
    with contextlib.suppress(Indeterminate):  # it kills the one that was asked, and says nothing
        cluster.execute(
            Access(), at.pod, at.name, ["python3", "-c", KILL, at.errand.mark], within=20
        )
    until(lambda: state_of(at, hold, cluster) == "killed", "it should be killed")
    return fault, hold


def test_an_agent_that_fails_to_take_away_what_a_killed_one_left_is_followed_by_another(
    cluster: Kubernetes, busy: Callable[..., AnyFault], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault, hold = killed_in_place(cluster, busy)
    start = agent_pods.start
    with monkeypatch.context() as patched:
        patched.setattr(agent_pods, "start", lambda h, c, at, _: start(h, c, at, "no-such-word"))
        with pytest.raises(Indeterminate, match="left is there"):
            type(fault).revert(hold, cluster)
    assert not type(fault).restored(hold, cluster).seen
    given_back(fault, hold, cluster)


def test_a_node_that_does_not_answer_holds_up_no_other(
    cluster: Kubernetes, busy: Callable[..., AnyFault], monkeypatch: pytest.MonkeyPatch
) -> None:
    fault = busy("all")
    hold = replace(planned(fault, cluster), deadline=time.time() + 120)
    type(fault).inject(hold, cluster)
    silent, other = agents.agents(hold)
    heard = agent_orders.ask

    def ask(hold: Hold, client: Kubernetes, at: agents.At, word: str) -> Any:
        if at == silent:
            raise Transient("its node does not answer")
        return heard(hold, client, at, word)

    with monkeypatch.context() as patched:
        patched.setattr(agent_orders, "ask", ask)
        patched.setattr(agent_orders, "_ENDS_WITHIN", 20.0)
        with pytest.raises(Indeterminate, match=silent.target.label):
            type(fault).revert(hold, cluster)
    until(lambda: state_of(other, hold, cluster) == "ended", "the other should have ended", 20)
    assert state_of(silent, hold, cluster) == "running"
    given_back(fault, hold, cluster)


@pytest.fixture
def no_room(world: None) -> Iterator[Callable[[], None]]:
    """Pods without a wish of their own want more processors than there are; until it is called."""
    path = f"/api/v1/namespaces/{PLACE}/limitranges"
    limit = {"type": "Container", "defaultRequest": {"cpu": "1000"}, "default": {"cpu": "1000"}}
    outside().apply(path, {"metadata": {"name": "much"}, "spec": {"limits": [limit]}})
    until(_wish_is_given, "the limits should be known")

    def make_room() -> None:
        outside().delete(f"{path}/much")
        until(lambda: not _wish_is_given(), "the limits should be forgotten")

    yield make_room
    make_room()


def _wish_is_given() -> bool:
    """Whether a pod without a wish gets one: the API server reads of limits a moment later."""
    pod = template("plain")
    pod["metadata"]["name"] = "plain"
    made = outside().call("POST", f"/api/v1/namespaces/{PLACE}/pods?dryRun=All", pod)
    return "cpu" in made["spec"]["containers"][0]["resources"].get("requests", {})


def helpers() -> list[Any]:
    path = f"/api/v1/namespaces/{PLACE}/pods?labelSelector=app.kubernetes.io/name=chaosrun-agent"
    return outside().items(path)


def test_a_helper_that_its_node_turns_away_has_done_nothing_and_leaves_nothing(
    cluster: Kubernetes, busy: Callable[..., AnyFault], no_room: Callable[[], None]
) -> None:
    fault = busy("one", "helper")
    hold = replace(planned(fault, cluster), deadline=time.time() + 60)
    with pytest.raises(Refused, match="was turned away by the node: OutOfcpu"):
        type(fault).inject(hold, cluster)
    given_back(fault, hold, cluster)
    until(lambda: not helpers(), "no helper should be left")


def test_helpers_that_were_turned_away_are_no_end_of_taking_away(
    cluster: Kubernetes, busy: Callable[..., AnyFault], request: pytest.FixtureRequest
) -> None:
    fault, hold = killed_in_place(cluster, busy)
    make_room = request.getfixturevalue("no_room")
    for _ in range(3):
        with pytest.raises(Indeterminate, match="turned away by the node"):
            type(fault).revert(hold, cluster)
    assert not type(fault).restored(hold, cluster).seen
    make_room()
    given_back(fault, hold, cluster)
    until(lambda: not helpers(), "no helper should be left")


def test_a_pod_that_ends_while_it_is_harmed_keeps_no_mark(
    cluster: Kubernetes, busy: Callable[..., AnyFault]
) -> None:
    path = f"/api/v1/namespaces/{PLACE}/pods"
    pod = template("brief", command=["sh", "-c", "until [ -e /tmp/over ]; do sleep 1; done"])
    pod["spec"]["restartPolicy"] = "Never"
    outside().apply(path, {**pod, "metadata": {"name": "brief", **pod["metadata"]}})
    until(lambda: outside().get(f"{path}/brief")["status"]["phase"] == "Running", "it runs")
    fault = msgspec.structs.replace(
        busy("one"), target=Pods(namespace=PLACE, names=("brief",), pick=Pick("all"))
    )
    hold = replace(planned(fault, cluster), deadline=time.time() + 120)
    type(fault).inject(hold, cluster)
    with contextlib.suppress(Indeterminate):  # it says nothing
        ends = ["sh", "-c", "echo > /tmp/over"]
        cluster.execute(Access(), Ref(POD, "brief", PLACE), "main", ends, within=20)
    until(lambda: outside().get(f"{path}/brief")["status"]["phase"] == "Succeeded", "it ends", 60)
    assert not type(fault).restored(hold, cluster).seen
    given_back(fault, hold, cluster)
    assert not marks.borne(outside().get(f"{path}/brief"))
    outside().delete(f"{path}/brief")


@pytest.mark.parametrize(
    ("told", "reason", "word"),
    [
        ("2026-01-01T00:00:02Z", "OutOfpods", "ended"),
        ("2026-01-01T00:05:00Z", "OutOfpods", "killed"),  # by a kubelet that was restarted
        ("2026-01-01T00:00:02Z", "Evicted", "killed"),
    ],
)
def test_only_what_was_turned_away_at_once_never_ran(told: str, reason: str, word: str) -> None:
    found = agent_states._failed({
        "metadata": {
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "managedFields": [{"manager": "kubelet", "subresource": "status", "time": told}],
        },
        "status": {"phase": "Failed", "reason": reason, "message": "no room"},
    })  # fmt: skip
    assert found.word == word
