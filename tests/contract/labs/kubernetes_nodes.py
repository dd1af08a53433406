"""Worlds of a real cluster: its nodes, and the pods that run on them."""

from __future__ import annotations

import contextlib

from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.cluster.objects import pods, worn
from tests.cluster.outside import outside
from tests.contract.cluster_lab import ClusterLab


class NodeLab(ClusterLab):
    """The node on which most pods of the Deployment run."""

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        names = [pod["spec"]["nodeName"] for pod in pods(self.place, self.app)]
        self.node = max(sorted(set(names)), key=names.count)
        found = outside().get(f"/api/v1/nodes/{self.node}")
        self.zone = found["metadata"]["labels"]["topology.kubernetes.io/zone"]

    def snapshot(self) -> JSON:
        return {
            one["metadata"]["name"]: [
                one["spec"].get("unschedulable", False),
                [t for t in one["spec"].get("taints", ()) if "kubernetes.io/" not in t["key"]],
                worn(one),
            ]
            for one in outside().items("/api/v1/nodes")
        }


class CordonLab(NodeLab):
    """A node that takes no pods."""

    fault = "kubernetes.node-cordon"

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"names": [self.node]}}


class TaintLab(NodeLab):
    """A node with a taint."""

    fault = "kubernetes.node-taint"

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"zone": self.zone}, "with": {"effect": "PreferNoSchedule"}}


class DrainLab(NodeLab):
    """A node that is drained."""

    fault = "kubernetes.node-drain"
    replicas = 1

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"names": [self.node]},
            "with": {"namespaces": [self.place], "gracePeriod": "0s"},
        }


class ZoneLab(NodeLab):
    """A zone that is lost."""

    fault = "kubernetes.zone-outage"
    replicas = 1

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"zone": self.zone}, "with": {"namespaces": [self.place]}}


LABS: list[type[Lab]] = [
    CordonLab,
    TaintLab,
    DrainLab,
    ZoneLab,
]
