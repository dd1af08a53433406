"""What runs claim while they are in place, and the terms under which a lease is given. Pure.

Law (L4): a term is looked at in the transaction that writes the lease, so of two runs that
would together exceed it one is denied. Every lease claims, whether its run is under a policy
or not: a policy counts all runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from chaosrun.errors import TermExceeded
from chaosrun.events import Leased, Term
from chaosrun.units import format_seconds

ALL: Final = "all"
"""The name under which every target is claimed."""
RUNS: Final = "runs"
"""The name under which every run is claimed, from its first lease to its end."""
REMEMBERED: Final = 366 * 86400.0
"""Seconds for which a target's last fault is remembered: the longest duration there is."""


class Claim(msgspec.Struct, frozen=True):
    """One thing counted under a name: a target, or (`lease` empty) a run until it ends."""

    lease: str
    name: str
    item: str


class Hit(msgspec.Struct, frozen=True):
    """The last fault on a target: whose it was, and when it began or, once it has, ended."""

    run: str
    lease: str
    at: float


class Approval(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody approved an experiment, known by its digest, until a time.

    `by` is shown to people; `names` are those by which a policy may call them.
    """

    digest: str
    by: str
    names: tuple[str, ...]
    reason: str
    at: float
    expires: float


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What all other runs claim under some names, and of some targets who holds them now and
    whose the last fault was."""

    claims: Mapping[str, frozenset[str]] = {}
    hits: Mapping[str, Hit] = {}
    held: Mapping[str, str] = {}
    approvals: tuple[Approval, ...] = ()


def of_label(label: str, value: str) -> str:
    """The name under which runs with that label are claimed."""
    return f"{RUNS} {label}={value}"


def claims_of(run: str, event: Leased) -> list[Claim]:
    """All that a lease claims, each once, in an order that all runs share."""
    found = {Claim("", RUNS, run)}
    found |= {Claim("", of_label(*label), run) for label in event.labels.items()}
    for target in event.hold.targets:
        found |= {Claim(event.lease, name, target.key) for name in (ALL, *target.shares)}
    return sorted(found, key=lambda claim: (claim.name, claim.item, claim.lease))


def check_claimed(lease: str, term: Term, items: int) -> None:
    """Raise TermExceeded when more than the term's `most` are claimed."""
    if items > term.most:
        raise TermExceeded(lease, term.rule, f"{items} at once over all runs, with this one")


def check_gap(event: Leased, term: Term, hits: Iterable[tuple[str, Hit]]) -> None:
    """Raise TermExceeded when one of these last faults of other runs is too young."""
    for target, hit in hits:
        if (since := event.at - hit.at) < term.gap:
            ago = format_seconds(round(max(0.0, since), 1))
            raise TermExceeded(
                event.lease, term.rule, f"run {hit.run} touched {target} {ago} before"
            )
