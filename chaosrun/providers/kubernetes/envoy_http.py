"""Requests through Envoy Gateway are late or fail: the fault injection of a traffic policy.

Law (L2, L6): what counts is what the gateway says. The fault is there once a gateway has accepted
the policy that has it, and it is gone once that gateway has read the policy without it.
"""

from __future__ import annotations

import contextlib
import random
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from chaosrun.errors import Indeterminate, Refused
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import gateway_policies as policies
from chaosrun.providers.kubernetes import marks, objects
from chaosrun.providers.kubernetes.access import Access, access_of, rbac, undo
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.http_faults import HttpFault
from chaosrun.providers.kubernetes.kinds import BACKEND_POLICY, Object, Ref
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.units import JSON

_READ_WITHIN = 6.0
"""How long, in seconds, a gateway may take to read a policy; it usually takes a moment. It is less
than what a step may take unless it says so, so that the reason is told and not only the time."""


class Route(Access, frozen=True, kw_only=True):
    """One route, or one gateway and so all its routes."""

    namespace: Annotated[str, Meta(description="Its namespace", min_length=1)]
    kind: Annotated[Literal["HTTPRoute", "GRPCRoute", "Gateway"], Meta(description="Its kind")] = (
        "HTTPRoute"
    )
    name: Annotated[str, Meta(description="Its name", min_length=1)]

    def ref(self) -> Ref:
        return Ref(policies.TARGETS[self.kind], self.name, self.namespace)


class EnvoyHttp(HttpFault, Fault[Kubernetes], frozen=True, kw_only=True):
    """Let requests through Envoy Gateway be late, or fail with a status.

    The BackendTrafficPolicy of the route gets the fault, or one is made where it has none, which
    is merged with that of its gateway. Refused is a policy that has a fault already, or that is
    for other routes too. The fault is there once a gateway has accepted the policy, and gone
    once it has read it without; what its Envoys do then, only requests can tell. Routes with
    policies of their own are not reached through their gateway.
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
        kind, own, route = BACKEND_POLICY.resource, self._own(), self.target.ref()
        found = rbac(kind, "list", "get", "patch", "create", scope=own.namespace)
        more = rbac(route.kind.resource, "get", scope=route.scope)
        return (*self.target.asking(), *found, *rbac(kind, "delete", scope=own.scope), *more)

    def _own(self) -> Ref:
        """The policy that is made where the route has none."""
        route = self.target.ref()
        name = f"chaosrun-{route.kind.kind.lower()}-{route.name}"
        return Ref(BACKEND_POLICY, name, route.namespace)

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:  # noqa: ARG002
        access, route = client.settle(self.target.access()), self.target.ref()
        for kind in (BACKEND_POLICY, route.kind):
            objects.resolved(client, access, kind)
        require(client, access, self.needs())
        there = client.find(access, route)
        if there is None:
            raise Refused(f"there is no {route.label}")
        known = policies.concerning(
            client.all(access, BACKEND_POLICY, route.namespace), route, there
        )
        if known:
            ref, more = self._given_to(known[0], client, access)
        else:
            ref, more = self._made(client, access)
        return Hold(
            fault=self.name,
            targets=(objects.target_of(ref, access, known[0] if known else None),),
            population=1,
            effect=self.words(),
            undo=undo(access, route=objects.named(route)["ref"], **more),
            way_back="chaosrun takes the fault away",
            mechanism=f"faultInjection of {'the' if known else 'a new'} {ref.label}",
            used=self.needs(),
        )

    def _given_to(
        self, policy: Object, client: Kubernetes, access: Access
    ) -> tuple[Ref, dict[str, Any]]:
        """What the hold must know when the policy that is there gets the fault."""
        route = self.target.ref()
        ref = Ref(BACKEND_POLICY, policy["metadata"]["name"], route.namespace)
        if others := policies.others(policy, route):
            raise Refused(
                f"{ref.label} is for others than {route.label} too: {', '.join(others)}",
                hint=f"give {route.label} a policy of its own",
            )
        if "faultInjection" in policy["spec"]:
            raise Refused(f"{ref.label} has a fault already")
        patch = {"spec": {"faultInjection": self._fault()}}
        found = objects.patched(client, access, ref, patch)
        return ref, {"since": policy["metadata"]["generation"], **found}

    def _made(self, client: Kubernetes, access: Access) -> tuple[Ref, dict[str, Any]]:
        """What the hold must know when a policy is made; the gateway's settings stay."""
        route, ref = self.target.ref(), self._own()
        reference = {"group": policies.GROUP, "kind": route.kind.kind, "name": route.name}
        spec: Object = {"targetRefs": [reference], "faultInjection": self._fault()}
        if route.kind.kind != "Gateway":  # which has nothing above it to be merged with
            spec["mergeType"] = "StrategicMerge"
        found = objects.made(client, access, ref, {"spec": spec})
        kept = client.create(access, ref, found["body"], dry=True)["spec"]
        if kept.get("mergeType") != spec.get("mergeType"):
            raise Refused(
                f"a new policy would replace what its gateway's policy says for {route.label}: "
                "this Envoy Gateway does not merge them",
                hint=f"give {route.label} a policy of its own",
            )
        return ref, {"since": 0, **found}

    def _fault(self) -> Object:
        percentage = self.share.fraction * 100
        found: Object = {}
        if self.delay:
            found["delay"] = {"fixedDelay": _written(self.delay.seconds), "percentage": percentage}
        if self.status:
            found["abort"] = {"httpStatus": self.status, "percentage": percentage}
        return found

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        objects.inject(hold, client)
        seen = Evidence(False, "")

        def look(client: Kubernetes) -> bool:
            nonlocal seen
            seen = cls.took_effect(hold, client)
            return seen.seen

        client.until(look, lambda: f"a gateway should have the fault: {seen.detail}", _READ_WITHIN)

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        if "body" in hold.undo:  # once it is deleted, nothing tells whether a gateway knows
            _take_fault(hold, client)
            client.until(
                lambda c: not _acts_on(hold, c),
                "the gateway should read that the fault is gone", _READ_WITHIN,
            )  # fmt: skip
            objects.revert(hold, client)
            return
        objects.revert(hold, client)
        # A gateway that reads nothing at all has not read of the fault either: `restored` tells.
        with contextlib.suppress(Indeterminate):
            client.until(lambda c: not _unread(hold, c), "the gateway should read it", _READ_WITHIN)

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        seen = objects.took_effect(hold, client)
        if not seen.seen:
            return seen
        ref, route = objects.ref_of(hold), objects.ref_of(hold, "route")
        there, policy = (client.find(access_of(hold), one) for one in (route, ref))
        if there is None or policy is None:
            gone = route if there is None else ref
            return Evidence(False, f"{gone.label} is not there any more")
        if "faultInjection" not in policy["spec"]:
            return Evidence(False, f"{ref.label} has the fault no more")
        seen = policies.accepted(policy, ref)
        if seen.seen and not policies.reaches(policy, route, there):
            return Evidence(False, f"{seen.detail}. Nothing of {route.label} is left for it")
        return seen

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        seen = objects.restored(hold, client)
        if seen.seen and _acts_on(hold, client):
            return Evidence(False, f"{seen.detail}, and the gateway has not read that yet")
        return seen


def _take_fault(hold: Hold, client: Kubernetes) -> None:
    """Take the fault out of the policy that was made, if a gateway has read it."""
    access, ref = access_of(hold), objects.ref_of(hold)
    found = client.find(access, ref)
    if found is None or not marks.ours(found, hold) or not policies.readings(found):
        return

    def edit(now: Object) -> None:
        if marks.ours(now, hold):
            now["spec"].pop("faultInjection", None)

    with contextlib.suppress(NotFound):
        client.change(access, ref, edit)


def _acts_on(hold: Hold, client: Kubernetes) -> bool:
    """Whether a gateway may still act on the fault, though the policy has it no more."""
    if "since" not in hold.undo:  # a lease of an older chaosrun
        return False
    policy = client.find(access_of(hold), objects.ref_of(hold))
    if policy is None or not policies.behind(policy, hold.undo["since"]):
        return False
    # A gateway tells nothing of a route that is gone, and has nothing to do for it.
    return client.find(access_of(hold), objects.ref_of(hold, "route")) is not None


def _unread(hold: Hold, client: Kubernetes) -> bool:
    if "since" not in hold.undo:
        return False
    policy = client.find(access_of(hold), objects.ref_of(hold))
    return policy is not None and policies.unread(policy, hold.undo["since"])


def _written(seconds: float) -> str:
    """A duration of the Gateway API, of which each part has at most five digits."""
    whole, milliseconds = divmod(max(1, round(seconds * 1000)), 1000)
    hours, rest = divmod(whole, 3600)
    parts = ((hours, "h"), (rest, "s"), (milliseconds, "ms"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)
