"""Requests through Envoy Gateway are late or fail: the fault injection of a traffic policy."""

from __future__ import annotations

import random
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import objects
from chaosrun.providers.kubernetes.access import CLUSTER, Access, rbac, undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.http_faults import HttpFault
from chaosrun.providers.kubernetes.kinds import BACKEND_POLICY, Object, Ref
from chaosrun.providers.kubernetes.require import require
from chaosrun.providers.kubernetes.workloads import refuse_protected
from chaosrun.rights import Permission
from chaosrun.units import JSON

_GROUP = "gateway.networking.k8s.io"


class Route(Access, frozen=True, kw_only=True):
    """One route, or one gateway and so all its routes."""

    namespace: Annotated[str, Meta(description="Its namespace", min_length=1)]
    kind: Annotated[Literal["HTTPRoute", "GRPCRoute", "Gateway"], Meta(description="Its kind")] = (
        "HTTPRoute"
    )
    name: Annotated[str, Meta(description="Its name", min_length=1)]


class EnvoyHttp(HttpFault, Fault[Kubernetes], frozen=True, kw_only=True):
    """Let requests through Envoy Gateway be late, or fail with a status.

    The BackendTrafficPolicy of the route gets the fault, or one is made where it has none, since
    only the oldest of several counts. A policy that has a fault already is refused.
    """

    name: ClassVar[str] = "kubernetes.envoy-http"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"namespace": "shop", "name": "checkout"},
        "with": {"status": 503, "share": "10%"},
    }

    target: Route

    def __post_init__(self) -> None:
        self.check()

    def needs(self) -> tuple[Permission, ...]:
        verbs = ("list", "get", "patch", "create", "delete")
        return (*CLUSTER, *rbac(BACKEND_POLICY.resource, *verbs, scope=self.target.namespace))

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:  # noqa: ARG002
        access, wanted = client.settle(self.target.access()), self.target
        refuse_protected(Ref(BACKEND_POLICY, wanted.name, wanted.namespace))
        objects.resolved(client, access, BACKEND_POLICY)
        require(client, access, self.needs())
        policies = client.all(access, BACKEND_POLICY, wanted.namespace)
        known = sorted(
            (one for one in policies if self._concerns(one)),
            key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]),
        )
        if known:
            ref = Ref(BACKEND_POLICY, known[0]["metadata"]["name"], wanted.namespace)
            if "faultInjection" in known[0]["spec"]:
                raise Refused(f"{ref.label} has a fault already")
            patch = {"spec": {"faultInjection": self._fault()}}
            more = objects.patched(client, access, ref, patch)
        else:
            ref = Ref(
                BACKEND_POLICY, f"chaosrun-{wanted.kind.lower()}-{wanted.name}", wanted.namespace
            )
            reference = {"group": _GROUP, "kind": wanted.kind, "name": wanted.name}
            spec = {"targetRefs": [reference], "faultInjection": self._fault()}
            more = objects.made(client, access, ref, {"spec": spec})
        return Hold(
            fault=self.name,
            targets=(objects.target_of(ref, access, known[0] if known else None),),
            population=1,
            effect=self.words(),
            undo=undo(access, **more),
            way_back="chaosrun takes the fault away",
            mechanism=f"faultInjection of {'the' if known else 'a new'} {ref.label}",
            used=self.needs(),
        )

    def _concerns(self, policy: Object) -> bool:
        spec = policy["spec"]
        references: list[Any] = [*(spec.get("targetRefs") or ()), spec.get("targetRef") or {}]
        meant = (self.target.kind, self.target.name)
        return any((one.get("kind"), one.get("name")) == meant for one in references)

    def _fault(self) -> Object:
        percentage = self.share.fraction * 100
        found: Object = {}
        if self.delay:
            milliseconds = max(1, round(self.delay.seconds * 1000))
            found["delay"] = {"fixedDelay": f"{milliseconds}ms", "percentage": percentage}
        if self.status:
            found["abort"] = {"httpStatus": self.status, "percentage": percentage}
        return found

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        objects.inject(hold, client)

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        objects.revert(hold, client)

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        return objects.took_effect(hold, client)

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        return objects.restored(hold, client)
