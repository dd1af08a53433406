"""Nodes are emptied: cordoned, and their pods made to leave.

Law: pods of DaemonSets stay, and those of the cluster itself unless their namespace is named. A
node is reserved when these, or chaosrun's own pod, would leave it. A pod that nothing would bring
back refuses the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec.structs import replace

from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import reserved
from chaosrun.providers.kubernetes.access import Access, access_of, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import DAEMON_SET, POD, WORKLOADS
from chaosrun.providers.kubernetes.leaving import How, leave, why_not
from chaosrun.providers.kubernetes.node_cordon import (
    cordon,
    differences,
    uncordon,
    unschedulable,
)
from chaosrun.providers.kubernetes.nodes import held
from chaosrun.providers.kubernetes.owners import losing_all, wholeness
from chaosrun.providers.kubernetes.pods import Pod, is_own, on_node, pods_on
from chaosrun.providers.kubernetes.watching import Watched
from chaosrun.rights import Permission
from chaosrun.targeting import Target

_HINT = "choose other nodes, or name the `namespaces` whose pods are to leave"


class Emptied(Fault[Kubernetes], frozen=True, kw_only=True):
    """A fault that empties nodes. A subclass gives the plan, with what `undo_of` found."""

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        empty(hold, client)

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        fill(hold, client)

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        return seen_empty(hold, client)

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        return seen_filled(hold, client)


def rights(how: str, namespaces: Sequence[str]) -> tuple[Permission, ...]:
    """What it takes besides changing nodes: in these namespaces, or everywhere."""
    found: list[Permission] = []
    for scope in _places(namespaces):
        found += rbac("pods", "list", "watch", scope=scope)
        if how == "evict":
            found += rbac("pods/eviction", "create", scope=scope)
        else:
            found += rbac("pods", "delete", scope=scope)
        found += rbac("replicasets.apps", "list", scope=scope)
        for kind in WORKLOADS.values():
            if kind is not DAEMON_SET:  # whose pods stay
                found += rbac(kind.resource, "get", scope=scope)
    return tuple(found)


def undo_of(
    client: Kubernetes, access: Access, nodes: Sequence[str], namespaces: Sequence[str], how: How
) -> dict[str, Any]:
    """What the hold must know: which namespaces, and the workloads that are whole now.

    `own` is the node from which chaosrun's own pod would leave, if one would. Raises Refused for
    pods that nothing would bring back.
    """
    pods = leaving(client, access, nodes, namespaces)
    owners = losing_all(client, access, pods, _HINT, disrupting=how == "evict")
    own = next((pod.node for pod in pods if is_own(pod)), "")
    return {"namespaces": sorted(namespaces), "owners": owners, "pods": len(pods), "own": own}


def reserving(targets: Iterable[Target], found: dict[str, Any]) -> tuple[Target, ...]:
    """The nodes, each with the reason why what `undo_of` found there makes it reserved."""
    cluster = reserved.why_in(found["namespaces"])
    return tuple(
        replace(
            target,
            reserved="would lose the pod in which chaosrun runs"
            if target.name == found["own"]
            else cluster,
        )
        for target in targets
    )


def leaving(
    client: Kubernetes, access: Access, nodes: Sequence[str], namespaces: Sequence[str]
) -> list[Pod]:
    """The pods of these nodes that are to leave."""
    found: list[Pod] = []
    for place in _places(namespaces):
        for node in nodes:
            found += pods_on(client, access, node, place)
    return sorted(
        (
            pod
            for pod in found
            if not pod.mirror
            and not pod.ending
            and pod.owner[0] != "DaemonSet"
            and (pod.namespace in namespaces or pod.namespace not in reserved.PROTECTED)
            and pod.phase in ("Running", "Pending", "Unknown")
        ),
        key=lambda pod: (pod.namespace, pod.name),
    )


def empty(hold: Hold, client: Kubernetes) -> None:
    """Cordon the nodes and make their pods leave; return when no pod is left that may leave."""
    for target in hold.targets:
        cordon(hold, client, target)  # refuses a node that took the name of a planned one
    wanted, access = hold.undo, access_of(hold)
    there = _there(hold, client)
    evicted = wanted["how"] == "evict"
    losing_all(client, access, there, _HINT, disrupting=evicted)  # some may have come since
    pods = [(pod.ref, pod.uid) for pod in there]
    blocked = leave(client, access, pods, wanted["how"], wanted["grace"], wanted["patience"])

    told = {pod.uid for pod in there} - set(blocked)  # and not those that come later

    def gone(looking: Kubernetes) -> bool:
        return not any(pod.uid in told for pod in _there(hold, looking))

    watching = [
        Watched(access, POD, place, fields=on_node(target.name))
        for place in _places(wanted["namespaces"])
        for target in hold.targets
    ]
    client.until(gone, "the pods should leave", watching=watching)


def fill(hold: Hold, client: Kubernetes) -> None:
    """Make the nodes take pods again; those that left stay where they are now."""
    for target in hold.targets:
        uncordon(hold, client, target)


def seen_empty(hold: Hold, client: Kubernetes) -> Evidence:
    """Whether all nodes are closed; and whatever is left, why."""
    now = held(hold, client)
    closed = [t.name for t in hold.targets if t.id in now and unschedulable(now[t.id])]
    words, stay = [f"{len(closed)} of {len(hold.targets)} nodes are closed"], 0
    if closed:
        for pod in _there(hold, client):
            stay += 1
            said = ""
            if hold.undo["how"] == "evict":
                said = why_not(client, access_of(hold), pod.ref, pod.uid)
            words.append(f"{pod.namespace}/{pod.name} stays" + (f": {said}" if said else ""))
    left = hold.undo["pods"] - stay
    words.append(f"{left} of {hold.undo['pods']} pods have left")
    emptied = left > 0 or hold.undo["pods"] == 0
    return Evidence(
        len(closed) == len(hold.targets) and emptied, "; ".join(words), {"left": left, "stay": stay}
    )


def seen_filled(hold: Hold, client: Kubernetes) -> Evidence:
    """Whether the nodes are open as before, and the workloads whole as before."""
    wrong = differences(hold, held(hold, client))
    good, said, numbers = wholeness(hold, client)
    words = "; ".join([*wrong, said] if said else wrong) or "each takes pods again"
    return Evidence(not wrong and good, words, numbers)


def _places(namespaces: Sequence[str]) -> list[str]:
    """Where pods are to leave: the namespaces that were named, or all as one."""
    return sorted(namespaces) or [""]


def _there(hold: Hold, client: Kubernetes) -> list[Pod]:
    names = [target.name for target in hold.targets]
    found = leaving(client, access_of(hold), names, hold.undo["namespaces"])
    opened = any(target.opened for target in hold.targets)
    return [pod for pod in found if opened or not is_own(pod)]
