"""Workloads: what owns pods, and whether it is whole. What a person names, and how it is now.

Law: whole means that the controller has seen the newest wish and every pod that it wants is
ready and of the newest revision; what cannot be read is not whole.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.providers.kubernetes import reserved
from chaosrun.providers.kubernetes.access import Access, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.jobs import wants
from chaosrun.providers.kubernetes.kinds import WORKLOADS, Object, Ref, labels_of, uid_of
from chaosrun.rights import Permission
from chaosrun.targeting import Target

WorkloadKind = Literal["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"]


class State(msgspec.Struct, frozen=True, kw_only=True):
    """A workload as it is: how many pods it wants, and has."""

    desired: int
    ready: int
    updated: int
    extra: int
    """How many it has that it does not want."""
    settled: bool
    """Whether its controller has seen the newest wish."""
    whole: bool

    @property
    def said(self) -> str:
        words = f"{self.ready} of {self.desired} ready"
        if self.extra > 0:
            words += f", {self.extra} more that are to go"
        if self.updated < self.desired:
            words += f", {self.updated} of the newest revision"
        return words if self.settled else f"{words}, and its controller has not seen the change"


class Named(Access, frozen=True, kw_only=True):
    """One workload, by name (`called`, since a probe's own name is `name`)."""

    namespace: Annotated[str, Meta(description="Its namespace", min_length=1)]
    kind: Annotated[WorkloadKind, Meta(description="Its kind")] = "Deployment"
    called: Annotated[str, Meta(description="Its name", min_length=1)] = msgspec.field(name="name")

    def ref(self) -> Ref:
        return Ref(WORKLOADS[self.kind], self.called, self.namespace)

    def rights(self, *verbs: str) -> tuple[Permission, ...]:
        """These verbs on exactly this workload, and the cluster's name."""
        ref = self.ref()
        return (*self.asking(), *rbac(ref.kind.resource, *verbs, scope=ref.scope))


def target_of(ref: Ref, found: Object, access: Access, undo: Any = None) -> Target:
    """A workload as a target."""
    return Target(
        kind=ref.kind.kind.lower(),
        id=uid_of(found),
        name=f"{ref.namespace}/{ref.name}",
        undo=undo,
        labels=labels_of(found),
        reserved=reserved.why(ref),
        groups={
            "account": access.cluster,
            "namespace": ref.namespace,
            "workload": f"{ref.namespace}/{ref.name}",
            "group": "",
            "zone": "",
        },
    )


def not_rolling(kind: str, found: Object) -> str:
    """Why a change of the pod template would not reach its pods, or not all; or nothing."""
    spec = found["spec"]
    strategy = spec.get("updateStrategy") or {}
    if spec.get("paused"):
        return f"the {kind} is paused"
    if strategy.get("type") == "OnDelete":
        return f"the {kind} replaces pods only when they are deleted (OnDelete)"
    if partition := (strategy.get("rollingUpdate") or {}).get("partition"):
        return f"the {kind} keeps its pods below number {partition} as they are (partition)"
    return ""


def refuse_claims(label: str, before: Object, after: Object) -> None:
    """Raise Refused where a StatefulSet would lose or keep volumes by its change to that spec.

    Which it does is its `persistentVolumeClaimRetentionPolicy`, the one before or the one after;
    claims are kept if it has none.
    """
    if not before.get("volumeClaimTemplates"):
        return
    now, replicas = (int(spec.get("replicas", 1)) for spec in (before, after))
    policies = [spec.get("persistentVolumeClaimRetentionPolicy") or {} for spec in (before, after)]
    deletes = [policy.get("whenScaled", "Retain") == "Delete" for policy in policies]
    if replicas < now and any(deletes):
        raise Refused(
            f"{label} would delete the volumes of the pods that it loses, for good",
            hint="it has persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}",
        )
    if replicas > now and not all(deletes):
        raise Refused(
            f"{label} would keep the volumes of the pods that it gets, for good",
            hint="it has no persistentVolumeClaimRetentionPolicy: {whenScaled: Delete}",
        )


def look(client: Kubernetes, access: Access, ref: Ref) -> State | None:
    """The workload now, or None when there is none of that name."""
    found = client.find(access, ref)
    return None if found is None else state_of(ref.kind.kind, found)


def state_of(kind: str, found: Object) -> State:
    """How a workload is, by its own status."""
    spec, status = found.get("spec", {}), found.get("status", {})
    generation = found["metadata"].get("generation", 0)
    settled = status.get("observedGeneration", 0) >= generation
    extra = 0
    match kind:
        case "DaemonSet":
            desired = status.get("desiredNumberScheduled", 0)
            ready = status.get("numberReady", 0)
            updated = status.get("updatedNumberScheduled", 0)
        case "Job":
            desired, settled = wants(found), True
            ready, updated = status.get("ready", 0), desired
        case "ReplicaSet":
            desired, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
            updated, extra = desired, status.get("replicas", 0) - desired
        case "StatefulSet":
            desired, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
            updated = status.get("updatedReplicas", 0)  # those that end are not among them
            extra = status.get("replicas", 0) - desired
        case _:
            desired, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
            updated = status.get("updatedReplicas", 0)
            extra = status.get("replicas", 0) - min(updated, desired)
    whole = settled and ready >= desired and updated >= desired and extra <= 0
    return State(
        desired=desired, ready=ready, updated=updated, extra=extra, settled=settled, whole=whole
    )
