"""The gates `kubernetes.access`, `kubernetes.cluster` and `kubernetes.no-other-chaos`.

Law (L4): what cannot be asked closes the gate.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.gate import Gate, Measured
from chaosrun.providers.kubernetes.access import Access, of_arguments, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import Kind, Object
from chaosrun.providers.kubernetes.require import in_words, missing, require
from chaosrun.rights import Need, Permission, by_right
from chaosrun.units import JSON, Duration

_MESH, _LITMUS = "chaos-mesh.org/v1alpha1", "litmuschaos.io/v1alpha1"
_MESH_KINDS = (
    "AWSChaos", "AzureChaos", "BlockChaos", "DNSChaos", "GCPChaos", "HTTPChaos", "IOChaos",
    "JVMChaos", "KernelChaos", "NetworkChaos", "PhysicalMachineChaos", "PodChaos",
    "PodIOChaos", "StressChaos", "TimeChaos",
)  # fmt: skip
_OTHERS = (
    *(Kind(_MESH, kind, kind.lower()) for kind in _MESH_KINDS),
    Kind(_LITMUS, "ChaosEngine", "chaosengines"),
)
_NAMED = 5


class CanDo(Access, Gate[Kubernetes], frozen=True, kw_only=True):
    """Open when we have every right that the experiment needs, asked one by one.

    They are those of its faults, probes and gates, and of the gates that policies demand. Each is
    asked as that one asks the cluster: in its context, as the user it acts as. Where it says
    neither, this gate's own fields do.
    """

    name: ClassVar[str] = "kubernetes.access"
    asks_rights: ClassVar[bool] = True
    example: ClassVar[dict[str, JSON]] = {"context": "production"}

    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(20)

    def needs(self) -> tuple[Permission, ...]:
        return self.asking()

    def measure_rights(self, client: Kubernetes, needs: tuple[Need, ...]) -> Measured:
        asked: dict[Access, list[Need]] = {}
        for need in needs:
            if need.permission.system == "rbac":
                how = of_arguments(need.arguments)
                how = self.access() if how == Access() else how
                asked.setdefault(how, []).append(need)
        lacking, count = [], 0
        for how, theirs in asked.items():
            rights = by_right(theirs)
            count += len(rights)
            lacking += missing(client, how, rights)
        said = "; ".join(map(in_words, lacking[:_NAMED]))
        more = f" and {len(lacking) - _NAMED} more" if len(lacking) > _NAMED else ""
        return Measured(
            open=not lacking,
            measured=f"missing: {said}{more}" if lacking else f"all {count} rights are there",
            rule="every right that the experiment needs",
            hint="`chaosrun permissions FILE --document rbac` writes them" if lacking else "",
        )


class RightCluster(Access, Gate[Kubernetes], frozen=True, kw_only=True):
    """Open when the current context is this one, or the cluster is this one.

    Here `context` is not chosen but compared: that of the kubeconfig must be it. `cluster` is
    the UID of its namespace kube-system.
    """

    name: ClassVar[str] = "kubernetes.cluster"
    example: ClassVar[dict[str, JSON]] = {"context": "staging"}

    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(10)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.context or self.cluster):
            raise ValueError("say which: context, cluster or both")

    def needs(self) -> tuple[Permission, ...]:
        return self.asking()

    def measure(self, client: Kubernetes) -> Measured:
        found = client.settle(msgspec.structs.replace(self.access(), context="", cluster=""))
        wanted = [(what, getattr(self, what)) for what in ("context", "cluster")]
        given = [(what, said) for what, said in wanted if said]
        right = all(getattr(found, what) == said for what, said in given)
        context = f"context {found.context}" if found.context else "in the cluster itself"
        return Measured(
            open=right,
            measured=f"{context}, cluster {found.cluster}",
            rule=" and ".join(f"the {what} must be {said}" for what, said in given),
            hint="" if right else "`kubectl config use-context`, or change the experiment",
        )


class NoOtherChaos(Access, Gate[Kubernetes], frozen=True, kw_only=True):
    """Open when neither Chaos Mesh nor Litmus is at work, in a namespace or anywhere."""

    name: ClassVar[str] = "kubernetes.no-other-chaos"
    example: ClassVar[dict[str, JSON]] = {"namespace": "shop"}

    namespace: Annotated[str, Meta(description="Only in this namespace; else in all")] = ""
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(20)

    def needs(self) -> tuple[Permission, ...]:
        rights = [rbac(kind.resource, "list", scope=self.namespace) for kind in _OTHERS]
        return (*self.asking(), *(right for each in rights for right in each))

    def measure(self, client: Kubernetes) -> Measured:
        access = client.settle(self.access())
        require(client, access, self.needs())  # what is not served now may be at the next step
        served = set(client.groups(access))
        active = []
        for kind in _OTHERS:
            if kind.api_version not in served:
                continue
            known = {one["name"] for one in client.discover(access, kind.api_version)}
            if kind.plural in known:
                found = client.all(access, kind, self.namespace)
                active += [f"{kind.kind} {_name(one)}" for one in found if _active(kind, one)]
        said = ", ".join(sorted(active)[:_NAMED])
        more = f" and {len(active) - _NAMED} more" if len(active) > _NAMED else ""
        return Measured(
            open=not active,
            measured=(said + more) or "nobody else's faults",
            rule="no experiment of Chaos Mesh or Litmus may be active",
            hint="wait until they end, or stop them" if active else "",
        )


def _name(one: Object) -> str:
    return f"{one['metadata'].get('namespace', '')}/{one['metadata']['name']}"


def _active(kind: Kind, one: Object) -> bool:
    """Unless it says that it has stopped, it is at work."""
    status = one.get("status") or {}
    if kind.api_version == _LITMUS:
        asked = (one.get("spec") or {}).get("engineState") == "stop"
        said = status.get("engineStatus", "")
        return said not in ("completed", "stopped") and not (asked and not said)
    experiment = status.get("experiment") or {}  # what it wants, and what is in place yet
    records = experiment.get("containerRecords") or ()
    recovered = all(one["phase"] == "Not Injected" for one in records)
    return experiment.get("desiredPhase") != "Stop" or not recovered
