"""Worlds of a real cluster: routes of a mesh or a gateway, without the mesh and the gateway."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.cluster.objects import definition, namespace, worn
from tests.cluster.outside import Object, Outside, outside
from tests.contract.cluster_lab import ClusterLab


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
        goes = [{"destination": {"host": "checkout"}}]
        routes = [
            {"name": "slow", "match": [{"uri": {"prefix": "/slow"}}], "route": goes},
            {"name": "rest", "route": goes},
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
            "with": {"delay": "2s", "status": 503, "share": "50%", "onTrust": True},
        }


@contextlib.contextmanager
def fake_gateway(place: str) -> Iterator[None]:
    """What a gateway says of the policies in a namespace, without a gateway: it accepts each.

    What a real one does is seen in tests/providers/kubernetes/test_kubernetes_envoy_gateway.py.
    """
    path = f"/apis/gateway.envoyproxy.io/v1alpha1/namespaces/{place}/backendtrafficpolicies"
    over, calls = threading.Event(), Outside()

    def accept(policy: Object) -> None:
        accepted = {
            "type": "Accepted", "status": "True", "reason": "Accepted", "message": "accepted",
            "observedGeneration": policy["metadata"]["generation"],
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }  # fmt: skip
        one = {
            "ancestorRef": {"kind": "Gateway", "namespace": place, "name": "fake"},
            "controllerName": "tests.chaosrun.dev/fake", "conditions": [accepted],
        }  # fmt: skip
        status = {"ancestors": [one]}
        if policy.get("status") != status:
            url = f"{path}/{policy['metadata']['name']}/status"
            calls.call("PUT", url, {**policy, "status": status})

    def work() -> None:
        while not over.wait(0.05):
            for policy in calls.items(path):
                accept(policy)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        calls.close()


class EnvoyLab(MeshLab):
    """A route without a policy, and a fake gateway that accepts what is made for it."""

    fault = "kubernetes.envoy-http"

    @staticmethod
    def define(place: str) -> None:
        """The kinds, and the route of the checkout."""
        definition(
            "gateway.envoyproxy.io", "v1alpha1", "BackendTrafficPolicy", "backendtrafficpolicies"
        )
        definition("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes")
        outside().apply(f"/apis/gateway.networking.k8s.io/v1/namespaces/{place}/httproutes", {
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "checkout"}, "spec": {},
        })  # fmt: skip

    def made(self) -> None:
        namespace(self.place)
        self.define(self.place)

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        cleanup.enter_context(fake_gateway(self.place))

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
    IstioLab,
    EnvoyLab,
    EnvoyPolicyLab,
]
