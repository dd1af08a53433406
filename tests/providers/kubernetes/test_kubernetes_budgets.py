"""What a disruption budget protects stays, and the evidence names the budget."""

from __future__ import annotations

from chaosrun.providers.kubernetes.pod_kill import PodKill
from chaosrun.units import JSON
from tests.cluster.objects import pods
from tests.cluster.outside import outside, until
from tests.contract.labs.kubernetes_nodes import DrainLab
from tests.contract.labs.kubernetes_pods import PodKillLab


def protect(place: str, least: int) -> str:
    """A budget that wants so many, once its controller has seen the pods."""
    path = f"/apis/policy/v1/namespaces/{place}/poddisruptionbudgets"
    spec = {"minAvailable": least, "selector": {"matchLabels": {"app": "web"}}}
    outside().apply(path, {
        "apiVersion": "policy/v1", "kind": "PodDisruptionBudget",
        "metadata": {"name": "protected"}, "spec": spec,
    })  # fmt: skip
    until(
        lambda: outside().get(f"{path}/protected").get("status", {}).get("currentHealthy"),
        "the budget should count",
    )
    return f"{path}/protected"


def uids(lab: PodKillLab | DrainLab) -> set[str]:
    return {one["metadata"]["uid"] for one in pods(lab.place, "web")}


def test_an_eviction_that_is_blocked_harms_nothing_and_is_told() -> None:
    with PodKillLab() as lab:
        path = protect(lab.place, 2)
        try:
            before, hold = uids(lab), lab.lease()
            PodKill.inject(hold, lab.client)
            assert uids(lab) == before
            seen = lab.took_effect(hold)
            assert not seen.seen
            assert "The disruption budget protected needs 2 healthy pods and has 2" in seen.detail
            assert lab.restored(hold).seen
        finally:
            outside().delete(path)


class AnywayLab(PodKillLab):
    """The same pods, past their budget."""

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.place, "selector": "app=web", "pick": "one"},
            "with": {"how": "delete", "gracePeriod": "0s"},
        }


def test_a_deletion_does_not_ask_the_budget() -> None:
    with AnywayLab() as lab:
        path = protect(lab.place, 2)
        try:
            before, hold = uids(lab), lab.lease()
            PodKill.inject(hold, lab.client)
            assert lab.took_effect(hold).seen
            lab.eventually(lambda: lab.restored(hold), lambda e: e.seen, "restored")
            assert len(uids(lab) & before) == 1
        finally:
            outside().delete(path)


class ImpatientLab(DrainLab):
    """A drain that does not wait for budgets."""

    def arguments(self) -> dict[str, JSON]:
        written = super().arguments()
        return {**written, "with": {**written["with"], "budgetWait": "0s"}}


def test_a_drain_closes_the_node_and_tells_what_stays() -> None:
    with ImpatientLab() as lab:
        path = protect(lab.place, 1)
        try:
            before, hold = uids(lab), lab.lease()
            lab.kind().inject(hold, lab.client)
            seen = lab.took_effect(hold)
            assert uids(lab) == before
            assert "1 of 1 nodes are closed" in seen.detail
            assert "disruption budget protected" in seen.detail
            lab.kind().revert(hold, lab.client)
            lab.eventually(lambda: lab.restored(hold), lambda e: e.seen, "restored")
        finally:
            outside().delete(path)
