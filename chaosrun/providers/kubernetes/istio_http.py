"""Requests through Istio are late or fail: the fault of a VirtualService's routes."""

from __future__ import annotations

import random
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import marks, objects
from chaosrun.providers.kubernetes.access import CLUSTER, Access, access_of, rbac, undo
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.http_faults import HttpFault
from chaosrun.providers.kubernetes.kinds import VIRTUAL_SERVICE, Object, Ref
from chaosrun.providers.kubernetes.require import require
from chaosrun.providers.kubernetes.workloads import refuse_protected
from chaosrun.rights import Permission
from chaosrun.units import JSON


class VirtualService(Access, frozen=True, kw_only=True):
    """HTTP routes of one VirtualService."""

    namespace: Annotated[str, Meta(description="Its namespace", min_length=1)]
    name: Annotated[str, Meta(description="Its name", min_length=1)]
    routes: Annotated[
        tuple[str, ...], Meta(description="Only HTTP routes of these names; else all")
    ] = ()


class IstioHttp(HttpFault, Fault[Kubernetes], frozen=True, kw_only=True):
    """Let requests through Istio be late, or fail with a status.

    It happens at the client's sidecar, and while it does, Istio applies neither timeouts nor
    retries of these routes: it cannot test those. A route that has a fault already is refused.
    """

    name: ClassVar[str] = "kubernetes.istio-http"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"namespace": "shop", "name": "checkout"},
        "with": {"delay": "2s", "share": "50%"},
    }

    target: VirtualService

    def __post_init__(self) -> None:
        self.check()

    def needs(self) -> tuple[Permission, ...]:
        ref = self._ref()
        return (*CLUSTER, *rbac(ref.kind.resource, "get", "patch", scope=ref.scope))

    def _ref(self) -> Ref:
        return Ref(VIRTUAL_SERVICE, self.target.name, self.target.namespace)

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:  # noqa: ARG002
        access, ref = client.settle(self.target.access()), self._ref()
        refuse_protected(ref)
        objects.resolved(client, access, ref.kind)
        require(client, access, self.needs())
        found = client.get(access, ref)
        routes = found["spec"].get("http") or []
        meant = [
            [index, route.get("name", "")]
            for index, route in enumerate(routes)
            if not self.target.routes or route.get("name") in self.target.routes
        ]
        if lost := sorted(set(self.target.routes) - {name for _, name in meant}):
            raise Refused(f"{ref.label} has no HTTP route {', '.join(lost)}")
        if not meant:
            raise Refused(f"{ref.label} has no HTTP routes")
        if any("fault" in routes[index] for index, _ in meant):
            raise Refused(f"{ref.label} has a fault already")
        return Hold(
            fault=self.name,
            targets=(objects.target_of(ref, access, found),),
            population=1,
            effect=self.words(),
            undo=undo(access, routes=meant, fault=self._fault(), **objects.named(ref)),
            way_back="chaosrun takes the fault from the routes",
            mechanism="VirtualService.spec.http[].fault, at the client's sidecar",
            used=self.needs(),
        )

    def _fault(self) -> Object:
        percentage = {"value": self.share.fraction * 100}
        found: Object = {}
        if self.delay:
            found["delay"] = {"fixedDelay": f"{self.delay.seconds:g}s", "percentage": percentage}
        if self.status:
            found["abort"] = {"httpStatus": self.status, "percentage": percentage}
        return found

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        def edit(found: Object) -> None:
            for route in _meant(hold, found):
                if route.get("fault", hold.undo["fault"]) != hold.undo["fault"]:
                    raise Refused("a route has got another fault since it was planned")
                route["fault"] = hold.undo["fault"]
            marks.put(found, hold)

        client.change(access_of(hold), objects.ref_of(hold), edit, uid=hold.targets[0].id)

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        def edit(found: Object) -> None:
            if marks.ours(found, hold):
                for route in found["spec"].get("http") or ():  # wherever it stands now
                    if route.get("fault") == hold.undo["fault"]:
                        del route["fault"]
            marks.take(found, hold)

        try:
            client.change(access_of(hold), objects.ref_of(hold), edit, uid=hold.targets[0].id)
        except NotFound:
            return

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        ref = objects.ref_of(hold)
        found = client.find(access_of(hold), ref, hold.targets[0].id)
        if found is None:
            return Evidence(False, f"{ref.label} is gone")
        routes = _meant(hold, found)
        on = [route for route in routes if route.get("fault") == hold.undo["fault"]]
        said = f"{len(on)} of {len(hold.undo['routes'])} routes have the fault"
        if len(on) < len(hold.undo["routes"]) and marks.ours(found, hold):
            said += ": somebody set the others back"
        return Evidence(len(on) == len(hold.undo["routes"]), said)

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        ref = objects.ref_of(hold)
        found = client.find(access_of(hold), ref, hold.targets[0].id)
        if found is None:
            return Evidence(True, f"{ref.label} was deleted meanwhile")
        if marks.ours(found, hold):
            return Evidence(False, f"{ref.label} is still marked")
        return Evidence(True, f"{ref.label} has no fault of ours")


def _meant(hold: Hold, found: Object) -> list[Any]:
    """The routes that are meant, at their place; a route that moved is not guessed."""
    routes = found["spec"].get("http") or []
    return [
        routes[index]
        for index, name in hold.undo["routes"]
        if index < len(routes) and routes[index].get("name", "") == name
    ]
