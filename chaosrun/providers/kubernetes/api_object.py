"""Any object is other than it should be while it is held: patched, or made."""

from __future__ import annotations

import random
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import objects, paths
from chaosrun.providers.kubernetes.access import access_of, rbac, undo
from chaosrun.providers.kubernetes.any_object import AnyObject
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import SECRET
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.units import JSON


class Sign(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """A value of the object that shows the effect."""

    path: Annotated[
        str,
        Meta(
            description="A JSONPath",
            examples=['{.status.conditions[?(@.type=="AllInjected")].status}'],
        ),
    ]
    equals: Annotated[str, Meta(description="What it must be, as text")]

    def __post_init__(self) -> None:
        paths.check(self.path)


class ApiObject(Fault[Kubernetes], frozen=True, kw_only=True):
    """Patch an object, or make one; afterwards it is as before, or gone.

    So objects of Chaos Mesh, Istio, Linkerd or your own operators become faults with a way
    back. `sign` says by which value the object itself tells that it works. Only the object is
    looked at afterwards: what a controller makes of it, the pods of a workload, follows in its own
    time. For variables and Secrets there is `kubernetes.config-change`.
    """

    name: ClassVar[str] = "kubernetes.api-object"
    example: ClassVar[dict[str, JSON]] = {
        "target": {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "namespace": "shop",
            "name": "nobody-reaches-the-database",
        },
        "with": {
            "manifest": {
                "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "policyTypes": ["Ingress"]}
            }
        },
    }

    target: AnyObject
    patch: Annotated[
        list[dict[str, Any]] | dict[str, Any] | None,
        Meta(description="A JSON patch (a list), or a merge patch"),
    ] = None
    manifest: Annotated[
        dict[str, Any] | None, Meta(description="The object to make: its `spec` and so on")
    ] = None
    sign: Annotated[
        Sign | None, Meta(description="A value of the object that shows the effect")
    ] = None

    def __post_init__(self) -> None:
        if (self.patch is None) == (self.manifest is None):
            raise ValueError("give one of `patch` and `manifest`")
        if self.target.ref().kind == SECRET:
            raise ValueError("for a Secret there is kubernetes.config-change")

    def needs(self) -> tuple[Permission, ...]:
        ref, asking = self.target.ref(), self.target.asking()
        if self.patch is not None:
            return (*asking, *rbac(ref.kind.resource, "get", "patch", scope=ref.scope))
        create = rbac(ref.kind.resource, "create", scope=ref.namespace)
        return (*asking, *rbac(ref.kind.resource, "get", "delete", scope=ref.scope), *create)

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:  # noqa: ARG002
        access, ref = client.settle(self.target.access()), self.target.ref()
        if objects.resolved(client, access, ref.kind).namespaced is not bool(ref.namespace):
            wrong = "needs a" if not ref.namespace else "has no"
            raise Refused(f"{ref.kind.kind} {wrong} namespace")
        require(client, access, self.needs())
        if self.patch is not None:
            found, more = client.get(access, ref), {}
            more = objects.patched(client, access, ref, self.patch)
        else:
            found, more = None, objects.made(client, access, ref, self.manifest or {})
        sign = [self.sign.path, self.sign.equals] if self.sign else None
        return Hold(
            fault=self.name,
            targets=(objects.target_of(ref, access, found),),
            population=1,
            effect=f"{ref.label} is {'patched' if found else 'there'}",
            undo=undo(access, sign=sign, **more),
            way_back="chaosrun puts it back" if found else "chaosrun deletes it",
            mechanism="a patch" if found else "an object of its own",
            used=self.needs(),
        )

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        objects.inject(hold, client)
        if hold.undo["sign"]:
            client.until(lambda c: cls.took_effect(hold, c).seen, f"{_said(hold)} should be")

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        objects.revert(hold, client)

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        seen = objects.took_effect(hold, client)
        if not (seen.seen and hold.undo["sign"]):
            return seen
        path, equals = hold.undo["sign"]
        found = client.find(access_of(hold), objects.ref_of(hold)) or {}
        values = [str(value) for value in paths.values_at(found, path)]
        return Evidence(
            equals in values, f"{seen.detail}; {path} is {', '.join(values) or 'not set'}"
        )

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        return objects.restored(hold, client)


def _said(hold: Hold) -> str:
    path, equals = hold.undo["sign"]
    return f"{path} of {objects.ref_of(hold).label} = {equals}"
