"""Configuration is other than it should be while it is held: a ConfigMap, a Secret, a variable.

Law (L9): what a Secret held before never leaves the cluster: it is kept in a Secret beside it,
which is written before the change and goes with it.
"""

from __future__ import annotations

import random
from types import ModuleType
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import environment, keys
from chaosrun.providers.kubernetes.access import Access, rbac, undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import CONFIG_MAP, SECRET, STATEFUL_SET, WORKLOADS, Ref
from chaosrun.providers.kubernetes.require import require
from chaosrun.providers.kubernetes.workloads import target_of
from chaosrun.rights import Permission
from chaosrun.units import JSON

_KINDS = {"ConfigMap": CONFIG_MAP, "Secret": SECRET, **WORKLOADS}


class Configuration(Access, frozen=True, kw_only=True):
    """One ConfigMap or Secret, or one container of a workload, whose variables are meant."""

    namespace: Annotated[str, Meta(description="Its namespace", min_length=1)]
    kind: Annotated[
        Literal["ConfigMap", "Secret", "Deployment", "StatefulSet", "DaemonSet"],
        Meta(description="Its kind"),
    ] = "ConfigMap"
    name: Annotated[str, Meta(description="Its name", min_length=1)]
    container: Annotated[
        str, Meta(description="The container of the workload; needed when it has several")
    ] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.container and self.kind in ("ConfigMap", "Secret"):
            raise ValueError(f"a {self.kind} has no container")

    def ref(self) -> Ref:
        return Ref(_KINDS[self.kind], self.name, self.namespace)


class ConfigChange(Fault[Kubernetes], frozen=True, kw_only=True):
    """Set or remove keys of a ConfigMap or Secret, or variables of a workload's container.

    Afterwards exactly these are as before; others that changed meanwhile stay. A workload rolls
    out twice, so give the step a `timeout`; pods of a StatefulSet that are not ready with the
    changed variables are ended, since it would wait for them for ever. Pods see a ConfigMap or
    Secret that they mount a minute or so later; one that they read at their start, not before the
    next.
    """

    name: ClassVar[str] = "kubernetes.config-change"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"namespace": "shop", "kind": "ConfigMap", "name": "checkout"},
        "with": {"set": {"timeout": "1ms"}},
    }

    target: Configuration
    set: Annotated[dict[str, str], Meta(description="Keys or variables, and their values")] = {}
    remove: Annotated[tuple[str, ...], Meta(description="Keys or variables to remove")] = ()

    def __post_init__(self) -> None:
        if not (self.set or self.remove):
            raise ValueError("say what to change: `set` or `remove`")
        if both := sorted({*self.set} & {*self.remove}):
            raise ValueError(f"both set and removed: {', '.join(both)}")

    def needs(self) -> tuple[Permission, ...]:
        ref = self.target.ref()
        found = [*self.target.asking(), *rbac(ref.kind.resource, "get", "patch", scope=ref.scope)]
        if self.target.kind == "Secret":
            kept = keys.kept_in(ref)
            found += rbac("secrets", "get", "delete", scope=kept.scope)
            found += rbac("secrets", "create", scope=ref.namespace)
        elif self.target.kind != "ConfigMap":
            found += rbac(ref.kind.resource, "list", "watch", scope=ref.scope)
            if ref.kind == STATEFUL_SET:  # whose broken pods are ended
                found += rbac("pods", "delete", "list", scope=ref.namespace)
        return tuple(found)

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:  # noqa: ARG002
        access, ref = client.settle(self.target.access()), self.target.ref()
        require(client, access, self.needs())
        found = client.get(access, ref)
        more: dict[str, Any] = {"kind": self.target.kind, "set": self.set}
        if ref.kind in (CONFIG_MAP, SECRET):
            if found.get("immutable"):
                raise Refused(f"{ref.label} is immutable")
            more |= keys.before(client, access, ref, found, self.set, self.remove)
        else:
            meant = self.target
            more |= environment.before(meant.kind, found, meant.container, self.set, self.remove)
        names = [*sorted(self.set), *sorted(self.remove)]
        return Hold(
            fault=self.name,
            targets=(target_of(ref, found, access),),
            population=1,
            effect=f"{ref.label} has other values of {', '.join(names)}",
            undo=undo(access, names=names, **more),
            way_back="chaosrun sets what was there before",
            mechanism="the object itself",
            used=self.needs(),
        )

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        _of(hold).inject(hold, client, _ref(hold))

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        _of(hold).revert(hold, client, _ref(hold))

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        seen: Evidence = _of(hold).took_effect(hold, client, _ref(hold))
        return seen

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        seen: Evidence = _of(hold).restored(hold, client, _ref(hold))
        return seen


def _of(hold: Hold) -> ModuleType:
    """What knows this kind of configuration."""
    return keys if hold.undo["kind"] in ("ConfigMap", "Secret") else environment


def _ref(hold: Hold) -> Ref:
    namespace, _, name = hold.targets[0].name.partition("/")
    return Ref(_KINDS[hold.undo["kind"]], name, namespace)
