"""Pods that a taint with the effect NoExecute makes leave: which they are, and whose.

Law (L1): a pod that nothing would bring back refuses the plan. Law (L4): a node from which pods of
the cluster itself, or chaosrun's own, would leave is reserved.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from msgspec.structs import replace

from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import reserved
from chaosrun.providers.kubernetes.access import Access, access_of, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import DAEMON_SET, WORKLOADS, Object, Ref
from chaosrun.providers.kubernetes.owners import losing_all, refuse_alone
from chaosrun.providers.kubernetes.pods import Pod, is_own, pods_on
from chaosrun.rights import Permission
from chaosrun.targeting import Target

_HINT = "choose other nodes, or the effect NoSchedule"


def rights() -> tuple[Permission, ...]:
    """What it takes to know them, in all namespaces."""
    found = [*rbac("pods", "list"), *rbac("replicasets.apps", "list")]
    for kind in WORKLOADS.values():
        found += rbac(kind.resource, "get")
    return tuple(dict.fromkeys(found))


def reserving(
    client: Kubernetes, access: Access, targets: Iterable[Target], taint: Object
) -> tuple[tuple[Target, ...], dict[str, Any]]:
    """The nodes, each with why it is reserved; and what the hold must know.

    These are `owners`, the workloads that are whole now; `going`, the UIDs of the pods; and
    `daemons`, the DaemonSets of `owners`, each by its namespace, name and generation, and the
    node that loses its pod. Raises Refused for pods that nothing would bring back.
    """
    nodes, going, over = [], [], []
    for target in targets:
        here = _leaving(client, access, target.name, taint)
        nodes.append(replace(target, reserved=_why(here)))
        going += [pod for pod in here if not pod.over]
        over += [pod for pod in here if pod.over]  # they are deleted, too
    refuse_alone(over, _HINT)
    owners = losing_all(client, access, going, _HINT, disrupting=True)
    whole = {
        (place, name): found["metadata"]["generation"]
        for place, kind, name in owners
        if kind == "DaemonSet" and (found := client.find(access, Ref(DAEMON_SET, name, place)))
    }
    daemons = [
        [*daemon, whole[daemon], pod.node]
        for pod in going
        if pod.keeper[0] == "DaemonSet" and (daemon := (pod.namespace, pod.keeper[1])) in whole
    ]
    uids = [pod.uid for pod in going]
    return tuple(nodes), {"owners": owners, "going": uids, "daemons": daemons}


def none_left(hold: Hold, client: Kubernetes) -> bool:
    """Whether there were pods to leave, and all of them are there as before."""
    uids = set(hold.undo["going"])
    stay = {
        pod.uid
        for target in hold.targets
        for pod in pods_on(client, access_of(hold), target.name)
        if pod.uid in uids and not pod.ending
    }
    return bool(uids) and stay == uids


def lacking(hold: Hold, client: Kubernetes, nodes: Collection[str]) -> str:
    """Which DaemonSet has no ready pod yet on one of these nodes where it had one; or nothing.

    Its own numbers do not tell: of a node that repelled it, it wants no pod until it has looked
    again. One that was changed meanwhile may want none there any more.
    """
    access = access_of(hold)
    there = {node: pods_on(client, access, node) for node in nodes}
    for place, name, generation, node in hold.undo["daemons"]:
        ref = Ref(DAEMON_SET, name, place)
        if node not in there or any(
            pod.ready
            and not pod.ending
            and (pod.namespace, *pod.keeper) == (place, "DaemonSet", name)
            for pod in there[node]
        ):
            continue
        found = client.find(access, ref)
        if found is not None and found["metadata"]["generation"] == generation:
            return f"{ref.label} has no ready pod on {node} yet"
    return ""


def tolerates(spec: Object, taint: Object) -> bool:
    """Whether a pod stays, for good: one that stays for some seconds leaves.

    The first of its tolerations that matches decides, as Kubernetes has it.
    """
    for one in spec.get("tolerations") or ():
        if one.get("effect", "") in ("", taint["effect"]) and (
            one.get("key", "") in ("", taint["key"])
            if one.get("operator") == "Exists"
            else (one.get("key"), one.get("value", "")) == (taint["key"], taint.get("value", ""))
        ):
            return "tolerationSeconds" not in one
    return False


def _leaving(client: Kubernetes, access: Access, node: str, taint: Object) -> list[Pod]:
    return [
        pod
        for pod in pods_on(client, access, node)
        if not pod.ending and not pod.mirror and not tolerates(pod.spec, taint)
    ]


def _why(pods: list[Pod]) -> str:
    if any(is_own(pod) for pod in pods):
        return "would lose the pod in which chaosrun runs"
    return reserved.why_in(pod.namespace for pod in pods)
