"""Pods are made to leave: by an eviction that a budget may forbid, by deletion, or by force.

Law: each is named by its UID, so that one which took its name is not touched. An eviction
that a budget forbids is not an error: the budget did what it is for.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from chaosrun import commands
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.answers import Blocked
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import Ref
from chaosrun.units import Duration

How = Annotated[
    Literal["evict", "delete", "force"],
    Meta(
        description="evict honours disruption budgets; delete does not; force does not wait "
        "for the pod to end either"
    ),
]
Grace = Annotated[
    Duration | None, Meta(description="How long pods may take to end; else as each says itself")
]
_AGAIN = 0.5


def right(how: str) -> dict[str, list[str]]:
    """The verbs it takes, by resource, in the form of `Pods.rights`."""
    return {"pods_eviction": ["create"]} if how == "evict" else {"pods": ["delete"]}


def seconds_of(grace: Duration | None) -> int | None:
    return None if grace is None else int(grace.seconds)


def leave(
    client: Kubernetes,
    access: Access,
    pods: Sequence[tuple[Ref, str]],
    how: str,
    grace: int | None,
    patience: float = 0.0,
) -> dict[str, str]:
    """Make them leave. What a budget protects is tried again for `patience` seconds.

    What is still there then is returned, by UID, with the budget's words.
    """
    end, waiting = time.monotonic() + patience, list(pods)
    while True:
        blocked: dict[str, str] = {}
        for ref, uid in waiting:
            try:
                _one(client, access, ref, uid, how, grace)
            except Blocked as error:
                blocked[uid] = str(error)
        waiting = [(ref, uid) for ref, uid in waiting if uid in blocked]
        if not waiting or time.monotonic() > end:
            return blocked
        commands.pause(min(_AGAIN, max(0.0, end - time.monotonic())))


def why_not(client: Kubernetes, access: Access, ref: Ref, uid: str) -> str:
    """Why a budget forbids to evict it now, or nothing; nothing is evicted."""
    try:
        client.evict(access, ref, uid, dry=True)
    except Blocked as error:
        return str(error)
    return ""


def _one(
    client: Kubernetes, access: Access, ref: Ref, uid: str, how: str, grace: int | None
) -> None:
    match how:
        case "evict":
            client.evict(access, ref, uid, grace)
        case "delete":
            client.delete(access, ref, uid, grace)
        case _:
            client.delete(access, ref, uid, 0)
