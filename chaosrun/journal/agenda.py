"""The agenda: which fires of schedules are due, who took them, and what became of each.

Law: a fire is unique by (schedule, due), whoever computed it. Of those who want to claim it one
does; a claim whose driver died before anything began can be given back. What a fire's run does is
in the run's own events and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec


class FireState(StrEnum):
    """How far a fire has come. Only `due` and `claimed` are not over."""

    DUE = "due"
    CLAIMED = "claimed"
    ENDED = "ended"
    SKIPPED = "skipped"
    MISSED = "missed"


class FireRow(msgspec.Struct, frozen=True, kw_only=True):
    """One fire. `due` in milliseconds is its name; it starts between `at` and `start_by`.

    `body` is what it asks, whole, so that a worker needs no file. `run` is the run that it
    started, or the first part of the ids of a suite's runs.
    """

    schedule: str
    due: int
    at: float
    start_by: float
    concurrency: str
    body: str = ""
    state: FireState = FireState.DUE
    run: str = ""
    driver: str = ""
    reason: str = ""
    changed_at: float = 0.0


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """Something on record about a schedule: seen, paused or resumed; by whom, when and why."""

    schedule: str
    fact: str
    by: str
    reason: str
    at: float


class Claim(msgspec.Struct, frozen=True):
    """What came of wanting a fire: the row when it is ours now; else what stands in its way."""

    fire: FireRow | None = None
    busy: str = ""
    """The run of the same schedule that must end first (`replace`)."""


class Agenda(Protocol):
    """What every store promises. All methods may raise JournalUnavailable, and are thread-safe."""

    def add(self, fires: Sequence[FireRow]) -> list[FireRow]:
        """Make fires known; those that were not known before. Some may be over already."""

    def claim(self, schedule: str, due: int, run: str, driver: str, now: float) -> Claim:
        """Take a fire that is due. One that is late, or must not run beside another, is over."""

    def settle(self, schedule: str, due: int, state: FireState, reason: str, now: float) -> None:
        """Say what became of a fire that is not over."""

    def give_back(self, schedule: str, due: int, driver: str, now: float) -> bool:
        """Give back a fire that this driver claimed and never began; whether it was so."""

    def claimed(self) -> list[tuple[FireRow, bool]]:
        """Claimed fires, each with whether its driver is alive."""

    def due(self, limit: int = 1000) -> list[FireRow]:
        """Fires that nobody has claimed, without their bodies, oldest first."""

    def body(self, schedule: str, due: int) -> str:
        """What a fire asks."""

    def newest(self, *, limit: int, schedule: str = "") -> list[FireRow]:
        """Fires, newest first, without their bodies."""

    def latest(self) -> Mapping[str, int]:
        """For each schedule the newest `due` that is known."""

    def note(self, *facts: Fact) -> None:
        """Put facts on record."""

    def facts(self, *, schedule: str = "") -> list[Fact]:
        """What people said of all schedules, or of one, oldest first."""

    def seen(self) -> Mapping[str, float]:
        """When each schedule was first seen by a scheduler."""

    def prune(self, before: float) -> None:
        """Forget fires that were over before that time."""


def paused(facts: Sequence[Fact]) -> Mapping[str, Fact]:
    """The schedules that are paused now, each with the fact that says so. Pure."""
    found: dict[str, Fact] = {}
    for fact in facts:
        match fact.fact:
            case "paused":
                found[fact.schedule] = fact
            case "resumed":
                found.pop(fact.schedule, None)
    return found
