"""The API server is busy, broken, slow or gone, at every call: nothing is left behind.

What is covered where, for each fault that changes objects or nodes, in each of its labs (for those
that are done inside of pods see test_kubernetes_api_faults_in_pods.py):

- in each run: every call of an inject and of a revert fails once, all in one go, the kinds of
  failure taking turns; for two labs each single call in each way. And the server goes for good at
  every third call of an inject, and of a revert, and comes back; at every sixth where each takes a
  new pod. Which ones these are differs from lab to lab.
- in the long lane: each single call in each way, and the server goes for good at each call.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chaosrun.errors import Indeterminate, Transient
from chaosrun.providers.kubernetes import calls
from chaosrun.providers.kubernetes.api import Kubernetes
from tests.cluster.faults import WRONG, FaultyApi, always, at, each_once, gone_from
from tests.cluster.outside import outside, until
from tests.cluster.session import kubeconfig
from tests.cluster.streams import StreamingApi
from tests.contract.cluster_lab import ClusterLab
from tests.contract.labs import (
    kubernetes_http,
    kubernetes_nodes,
    kubernetes_objects,
    kubernetes_pods,
)
from tests.contract.labs.kubernetes_objects import ConfigMapLab
from tests.contract.labs.kubernetes_pods import PodKillLab, ScaleLab, scaled

LABS = [
    *kubernetes_pods.LABS,
    *kubernetes_nodes.LABS,
    *kubernetes_objects.LABS,
    *kubernetes_http.LABS,
]
ACTS = ("inject", "revert")
EVERY = 3
"""The default lane lets the server go at one call of so many."""


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[FaultyApi]:
    with StreamingApi(kubeconfig(), tmp_path) as api:
        yield api


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call that failed is made again at once: how often is tested here, and not how patiently."""
    monkeypatch.setattr(calls, "_FIRST_PAUSE", 0.01)


def through(lab: ClusterLab, api: FaultyApi) -> None:
    """Let the lab's client, and its plans, go through the server that fails."""
    os.environ["KUBECONFIG"] = str(api.kubeconfig)
    lab.client.close()
    lab.client = Kubernetes()


def of(kinds: list[Any]) -> list[Any]:
    """Labs by their names."""
    return [pytest.param(kind, id=kind.__name__) for kind in kinds]


@pytest.mark.parametrize("kind", of(LABS))
def test_every_call_may_fail_once(faulty: FaultyApi, hasty: None, kind: type[ClusterLab]) -> None:
    with kind() as lab:
        through(lab, faulty)
        before, fault, hold = lab.snapshot(), lab.kind(), lab.lease()
        shift = LABS.index(kind)
        with faulty.failing(each_once(shift)):
            fault.inject(hold, lab.client)
            assert faulty.requests
        lab.eventually(partial(lab.took_effect, hold), lambda e: e.seen, "seen")
        with faulty.failing(each_once(shift + 1)):
            fault.revert(hold, lab.client)
        as_before(lab, hold, before)
        lab.client.close()


def each_call(lab: ClusterLab, api: FaultyApi, act: str, wrong: str) -> None:
    """Each call of an act goes wrong in turn, and the act gets over it."""
    before, fault = lab.snapshot(), lab.kind()
    number, made = 0, 1
    while number < made:
        until(lab.whole, "the world should be whole")
        hold = lab.lease()
        if act == "revert":
            fault.inject(hold, lab.client)
        with api.failing(at(number, wrong)):
            getattr(fault, act)(hold, lab.client)
            made = len(api.requests)
        if act == "inject":
            lab.eventually(partial(lab.took_effect, hold), lambda e: e.seen, "seen")
            fault.revert(hold, lab.client)
        as_before(lab, hold, before)
        number += 1


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("kind", of([ConfigMapLab, PodKillLab]))
def test_one_failed_request_anywhere_changes_nothing(
    faulty: FaultyApi, hasty: None, kind: type[ClusterLab], wrong: str
) -> None:
    with kind() as lab:
        through(lab, faulty)
        for act in ACTS:
            each_call(lab, faulty, act, wrong)
        lab.client.close()


@pytest.mark.long
@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", of(LABS))
def test_one_failed_request_anywhere_changes_nothing_for_any_fault(
    faulty: FaultyApi, hasty: None, kind: type[ClusterLab], act: str, wrong: str
) -> None:
    with kind() as lab:
        through(lab, faulty)
        each_call(lab, faulty, act, wrong)
        lab.client.close()


def gone(kind: type[ClusterLab], api: FaultyApi, act: str, first: int, step: int) -> None:
    """The server goes in the middle of an act, at one call and then at another; and comes back."""
    with kind() as lab:
        through(lab, api)
        before, fault, number = lab.snapshot(), lab.kind(), first
        while True:
            until(lab.whole, "the world should be whole")
            hold, ended = lab.lease(), ""
            if act == "revert":
                fault.inject(hold, lab.client)
            with api.failing(gone_from(number)):
                try:
                    getattr(fault, act)(hold, lab.client)
                except (Transient, Indeterminate) as error:
                    ended = str(error)
                failed = list(api.failed)
            assert bool(ended) == bool(failed), f"{failed} and it says {ended!r}"
            fault.revert(hold, lab.client)
            as_before(lab, hold, before)
            if not failed:
                break
            number += step
        lab.client.close()


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", of(LABS))
def test_a_server_that_goes_in_the_middle_leaves_nothing_once_it_is_back(
    faulty: FaultyApi, hasty: None, kind: type[ClusterLab], act: str
) -> None:
    every = 2 * EVERY if kind.slow else EVERY  # a new pod for each
    gone(kind, faulty, act, LABS.index(kind) % every, every)


@pytest.mark.long
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("kind", of(LABS))
def test_a_server_that_goes_at_any_call_leaves_nothing_once_it_is_back(
    faulty: FaultyApi, hasty: None, kind: type[ClusterLab], act: str
) -> None:
    gone(kind, faulty, act, 0, 1)


def as_before(lab: ClusterLab, hold: Any, before: Any) -> None:
    lab.eventually(partial(lab.restored, hold), lambda e: e.seen, "restored")
    lab.eventually(lab.snapshot, lambda now: now == before, f"not as before: {before!r:.500}")


def test_an_api_server_that_is_always_broken_is_said_to_be_within_seconds(
    faulty: FaultyApi,
) -> None:
    with ScaleLab() as lab:
        through(lab, faulty)
        hold, before = lab.lease(), lab.snapshot()
        for wrong, said in (("broken", "etcd has no leader"), ("busy", "too many requests")):
            with faulty.failing(always(wrong)):
                began = time.monotonic()
                with pytest.raises((Transient, Indeterminate), match=said):
                    lab.kind().inject(hold, lab.client)
                assert time.monotonic() - began < 20
                assert 1 < len(faulty.requests) < 10
        lab.kind().revert(hold, lab.client)
        assert lab.snapshot() == before
        lab.client.close()


def test_a_controller_that_fights_back_is_noticed_and_told() -> None:
    import threading

    with ScaleLab() as lab:
        path, over = f"/apis/apps/v1/namespaces/{lab.place}/deployments/web", threading.Event()
        changed: list[Any] = []

        def fight() -> None:
            while not over.wait(0.05):
                if scaled(lab) != lab.replicas:
                    changed.append(outside().patch(path, {"spec": {"replicas": lab.replicas}}))

        fighter = threading.Thread(target=fight)
        fighter.start()
        try:
            hold = lab.lease()
            lab.kind().inject(hold, lab.client)
            until(lambda: changed, "the controller should fight")
            seen = lab.took_effect(hold)
            assert not seen.seen
            assert "somebody set it back" in seen.detail
            lab.kind().revert(hold, lab.client)
            lab.eventually(lambda: lab.restored(hold), lambda e: e.seen, "restored")
        finally:
            over.set()
            fighter.join()
