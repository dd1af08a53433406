"""What owns pods and starts others in their place: who loses some, and is whole again.

Law (L1): a pod that nothing would bring back refuses the plan, and so does a Job that would fail
for good. Law (L2): restored means that what was whole before is whole again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes.access import Access, access_of
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.jobs import may_lose, may_lose_index
from chaosrun.providers.kubernetes.kinds import WORKLOADS, Object, Ref
from chaosrun.providers.kubernetes.pods import Pod, owned
from chaosrun.providers.kubernetes.workloads import look, state_of

_NAMED = 5


def replaceable(pod: Pod) -> str:
    """Why nothing would replace it, or nothing."""
    return "" if pod.keeper[0] else "nothing that we know would replace it"


def refuse_alone(pods: Sequence[Pod], hint: str) -> None:
    """Raise Refused, with the hint, for pods that nothing would bring back."""
    if alone := [f"{pod.namespace}/{pod.name}" for pod in pods if replaceable(pod)]:
        some = ", ".join(alone[:_NAMED]) + (" and others" if len(alone) > _NAMED else "")
        raise Refused(f"nothing that we know would bring these pods back: {some}", hint=hint)


def losing_all(
    client: Kubernetes, access: Access, pods: Sequence[Pod], hint: str, *, disrupting: bool
) -> list[list[str]]:
    """The workloads that are whole now, of those that lose these pods, of any namespaces.

    `disrupting`: by an eviction, or a taint. Raises Refused, with the hint, for pods that nothing
    would bring back.
    """
    refuse_alone(pods, hint)
    known: list[Pod] = []
    for namespace in sorted({pod.namespace for pod in pods}):
        here = [pod for pod in pods if pod.namespace == namespace]
        known += owned(client, access, namespace, here)
    return losing(client, access, known, disrupting=disrupting)


def losing(
    client: Kubernetes, access: Access, pods: Sequence[Pod], *, disrupting: bool
) -> list[list[str]]:
    """The workloads (namespace, kind, name) that are whole now, of those that lose these pods.

    Raises Refused for a Job that would fail of it, since nothing begins that again.
    """
    good = []
    for place, kind, name in sorted({(pod.namespace, *pod.keeper) for pod in pods}):
        ref = Ref(WORKLOADS[kind], name, place)
        found = client.find(access, ref)
        if found is None:
            continue
        if kind == "Job":
            own = [pod for pod in pods if (pod.namespace, *pod.keeper) == (place, kind, name)]
            _refuse_failing(ref, found, own, disrupting=disrupting)
        if state_of(kind, found).whole:
            good.append([place, kind, name])
    return good


def _refuse_failing(ref: Ref, job: Object, pods: Sequence[Pod], *, disrupting: bool) -> None:
    """Raises Refused for a Job that may fail for good when it loses these pods."""
    hint = "choose other pods, or fewer"
    if len(pods) > (left := may_lose(job, disrupting=disrupting)):
        raise Refused(f"{ref.label} would fail for good: it may lose {left:g} more pods", hint=hint)
    for pod in pods:
        if not may_lose_index(job, pod.annotations, disrupting=disrupting):
            raise Refused(f"{ref.label} would fail for good at the index of {pod.name}", hint=hint)


def wholeness(hold: Hold, client: Kubernetes) -> tuple[bool, str, dict[str, Any]]:
    """Whether every workload is whole again that was before; in words, and in numbers.

    One that was deleted meanwhile needs nothing any more.
    """
    access = access_of(hold)
    owners = [Ref(WORKLOADS[kind], name, place) for place, kind, name in hold.undo["owners"]]
    states = [(ref, look(client, access, ref)) for ref in owners]
    words = [
        f"{ref.label}: {state.said if state else 'was deleted meanwhile'}" for ref, state in states
    ]
    numbers = {
        "ready": sum(state.ready for _, state in states if state),
        "desired": sum(state.desired for _, state in states if state),
    }
    good = all(state is None or state.whole for _, state in states)
    return good, "; ".join(words) or "none of their workloads was whole before", numbers
