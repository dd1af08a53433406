"""Pods: which ones a person means, and how they are now.

Law: nothing is selected by omission: a namespace must be given, and some criterion in it.
Pods that are ending, those of the cluster itself, and the one that runs chaosrun are never
selected.
"""

from __future__ import annotations

import os
import random
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes.access import CLUSTER, Access, access_of, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import (
    NODE,
    POD,
    REPLICA_SET,
    WORKLOADS,
    Object,
    Ref,
    annotations_of,
    labels_of,
    uid_of,
)
from chaosrun.providers.kubernetes.workloads import PROTECTED, State, look
from chaosrun.rights import Permission
from chaosrun.targeting import Pick, Target, pick, populations

ZONE = "topology.kubernetes.io/zone"
_IN_A_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """One pod. `owner` is the kind, API version and name of what would replace it."""

    name: str
    namespace: str
    uid: str
    node: str
    zone: str
    phase: str
    ready: bool
    ending: bool
    restarts: int
    mirror: bool
    labels: dict[str, str]
    annotations: dict[str, str]
    owner: tuple[str, str] = ("", "")
    owner_uid: str = ""
    spec: Object = {}
    containers: dict[str, Object] = {}
    """The status of each container."""

    @property
    def ref(self) -> Ref:
        return Ref(POD, self.name, self.namespace)

    def target(self, access: Access, undo: Any = None) -> Target:
        kind, name = self.owner
        return Target(
            kind="pod",
            id=self.uid,
            name=f"{self.namespace}/{self.name}",
            domain=self.zone,
            undo={"owner": [kind, name], **(undo or {})},
            labels=self.labels,
            groups={
                "account": access.cluster,
                "namespace": self.namespace,
                "workload": f"{self.namespace}/{name}" if name else "",
                "group": "",
                "zone": self.zone,
            },
        )


class Pods(Access, frozen=True, kw_only=True):
    """Pods of one namespace or more that meet every criterion given; of them the picked ones."""

    namespace: Annotated[str, Meta(description="Their namespace")] = ""
    namespaces: Annotated[tuple[str, ...], Meta(description="Several namespaces")] = ()
    selector: Annotated[
        str, Meta(description="A label selector", examples=["app=checkout,tier!=canary"])
    ] = ""
    fields: Annotated[
        str, Meta(description="A field selector", examples=["spec.nodeName=node-1"])
    ] = ""
    annotations: Annotated[dict[str, str], Meta(description="Annotations, and their values")] = {}
    owner: Annotated[str, Meta(description="What owns them", examples=["Deployment/checkout"])] = ""
    node: Annotated[str, Meta(description="The name of their node")] = ""
    zone: Annotated[str, Meta(description="Their zone, by the label of their nodes")] = ""
    names: Annotated[tuple[str, ...], Meta(description="Their names")] = ()
    exclude: Annotated[str, Meta(description="A label selector of those that are left out")] = ""
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.everywhere():
            raise ValueError("say where: `namespace` or `namespaces`")
        if not (self.selector or self.fields or self.annotations or self.owner or self.node
                or self.zone or self.names):  # fmt: skip
            raise ValueError("say which: selector, fields, annotations, owner, node, zone or names")
        if self.owner and self.owner.count("/") != 1:
            raise ValueError(f"an owner is KIND/NAME, such as Deployment/checkout: {self.owner!r}")

    def everywhere(self) -> list[str]:
        """Every namespace, sorted."""
        return sorted({*self.namespaces, *([self.namespace] if self.namespace else [])})

    def rights(self, **more: Sequence[str]) -> tuple[Permission, ...]:
        """What looking for them takes, and `more`: verbs by resource, in each namespace."""
        found = [*CLUSTER, *rbac("nodes", "list")]
        for namespace in self.everywhere():
            found += rbac("pods", "list", scope=namespace)
            found += rbac("replicasets.apps", "list", scope=namespace)
            for resource, verbs in more.items():
                found += rbac(resource.replace("_", "/"), *verbs, scope=namespace)
        return tuple(dict.fromkeys(found))

    def population(self, client: Kubernetes, access: Access) -> list[Pod]:
        """All of them, sorted by namespace and name. Raises Refused for protected ones."""
        if protected := sorted(set(self.everywhere()) & set(PROTECTED)):
            raise Refused(
                f"{', '.join(protected)} belongs to the cluster itself, which is never a target",
                hint="choose another namespace",
            )
        fields = ",".join(
            part
            for part in (self.fields, f"spec.nodeName={self.node}" if self.node else "")
            if part
        )
        zones = zones_of(client, access)
        found = [
            pod
            for namespace in self.everywhere()
            for pod in self._of(client, access, namespace, fields, zones)
        ]
        return sorted(found, key=lambda pod: (pod.namespace, pod.name))

    def _of(
        self, client: Kubernetes, access: Access, namespace: str, fields: str, zones: dict[str, str]
    ) -> list[Pod]:
        listed = client.all(access, POD, namespace, labels=self.selector, fields=fields)
        left_out: set[str] = set()
        if self.exclude:
            excluded = client.all(access, POD, namespace, labels=self.exclude, metadata=True)
            left_out = {uid_of(one) for one in excluded}
        found = owned(client, access, namespace, [pod_of(one, zones) for one in listed])
        return [pod for pod in found if pod.uid not in left_out and self._meant(pod)]

    def _meant(self, pod: Pod) -> bool:
        return (
            not pod.ending
            and not pod.mirror
            and pod.phase in ("Running", "Pending")
            and not is_own(pod)
            and self.zone in ("", pod.zone)
            and self.owner in ("", "/".join(pod.owner))
            and (not self.names or pod.name in self.names)
            and self.annotations.items() <= pod.annotations.items()
        )

    def picked(
        self, client: Kubernetes, access: Access, rng: random.Random, able: Any = None
    ) -> tuple[list[Pod], list[Pod]]:
        """The picked pods, and the population they were picked from.

        `able` says of a pod why it cannot be taken; one reason refuses all.
        """
        pods = self.population(client, access)
        if self.names and (lost := sorted(set(self.names) - {pod.name for pod in pods})):
            raise Refused(f"{', '.join(lost)}: no such pods that run in {self.everywhere()[0]}")
        for pod in pods:
            if able is not None and (why := able(pod)):
                raise Refused(f"pod {pod.namespace}/{pod.name}: {why}")
        keys = {target.key for target in pick([p.target(access) for p in pods], self.pick, rng)}
        return [pod for pod in pods if pod.target(access).key in keys], pods


def counted(access: Access, pods: Iterable[Pod]) -> dict[str, int]:
    """How many there are of each workload and zone."""
    return populations(pod.target(access) for pod in pods)


def zones_of(client: Kubernetes, access: Access) -> dict[str, str]:
    """The zone of each node."""
    nodes = client.all(access, NODE, metadata=True)
    return {one["metadata"]["name"]: labels_of(one).get(ZONE, "") for one in nodes}


def owned(client: Kubernetes, access: Access, namespace: str, pods: Sequence[Pod]) -> list[Pod]:
    """The same pods, with the Deployment as the owner where it owns their ReplicaSet."""
    if not any(pod.owner[0] == "ReplicaSet" for pod in pods):
        return list(pods)
    above = {
        one["metadata"]["name"]: _owner(one)[0]
        for one in client.all(access, REPLICA_SET, namespace, metadata=True)
    }
    return [
        msgspec.structs.replace(pod, owner=over)
        if pod.owner[0] == "ReplicaSet" and (over := above.get(pod.owner[1], ("", "")))[0]
        else pod
        for pod in pods
    ]


def pod_of(found: Object, zones: dict[str, str]) -> Pod:
    """A pod as the API describes it."""
    status, spec = found.get("status", {}), found.get("spec", {})
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    containers = {one["name"]: one for one in status.get("containerStatuses") or ()}
    owner, owner_uid = _owner(found)
    return Pod(
        name=found["metadata"]["name"],
        namespace=found["metadata"]["namespace"],
        uid=uid_of(found),
        node=spec.get("nodeName", ""),
        zone=zones.get(spec.get("nodeName", ""), ""),
        phase=status.get("phase", "Unknown"),
        ready=conditions.get("Ready") == "True",
        ending="deletionTimestamp" in found["metadata"],
        restarts=sum(one.get("restartCount", 0) for one in containers.values()),
        mirror="kubernetes.io/config.mirror" in annotations_of(found),
        labels=labels_of(found),
        annotations=annotations_of(found),
        owner=owner,
        owner_uid=owner_uid,
        spec=spec,
        containers=containers,
    )


def _owner(found: Object) -> tuple[tuple[str, str], str]:
    for one in found["metadata"].get("ownerReferences") or ():
        if one.get("controller"):
            return (one["kind"], one["name"]), one["uid"]
    return ("", ""), ""


def is_own(pod: Pod) -> bool:
    """Whether that is the pod in which chaosrun runs."""
    try:
        namespace = _IN_A_POD.read_text().strip()
    except OSError:
        return False
    return (pod.namespace, pod.name) == (namespace, os.environ.get("POD_NAME") or _hostname())


def _hostname() -> str:
    return socket.gethostname()


def replaceable(pod: Pod) -> str:
    """Why nothing would replace it, or nothing."""
    return "" if pod.owner[0] in WORKLOADS else "nothing that we know would replace it"


def held(hold: Hold, client: Kubernetes) -> list[Pod]:
    """The hold's targets that are still there, as they are now: one list a namespace."""
    access, uids = access_of(hold), {target.id for target in hold.targets}
    places = sorted({target.name.partition("/")[0] for target in hold.targets})
    return [
        pod
        for place in places
        for one in client.all(access, POD, place)
        if (pod := pod_of(one, {})).uid in uids
    ]


def owners_of(hold: Hold) -> list[Ref]:
    """The workloads of the hold's targets."""
    found = {
        (target.name.partition("/")[0], *target.undo["owner"])
        for target in hold.targets
        if target.undo["owner"][0] in WORKLOADS
    }
    return [Ref(WORKLOADS[kind], name, place) for place, kind, name in sorted(found)]


def wholeness(hold: Hold, client: Kubernetes) -> tuple[bool, str, dict[str, Any]]:
    """Whether every workload of the targets is whole; in words, and in numbers."""
    return whole(client, access_of(hold), owners_of(hold))


def whole(
    client: Kubernetes, access: Access, owners: Iterable[Ref]
) -> tuple[bool, str, dict[str, Any]]:
    """Whether all these workloads are whole; in words, and in numbers."""
    states: list[tuple[Ref, State | None]] = [(ref, look(client, access, ref)) for ref in owners]
    words = [f"{ref.label}: {state.said if state else 'is gone'}" for ref, state in states]
    numbers = {
        "ready": sum(state.ready for _, state in states if state),
        "desired": sum(state.desired for _, state in states if state),
    }
    good = all(state is not None and state.whole for _, state in states)
    return good, "; ".join(words), numbers
