"""Kinds of objects and where the API keeps them."""

from __future__ import annotations

from typing import Any

import msgspec

from chaosrun.errors import Refused

Object = dict[str, Any]
"""An object as the API gives it."""


class Kind(msgspec.Struct, frozen=True):
    """A kind, its API version, and the plural by which paths and RBAC call it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def group(self) -> str:
        return self.api_version.rpartition("/")[0]

    @property
    def resource(self) -> str:
        """As RBAC and kubectl call it: `pods`, `deployments.apps`."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", sub: str = "") -> str:
        """Where one of them is, or all of a namespace, or all."""
        for part in (*self.api_version.split("/"), self.plural, namespace, name):
            _check_segment(part)
        root = f"/apis/{self.api_version}" if self.group else f"/api/{self.api_version}"
        place = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        rest = "".join(f"/{part}" for part in (name, sub) if part)
        return f"{root}{place}/{self.plural}{rest}"


class Ref(msgspec.Struct, frozen=True):
    """One object, by name."""

    kind: Kind
    name: str
    namespace: str = ""

    def path(self, sub: str = "") -> str:
        return self.kind.path(self.namespace, self.name, sub)

    @property
    def label(self) -> str:
        """As a person says it: `Deployment shop/checkout`."""
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.kind.kind} {where}{self.name}"

    @property
    def scope(self) -> str:
        """As a right's scope."""
        return f"{self.namespace}/{self.name}"


POD = Kind("v1", "Pod", "pods")
NODE = Kind("v1", "Node", "nodes", namespaced=False)
NAMESPACE = Kind("v1", "Namespace", "namespaces", namespaced=False)
CONFIG_MAP = Kind("v1", "ConfigMap", "configmaps")
SECRET = Kind("v1", "Secret", "secrets")
EVENT = Kind("v1", "Event", "events")
DEPLOYMENT = Kind("apps/v1", "Deployment", "deployments")
REPLICA_SET = Kind("apps/v1", "ReplicaSet", "replicasets")
STATEFUL_SET = Kind("apps/v1", "StatefulSet", "statefulsets")
DAEMON_SET = Kind("apps/v1", "DaemonSet", "daemonsets")
JOB = Kind("batch/v1", "Job", "jobs")
BUDGET = Kind("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
ENDPOINT_SLICE = Kind("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
POD_METRICS = Kind("metrics.k8s.io/v1beta1", "PodMetrics", "pods")
NODE_METRICS = Kind("metrics.k8s.io/v1beta1", "NodeMetrics", "nodes", namespaced=False)
VIRTUAL_SERVICE = Kind("networking.istio.io/v1", "VirtualService", "virtualservices")
BACKEND_POLICY = Kind(
    "gateway.envoyproxy.io/v1alpha1", "BackendTrafficPolicy", "backendtrafficpolicies"
)

WORKLOADS = {each.kind: each for each in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET, REPLICA_SET, JOB)}
"""What owns pods and brings back lost ones."""

_KNOWN = {
    (each.api_version, each.kind): each
    for each in (POD, NODE, NAMESPACE, CONFIG_MAP, SECRET, EVENT, BUDGET, *WORKLOADS.values())
}


def guessed(api_version: str, kind: str, plural: str = "", *, namespaced: bool = True) -> Kind:
    """A kind by its name; its plural as the API server's own rule guesses it, unless given."""
    known = _KNOWN.get((api_version, kind))
    if known is not None and not plural:
        return known
    if not plural:
        low = kind.lower()
        if low.endswith("s"):
            plural = f"{low}es"
        elif low.endswith("y"):
            plural = f"{low[:-1]}ies"
        else:
            plural = f"{low}s"
    return Kind(api_version, kind, plural, namespaced)


def _check_segment(part: str) -> None:
    """Raise Refused for what no object is called: `../` would lead to another one (law L8)."""
    if part in (".", "..") or "/" in part or "%" in part:
        raise Refused(f"{part!r} is not a name that the API has", hint="check the target's names")


def meta(found: Object) -> Object:
    """Its metadata."""
    part: Object = found.setdefault("metadata", {})
    return part


def uid_of(found: Object) -> str:
    return str(found.get("metadata", {}).get("uid", ""))


def labels_of(found: Object) -> dict[str, str]:
    return dict(found.get("metadata", {}).get("labels") or {})


def annotations_of(found: Object) -> dict[str, str]:
    return dict(found.get("metadata", {}).get("annotations") or {})
