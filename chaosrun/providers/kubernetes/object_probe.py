"""The probe `kubernetes.object`: any object, asked by CEL or by JSONPath."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.probe import Probe
from chaosrun.providers.kubernetes import objects, paths
from chaosrun.providers.kubernetes.access import rbac
from chaosrun.providers.kubernetes.any_object import AnyObject
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import SECRET
from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration


class ObjectState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """An object as it is."""

    exists: Annotated[bool, Meta(description="Whether there is one of that name")]
    object: Annotated[
        dict[str, Any], Meta(description="The object without its managed fields: object.status...")
    ]
    values: Annotated[list[str], Meta(description="What is at `path`, each as text")]
    value: Annotated[str, Meta(description="The first of them, or nothing")]


class ObjectProbe(AnyObject, Probe[Kubernetes, ObjectState], frozen=True, kw_only=True):
    """Reads any object: `expect` asks its fields, or what a JSONPath finds in it.

    Secrets cannot be read: what they hold would be in the journal.
    """

    name: ClassVar[str] = "kubernetes.object"
    Result = ObjectState
    example: ClassVar[dict[str, JSON]] = {
        "with": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "namespace": "shop",
            "name": "checkout",
            "path": '{.status.conditions[?(@.type=="Available")].status}',
        },
        "expect": 'value == "True" && object.status.readyReplicas >= 2',
    }

    path: Annotated[str, Meta(description="A JSONPath, as kubectl's")] = ""
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(10)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path:
            paths.check(self.path)
        if self.ref().kind == SECRET:
            raise ValueError("a Secret cannot be read: what it holds would be in the journal")

    def needs(self) -> tuple[Permission, ...]:
        ref = self.ref()
        return (*self.asking(), *rbac(ref.kind.resource, "get", scope=ref.scope))

    def observe(self, client: Kubernetes) -> ObjectState:
        access, ref = client.settle(self.access()), self.ref()
        objects.resolved(client, access, ref.kind)
        found = client.find(access, ref)
        if found is None:
            return ObjectState(exists=False, object={}, values=[], value="")
        found["metadata"].pop("managedFields", None)
        values = [_text(each) for each in paths.values_at(found, self.path)] if self.path else []
        return ObjectState(
            exists=True, object=found, values=values, value=values[0] if values else ""
        )


def _text(value: Any) -> str:
    """As kubectl prints it, but true and false as JSON has them."""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
