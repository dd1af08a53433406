"""Worlds of a real cluster: objects that are changed or added."""

from __future__ import annotations

from typing import Any, ClassVar

from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.cluster.objects import namespace, worn
from tests.cluster.outside import outside, until
from tests.contract.cluster_lab import ClusterLab


class ObjectsLab(ClusterLab):
    """A namespace with objects, and no pods."""

    def made(self) -> None:
        namespace(self.place)
        core = f"/api/v1/namespaces/{self.place}"
        outside().apply(
            f"{core}/configmaps",
            {"metadata": {"name": "shop"}, "data": {"timeout": "2s", "color": "red"}},
        )
        outside().apply(
            f"{core}/secrets",
            {"metadata": {"name": "shop"}, "stringData": {"password": "right", "user": "shop"}},
        )
        outside().apply(
            f"{core}/services",
            {
                "metadata": {"name": "shop"},
                "spec": {"selector": {"app": "shop"}, "ports": [{"name": "web", "port": 80}]},
            },
        )

    def whole(self) -> bool:
        return True

    def snapshot(self) -> JSON:
        core, found = f"/api/v1/namespaces/{self.place}", {}
        for kind in ("configmaps", "secrets", "services"):
            for one in outside().items(f"{core}/{kind}"):
                if one["metadata"]["name"] != "kube-root-ca.crt":
                    content = one.get("data", one.get("spec"))
                    found[f"{kind} {one['metadata']['name']}"] = [content, worn(one)]
        policies = outside().items(
            f"/apis/networking.k8s.io/v1/namespaces/{self.place}/networkpolicies"
        )
        return {**found, "policies": [one["spec"] for one in policies]}


class ConfigMapLab(ObjectsLab):
    """A ConfigMap with another value, a key less, and one more."""

    fault = "kubernetes.config-change"

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.place, "kind": "ConfigMap", "name": "shop"},
            "with": {"set": {"timeout": "1ms", "new": "1"}, "remove": ["color"]},
        }


class SecretLab(ObjectsLab):
    """A Secret with a wrong password."""

    fault = "kubernetes.config-change"
    found_by_sweep = True

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.place, "kind": "Secret", "name": "shop"},
            "with": {"set": {"password": "wrong", "new": "1"}, "remove": ["user"]},
        }


class EnvironmentLab(ClusterLab):
    """A Deployment with other variables."""

    fault = "kubernetes.config-change"
    replicas = 1
    container: ClassVar[dict[str, Any]] = {
        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}, {"name": "C"}]
    }

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.place, "kind": "Deployment", "name": "web"},
            "with": {"set": {"B": "3", "D": "4"}, "remove": ["A"]},
        }

    def snapshot(self) -> JSON:
        """Once it is rolled out: its pods come and go meanwhile, whatever is done to it."""
        until(self.whole, f"{self.place} should be rolled out")
        return super().snapshot()


class PatchLab(ObjectsLab):
    """A Service that selects nothing."""

    fault = "kubernetes.api-object"

    def arguments(self) -> dict[str, JSON]:
        patch = [{"op": "replace", "path": "/spec/selector/app", "value": "nobody"}]
        service = {"apiVersion": "v1", "kind": "Service", "namespace": self.place, "name": "shop"}
        return {"target": service, "with": {"patch": patch}}


class ManifestLab(ObjectsLab):
    """A NetworkPolicy that was not there."""

    fault = "kubernetes.api-object"

    def arguments(self) -> dict[str, JSON]:
        policy = {
            "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "namespace": self.place, "name": "closed",
        }  # fmt: skip
        spec = {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"]}
        return {"target": policy, "with": {"manifest": {"spec": spec}}}


LABS: list[type[Lab]] = [
    ConfigMapLab,
    SecretLab,
    EnvironmentLab,
    PatchLab,
    ManifestLab,
]
