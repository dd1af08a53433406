"""Pods: which ones a person means, and how they are now.

Law: nothing is selected by omission: a namespace must be given, and some criterion in it.
Pods that are ending are never selected, nor the one that runs chaosrun unless it is named; that
one, and those of the cluster itself, are reserved.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import reserved
from chaosrun.providers.kubernetes.access import Access, access_of, rbac
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
from chaosrun.providers.kubernetes.watching import Watched
from chaosrun.rights import Permission
from chaosrun.targeting import Pick, Target, pick, populations

ZONE = "topology.kubernetes.io/zone"


class Pod(msgspec.Struct, frozen=True, kw_only=True):
    """One pod.

    `owner` is the kind and name of what it is of, as a person knows it; `keeper` those of what
    would replace it, if that is one of the kinds that we know.
    """

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
    keeper: tuple[str, str] = ("", "")
    spec: Object = {}
    containers: dict[str, Object] = {}
    """The status of each container."""
    inits: dict[str, Object] = {}
    """And of each that starts before them, sidecars among these."""

    @property
    def ref(self) -> Ref:
        return Ref(POD, self.name, self.namespace)

    @property
    def over(self) -> bool:
        """Whether all its containers have ended for good."""
        return self.phase in ("Succeeded", "Failed")

    def target(self, access: Access, undo: Any = None) -> Target:
        kind, name = self.owner
        return Target(
            kind="pod",
            id=self.uid,
            name=f"{self.namespace}/{self.name}",
            domain=self.zone,
            undo={"owner": [kind, name], **(undo or {})},
            labels=self.labels,
            reserved=reserved.why(self.ref),
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
        """What looking for them takes, and `more`: verbs by resource, on each of them."""
        found = [*self.asking(), *rbac("nodes", "list")]
        for namespace in self.everywhere():
            found += rbac("pods", "list", scope=namespace)
            if self._may_be_of_deployments():
                found += rbac("replicasets.apps", "list", scope=namespace)
            for scope in self.scopes(namespace):
                for resource, verbs in more.items():
                    found += rbac(resource.replace("_", "/"), *verbs, scope=scope)
        return tuple(dict.fromkeys(found))

    def scopes(self, namespace: str) -> list[str]:
        """The scopes of rights on them: the pods themselves, where they are named."""
        return [f"{namespace}/{name}" for name in self.names] or [namespace]

    def _may_be_of_deployments(self) -> bool:
        """Whether ReplicaSets matter, which tell the Deployment of a pod."""
        return self.owner.partition("/")[0] not in ("StatefulSet", "DaemonSet", "Job")

    def population(self, client: Kubernetes, access: Access) -> list[Pod]:
        """All of them, sorted by namespace and name."""
        fields = ",".join(
            part for part in (self.fields, on_node(self.node) if self.node else "") if part
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
        found = [pod_of(one, zones) for one in listed]
        if self._may_be_of_deployments():
            found = owned(client, access, namespace, found)
        return [pod for pod in found if pod.uid not in left_out and self._meant(pod)]

    def _meant(self, pod: Pod) -> bool:
        return (
            not pod.ending
            and not pod.mirror
            and pod.phase in ("Running", "Pending")
            and (pod.name in self.names or not is_own(pod))
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


def on_node(node: str) -> str:
    """The field selector of a node's pods."""
    return f"spec.nodeName={node}"


def pods_on(client: Kubernetes, access: Access, node: str, namespace: str = "") -> list[Pod]:
    """The pods of a node, of that namespace or of all; their zones are not looked up."""
    return [pod_of(one, {}) for one in client.all(access, POD, namespace, fields=on_node(node))]


def owned(client: Kubernetes, access: Access, namespace: str, pods: Sequence[Pod]) -> list[Pod]:
    """The same pods, with what owns their ReplicaSet as the owner, where something does.

    It is the keeper, too, if it is a Deployment; what else there may be, we do not know, and a
    ReplicaSet replaces its pods itself.
    """
    if not any(pod.keeper[0] == "ReplicaSet" for pod in pods):
        return list(pods)
    sets = client.all(access, REPLICA_SET, namespace, metadata=True)
    above = {one["metadata"]["name"]: _controller(one) for one in sets}
    return [
        msgspec.structs.replace(pod, owner=_name(over), keeper=_keeper(over) or pod.keeper)
        if pod.keeper[0] == "ReplicaSet" and (over := above.get(pod.keeper[1]))
        else pod
        for pod in pods
    ]


def pod_of(found: Object, zones: dict[str, str]) -> Pod:
    """A pod as the API describes it."""
    status, spec = found.get("status", {}), found.get("spec", {})
    conditions = {one["type"]: one["status"] for one in status.get("conditions") or ()}
    containers = {one["name"]: one for one in status.get("containerStatuses") or ()}
    inits = {one["name"]: one for one in status.get("initContainerStatuses") or ()}
    before = spec.get("initContainers") or ()
    sidecars = [one["name"] for one in before if one.get("restartPolicy") == "Always"]
    counted = [*containers.values(), *(inits[name] for name in sidecars if name in inits)]
    controller = _controller(found)
    return Pod(
        name=found["metadata"]["name"],
        namespace=found["metadata"]["namespace"],
        uid=uid_of(found),
        node=spec.get("nodeName", ""),
        zone=zones.get(spec.get("nodeName", ""), ""),
        phase=status.get("phase", "Unknown"),
        ready=conditions.get("Ready") == "True",
        ending="deletionTimestamp" in found["metadata"],
        restarts=sum(one.get("restartCount", 0) for one in counted),
        mirror="kubernetes.io/config.mirror" in annotations_of(found),
        labels=labels_of(found),
        annotations=annotations_of(found),
        owner=_name(controller) if controller else ("", ""),
        owner_uid=controller["uid"] if controller else "",
        keeper=(_keeper(controller) if controller else None) or ("", ""),
        spec=spec,
        containers=containers,
        inits=inits,
    )


def _controller(found: Object) -> Object | None:
    """The reference to what controls an object."""
    references = found["metadata"].get("ownerReferences") or ()
    return next((one for one in references if one.get("controller")), None)


def _name(controller: Object) -> tuple[str, str]:
    return controller["kind"], controller["name"]


def _keeper(controller: Object) -> tuple[str, str] | None:
    """The same, if it is of a kind that we know to replace pods: by its name and API group."""
    kind, group = WORKLOADS.get(controller["kind"]), controller["apiVersion"].rpartition("/")[0]
    return _name(controller) if kind is not None and kind.group == group else None


def is_own(pod: Pod) -> bool:
    """Whether that is the pod in which chaosrun runs."""
    return (pod.namespace, pod.name) == reserved.own_pod()


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


def watched(hold: Hold) -> list[Watched]:
    """What `held` looks at, for `Kubernetes.until`."""
    access, uids = access_of(hold), {target.id for target in hold.targets}
    places = sorted({target.name.partition("/")[0] for target in hold.targets})
    return [Watched(access, POD, place, keep=lambda pod: uid_of(pod) in uids) for place in places]
