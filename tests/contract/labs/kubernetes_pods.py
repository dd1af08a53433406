"""Worlds of a real cluster: Deployments whose pods really run, and end."""

from __future__ import annotations

from chaosrun.fault import Hold
from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.cluster.objects import pods
from tests.cluster.outside import outside, until
from tests.contract.cluster_lab import ClusterLab


class PodKillLab(ClusterLab):
    """Three pods, of which one is evicted."""

    fault = "kubernetes.pod-kill"
    found_by_sweep = False  # a pod that is gone bears no mark

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.place, "selector": "app=web", "pick": "one"},
            "with": {"gracePeriod": "0s"},
        }


class PodForceLab(PodKillLab):
    """The same by force, and only of what a Deployment owns."""

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.place, "owner": "Deployment/web", "pick": "one"},
            "with": {"how": "force"},
        }


class NewPodLab(ClusterLab):
    """A new pod for each lease: the kubelet waits longer and longer with a container that ends
    again and again."""

    replicas = 1
    slow = ("a_failure_at_any_call_can_be_reverted",)

    def lease(self, *, seconds: float = 60.0) -> Hold:
        for pod in pods(self.place, self.app):
            outside().delete(f"/api/v1/namespaces/{self.place}/pods/{pod['metadata']['name']}")
        until(self.whole, f"{self.place} should be whole")
        return super().lease(seconds=seconds)


class ContainerKillLab(NewPodLab):
    """A container that is killed."""

    fault = "kubernetes.container-kill"
    found_by_sweep = False  # the mark is there for a moment only

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.place, "selector": "app=web", "pick": "one"},
            "with": {"container": "main"},
        }


class PodFailureLab(NewPodLab):
    """A pod that stops working."""

    fault = "kubernetes.pod-failure"

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"namespace": self.place, "selector": "app=web", "pick": "one"}}


class ScaleLab(ClusterLab):
    """A Deployment with one replica less."""

    fault = "kubernetes.scale"

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"namespace": self.place, "name": "web"}, "with": {"replicas": 1}}


def scaled(lab: ClusterLab) -> int:
    """The replicas that it is to have."""
    path = f"/apis/apps/v1/namespaces/{lab.place}/deployments/web"
    return int(outside().get(path)["spec"]["replicas"])


class RestartLab(ClusterLab):
    """A Deployment that replaces its pods."""

    fault = "kubernetes.rollout-restart"
    found_by_sweep = False  # nothing is to be taken back
    replicas = 1

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"namespace": self.place, "name": "web"}}


LABS: list[type[Lab]] = [
    PodKillLab,
    PodForceLab,
    ContainerKillLab,
    PodFailureLab,
    ScaleLab,
    RestartLab,
]
