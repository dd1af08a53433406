"""Nodes are emptied: cordoned, and their pods made to leave.

Law: pods of the cluster itself, of DaemonSets, and those that chaosrun runs in stay. A pod that
nothing would bring back refuses the plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Hold
from chaosrun.providers.kubernetes.access import Access, access_of, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import POD, WORKLOADS, Ref
from chaosrun.providers.kubernetes.leaving import leave, why_not
from chaosrun.providers.kubernetes.node_cordon import (
    cordon,
    differences,
    uncordon,
    unschedulable,
)
from chaosrun.providers.kubernetes.nodes import held
from chaosrun.providers.kubernetes.pods import Pod, is_own, owned, pod_of, replaceable, whole
from chaosrun.providers.kubernetes.workloads import PROTECTED, look
from chaosrun.rights import Permission

_NAMED = 5


def rights(how: str, namespaces: Sequence[str]) -> tuple[Permission, ...]:
    """What it takes besides changing nodes: in these namespaces, or everywhere."""
    found: list[Permission] = []
    for scope in sorted(namespaces) or [""]:
        found += rbac("pods", "list", scope=scope)
        if how == "evict":
            found += rbac("pods/eviction", "create", scope=scope)
        else:
            found += rbac("pods", "delete", scope=scope)
        found += rbac("replicasets.apps", "list", scope=scope)
        for kind in WORKLOADS.values():
            found += rbac(kind.resource, "get", scope=scope)
    return tuple(found)


def undo_of(
    client: Kubernetes, access: Access, nodes: Sequence[str], namespaces: Sequence[str]
) -> dict[str, Any]:
    """What the hold must know: which namespaces, and the workloads that are whole now.

    Raises Refused for pods that nothing would bring back.
    """
    pods = leaving(client, access, nodes, namespaces)
    if lost := [f"{pod.namespace}/{pod.name}" for pod in pods if replaceable(pod)]:
        some = ", ".join(lost[:_NAMED]) + (" and others" if len(lost) > _NAMED else "")
        raise Refused(
            f"nothing that we know would bring these pods back: {some}",
            hint="choose other nodes, or name the `namespaces` whose pods are to leave",
        )
    owners: list[list[str]] = []
    for namespace in sorted({pod.namespace for pod in pods}):
        here = [pod for pod in pods if pod.namespace == namespace]
        for kind, name in sorted({pod.owner for pod in owned(client, access, namespace, here)}):
            state = look(client, access, Ref(WORKLOADS[kind], name, namespace))
            if state is not None and state.whole:
                owners.append([namespace, kind, name])
    return {"namespaces": sorted(namespaces), "owners": owners, "pods": len(pods)}


def leaving(
    client: Kubernetes, access: Access, nodes: Sequence[str], namespaces: Sequence[str]
) -> list[Pod]:
    """The pods of these nodes that are to leave. Raises Refused if chaosrun's own is there."""
    found: list[Pod] = []
    for place in sorted(namespaces) or [""]:
        for node in nodes:
            listed = client.all(access, POD, place, fields=f"spec.nodeName={node}")
            found += [pod_of(one, {}) for one in listed]
    if own := [pod.name for pod in found if is_own(pod)]:
        raise Refused(f"chaosrun runs there itself, in pod {own[0]}", hint="choose other nodes")
    return sorted(
        (
            pod
            for pod in found
            if not pod.mirror
            and not pod.ending
            and pod.owner[0] != "DaemonSet"
            and pod.namespace not in PROTECTED
            and pod.phase in ("Running", "Pending", "Unknown")
        ),
        key=lambda pod: (pod.namespace, pod.name),
    )


def empty(hold: Hold, client: Kubernetes) -> None:
    """Cordon the nodes and make their pods leave; return when no pod is left that may leave."""
    for target in hold.targets:
        cordon(hold, client, target)
    wanted, access = hold.undo, access_of(hold)
    pods = [(pod.ref, pod.uid) for pod in _there(hold, client)]
    blocked = leave(client, access, pods, wanted["how"], wanted["grace"], wanted["patience"])

    def gone(looking: Kubernetes) -> bool:
        return all(pod.name in blocked for pod in _there(hold, looking))

    client.until(gone, "the pods should leave")


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
    owners = [Ref(WORKLOADS[kind], name, place) for place, kind, name in hold.undo["owners"]]
    good, said, numbers = whole(client, access_of(hold), owners)
    words = "; ".join([*wrong, said] if said else wrong) or "each takes pods again"
    return Evidence(not wrong and good, words, numbers)


def _there(hold: Hold, client: Kubernetes) -> list[Pod]:
    names = [target.name for target in hold.targets]
    return leaving(client, access_of(hold), names, hold.undo["namespaces"])
