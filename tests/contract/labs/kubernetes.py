"""Worlds of a real cluster: namespaces with pods that really run, and its nodes.

A world is made once and used by all promises of its lab, since a pod takes a second to start;
each promise waits until it is whole again. What a fault calls is recorded: a call that its
rights do not cover breaks the lab.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from types import TracebackType
from typing import Any, ClassVar, Self

from chaosrun.errors import ChaosrunError
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.client import Connection
from chaosrun.rights import Permission
from chaosrun.testing import BrokenPromise, Lab
from chaosrun.units import JSON
from tests.cluster import images
from tests.cluster.session import kubeconfig

Object = dict[str, Any]
_SLEEPS = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
_VOLATILE = re.compile(r"deployment\.kubernetes\.io/revision|kubectl|chaosrun\.dev/restarted")


class Outside:
    """Looks at the cluster and changes it, past all of chaosrun but its connection."""

    def __init__(self) -> None:
        self._connection = Connection(Access(kubeconfig=str(kubeconfig())))

    def call(self, method: str, path: str, body: Any = None, content: str = "") -> Any:
        """The answer as data, and its status under `_status`."""
        for _ in range(20):
            where, _, query = path.partition("?")
            pairs = dict(part.split("=", 1) for part in query.split("&") if part)
            answer = self._connection.send(method, where, pairs, body, content, "")
            if not isinstance(answer, ChaosrunError) and answer.status not in (429, 500, 503):
                data = answer.data if answer.data.startswith(b"{") else b"{}"
                return {**json.loads(data), "_status": answer.status}
            time.sleep(0.25)
        raise AssertionError(f"{method} {path}: no good answer: {answer}")

    def get(self, path: str) -> Any:
        return self.call("GET", path)

    def items(self, path: str) -> list[Any]:
        return list(self.get(path).get("items") or ())

    def apply(self, path: str, body: Object) -> Object:
        """Create it, or make it as it is written here."""
        name = body["metadata"]["name"]
        done = self.call("POST", path, body)
        if done["_status"] == 409:
            done = self.call("PATCH", f"{path}/{name}", body, "application/merge-patch+json")
        assert done["_status"] < 300, done
        return dict(done)

    def patch(self, path: str, body: Any) -> Object:
        done = self.call("PATCH", path, body, "application/merge-patch+json")
        assert done["_status"] < 300, done
        return dict(done)

    def delete(self, path: str) -> None:
        self.call("DELETE", path, {"gracePeriodSeconds": 0})

    def close(self) -> None:
        self._connection.close()


@cache
def outside() -> Outside:
    return Outside()


def until(look: Callable[[], Any], said: str, seconds: float = 40.0) -> Any:
    """What `look` gives once it gives something."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"waited in vain: {said}"
        time.sleep(0.05)
    return found


def enter(cleanup: contextlib.ExitStack) -> None:
    """Point this process, and those that it starts, at the cluster."""
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(kubeconfig())
    if before is None:
        cleanup.callback(os.environ.pop, "KUBECONFIG", None)
    else:
        cleanup.callback(os.environ.__setitem__, "KUBECONFIG", before)


def namespace(name: str) -> str:
    outside().apply("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def template(app: str, image: str = images.BUSYBOX, **container: Any) -> Object:
    """Pods of an application, spread over the zones, that end at once when they are told."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": app}},
    }
    one = {
        "name": "main", "image": image, "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _SLEEPS], **container,
    }  # fmt: skip
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "topologySpreadConstraints": [spread],
            "automountServiceAccountToken": False,
            "containers": [one],
        },
    }


def deployment(place: str, app: str, replicas: int = 3, **container: Any) -> None:
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app, "labels": {"app": app}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
            "template": template(app, **container),
        },
    }
    outside().apply(f"/apis/apps/v1/namespaces/{place}/deployments", body)


def pods(place: str, app: str) -> list[Object]:
    """Those that are not ending."""
    found = outside().items(f"/api/v1/namespaces/{place}/pods?labelSelector=app={app}")
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def ready(pod: Object) -> bool:
    return any(
        one["type"] == "Ready" and one["status"] == "True"
        for one in pod["status"].get("conditions") or ()
    )


def is_whole(place: str, app: str) -> bool:
    found = outside().get(f"/apis/apps/v1/namespaces/{place}/deployments/{app}")
    if found["_status"] != 200:
        return False
    status, wanted = found["status"], found["spec"]["replicas"]
    everything = outside().items(f"/api/v1/namespaces/{place}/pods?labelSelector=app={app}")
    counts = [status.get(f"{which}eplicas", 0) for which in ("r", "updatedR", "readyR")]
    settled = status.get("observedGeneration") == found["metadata"]["generation"]
    return bool(settled and {*counts, sum(map(ready, everything)), len(everything)} == {wanted})


def worn(found: Object) -> JSON:
    """The labels and annotations of an object, but those that controllers change."""
    metadata = found["metadata"]
    return [
        {k: v for k, v in (metadata.get(part) or {}).items() if not _VOLATILE.search(k)}
        for part in ("labels", "annotations")
    ]


def _in_a_sweep() -> bool:
    """A sweep is nobody's fault: what it calls is no fault's to declare."""
    frame = sys._getframe()
    while frame is not None and frame.f_code is not marks.find.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?"
)


def right_of(method: str, path: str) -> Permission | None:
    """What RBAC calls this call, or None for what everybody may."""
    match = _PATH.fullmatch(path)
    if match is None or match["plural"] == "selfsubjectaccessreviews":
        return None  # discovery, and questions about ourselves
    verb = {"GET": "get" if match["name"] else "list", "POST": "create",
            "PATCH": "patch", "DELETE": "delete"}[method]  # fmt: skip
    plural = f"{match['plural']}.{match['group']}" if match["group"] else match["plural"]
    resource = f"{plural}/{match['sub']}" if match["sub"] else plural
    name = match["name"] if verb != "create" else ""
    scope = f"{match['namespace'] or ''}/{name}" if name else match["namespace"] or ""
    return Permission("rbac", verb, resource, scope)


def covered(right: Permission, granted: set[Permission]) -> bool:
    """Whether that right, or a wider one, was granted."""
    place = right.scope.partition("/")[0]
    return any(
        Permission("rbac", right.action, right.resource, scope) in granted
        for scope in (right.scope, place, "")
    )


class ClusterLab(Lab):
    """A world in the cluster, which `made` makes and `whole` waits for."""

    settles = 30.0
    app: ClassVar[str] = "web"
    replicas: ClassVar[int] = 2
    container: ClassVar[dict[str, Any]] = {}
    _made: ClassVar[set[str]] = set()

    def build(self, cleanup: contextlib.ExitStack) -> None:
        enter(cleanup)
        self.calls: set[Permission] = set()
        self.place = f"lab-{type(self).__name__.lower()}"
        if self.place not in ClusterLab._made:
            self.made()
            ClusterLab._made.add(self.place)
        until(self.whole, f"{self.place} should be whole")

    def made(self) -> None:
        """Make the world."""
        namespace(self.place)
        deployment(self.place, self.app, self.replicas, **self.container)

    def whole(self) -> bool:
        """Whether the world is as it was made."""
        return is_whole(self.place, self.app)

    def __enter__(self) -> Self:
        super().__enter__()
        self.client.observers.append(self._called)
        return self

    def _called(self, method: str, path: str, query: Mapping[str, str]) -> None:
        if not _in_a_sweep() and (right := right_of(method, path)):
            self.calls.add(right)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        granted = set(self.typed().needs())
        if kind is None and (wild := [r for r in self.calls if not covered(r, granted)]):
            raise BrokenPromise(f"{self.fault} calls what its rights do not cover: {wild}")

    def snapshot(self) -> JSON:
        found = outside().get(f"/apis/apps/v1/namespaces/{self.place}/deployments/{self.app}")
        spec = found["spec"]
        inner = spec["template"]["metadata"].get("annotations") or {}
        spec["template"]["metadata"]["annotations"] = {
            k: v for k, v in inner.items() if not k.startswith("chaosrun.dev/restarted")
        }
        here = pods(self.place, self.app)
        return {
            "workload": [spec, worn(found)],
            "pods": sorted(json.dumps([ready(one), self.of_pod(one)]) for one in here),
        }

    def of_pod(self, pod: Object) -> JSON:
        images = [container["image"] for container in pod["spec"]["containers"]]
        return [images, worn(pod)[1]]


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


class RestartLab(ClusterLab):
    """A Deployment that replaces its pods."""

    fault = "kubernetes.rollout-restart"
    found_by_sweep = False  # nothing is to be taken back
    replicas = 1

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"namespace": self.place, "name": "web"}}


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


def definition(group: str, version: str, kind: str, plural: str) -> None:
    """A kind that the cluster knows from now on, as its operator would define it."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": version, "served": True, "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": anything, "status": anything},
                        }
                    },
                }
            ],
        },
    }  # fmt: skip
    outside().apply("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", body)
    path = f"/apis/{group}/{version}/namespaces/default/{plural}"
    until(lambda: outside().get(path)["_status"] == 200, f"{plural} should be known")


class MeshLab(ClusterLab):
    """Custom resources of a mesh or gateway, without the mesh."""

    path: str

    def whole(self) -> bool:
        return True

    def snapshot(self) -> JSON:
        return {
            one["metadata"]["name"]: [one["spec"], worn(one)] for one in outside().items(self.path)
        }


class IstioLab(MeshLab):
    """A VirtualService with two routes."""

    fault = "kubernetes.istio-http"

    @staticmethod
    def define() -> None:
        definition("networking.istio.io", "v1", "VirtualService", "virtualservices")

    def made(self) -> None:
        self.define()
        namespace(self.place)
        routes = [
            {"name": "slow", "match": [{"uri": {"prefix": "/slow"}}], "route": []},
            {"name": "rest", "route": [{"destination": {"host": "checkout"}}]},
        ]
        spec = {"hosts": ["checkout"], "http": routes}
        outside().apply(self.path, {
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": "checkout"}, "spec": spec,
        })  # fmt: skip

    @property
    def path(self) -> str:  # type: ignore[override]
        return f"/apis/networking.istio.io/v1/namespaces/{self.place}/virtualservices"

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.place, "name": "checkout", "routes": ["rest"]},
            "with": {"delay": "2s", "status": 503, "share": "50%"},
        }


class EnvoyLab(MeshLab):
    """A route without a policy."""

    fault = "kubernetes.envoy-http"

    @staticmethod
    def define() -> None:
        definition(
            "gateway.envoyproxy.io", "v1alpha1", "BackendTrafficPolicy", "backendtrafficpolicies"
        )

    def made(self) -> None:
        self.define()
        namespace(self.place)

    @property
    def path(self) -> str:  # type: ignore[override]
        place = f"namespaces/{self.place}/backendtrafficpolicies"
        return f"/apis/gateway.envoyproxy.io/v1alpha1/{place}"

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.place, "name": "checkout"},
            "with": {"delay": "2s", "status": 503, "share": "50%"},
        }


class EnvoyPolicyLab(EnvoyLab):
    """A route with a policy of its own."""

    def made(self) -> None:
        super().made()
        reference = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "checkout"}
        outside().apply(self.path, {
            "apiVersion": "gateway.envoyproxy.io/v1alpha1", "kind": "BackendTrafficPolicy",
            "metadata": {"name": "own"},
            "spec": {"targetRefs": [reference], "timeout": {"tcp": {"connectTimeout": "1s"}}},
        })  # fmt: skip


LABS: list[type[Lab]] = [
    PodKillLab,
    PodForceLab,
    ContainerKillLab,
    PodFailureLab,
    ScaleLab,
    RestartLab,
    CordonLab,
    TaintLab,
    DrainLab,
    ZoneLab,
    ConfigMapLab,
    SecretLab,
    EnvironmentLab,
    PatchLab,
    ManifestLab,
    IstioLab,
    EnvoyLab,
    EnvoyPolicyLab,
]
