"""What the journal's stores derive from events: a run's line in `runs`, and target locks. Pure.

Law (L7): what is derived can be derived again. Nothing here is known that the events do not
say, so every store, and a rebuilt one, derives the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeGuard

import msgspec
from msgspec.structs import replace

from chaosrun.codec import from_json, to_json
from chaosrun.errors import JournalUnavailable, Rejected
from chaosrun.events import (
    AnyEvent,
    Finished,
    Injected,
    InjectFailed,
    Leased,
    Restored,
    Resumed,
    Started,
    Verdict,
)
from chaosrun.fault import Hold
from chaosrun.journal import RunRow


class Summary(msgspec.Struct, frozen=True):
    """What the line of a run in `chaosrun runs` says."""

    name: str
    started_at: float
    driver: str
    verdict: Verdict | None = None
    ended_at: float | None = None

    def row(self, run: str, sequence: int, alive: Callable[[str], bool]) -> RunRow:
        """The line, with what only a look at the driver can say."""
        return RunRow(
            run=run, name=self.name, started_at=self.started_at, driver=self.driver,
            driver_alive=alive(self.driver), sequence=sequence, verdict=self.verdict,
        )  # fmt: skip


class Body(msgspec.Struct, frozen=True):
    """An event as it is stored."""

    type: str
    at: float
    text: str


def summarise(before: Summary | None, event: AnyEvent) -> Summary:
    """The run's line after an event. A verdict stands until something happens after it.

    Raises ValueError when the first event is not Started, or a later one is.
    """
    if isinstance(event, Started) and before is None:
        return Summary(event.experiment.metadata.name, event.at, event.driver)
    if isinstance(event, Started) or before is None:
        raise ValueError("a run's first event, and no other, is Started")
    match event:
        case Finished():
            return replace(before, verdict=event.verdict, ended_at=event.at)
        case Resumed():
            return replace(before, driver=event.driver, verdict=None, ended_at=None)
        case _:
            return replace(before, verdict=None, ended_at=None) if before.verdict else before


def moves_locks(event: AnyEvent) -> bool:
    """Whether the event takes target locks or gives them up."""
    return isinstance(event, Leased | Restored) or takes_again(event)


def takes_again(event: AnyEvent) -> TypeGuard[Injected | InjectFailed]:
    """Whether the event says that an injection given up may have happened after all."""
    return isinstance(event, Injected | InjectFailed) and event.late


def ends_run(event: AnyEvent) -> bool:
    """Whether the run gives up its place among the running ones."""
    return isinstance(event, Finished) and event.verdict is not Verdict.STRANDED


def lock_keys(hold: Hold) -> list[str]:
    """The keys of a hold's targets, each once, in an order that all runs share."""
    return sorted({target.key for target in hold.targets})


def encode(event: AnyEvent) -> Body:
    """An event as it is stored. Raises TypeError or ValueError for one that has no such form."""
    if not math.isfinite(event.at):
        raise ValueError(f"an event's time is a number of seconds, not {event.at}")
    if isinstance(event, Leased) and any("\0" in target.key for target in event.hold.targets):
        raise ValueError("a target's key holds a NUL character")  # PostgreSQL takes none
    return Body(str(type(event).__struct_config__.tag), event.at, to_json(event).decode())


def decode(run: str, sequence: int, text: str) -> AnyEvent:
    """A stored event. Raises JournalUnavailable naming run and sequence when it cannot be read."""
    try:
        event: AnyEvent = from_json(text, AnyEvent)  # type: ignore[arg-type]  # a union is a type
    except (msgspec.DecodeError, UnicodeError, TypeError) as error:
        raise JournalUnavailable(
            f"event {sequence} of run {run} cannot be read: {error}",
            hint="a newer chaosrun may have written it: use that one; else the journal is damaged",
            code="event-unreadable",
        ) from None
    return event


def lost(run: str, sequence: int, last: int) -> JournalUnavailable:
    """The error for an append that would leave a hole in a run's history."""
    said = f"it ends at {last}" if last >= 0 else "it is not there"
    return JournalUnavailable(
        f"event {sequence} of run {run} does not follow on its history in the journal: {said}",
        hint="the journal was pruned, replaced, or restored from an older copy",
        code="history-lost",
    )


def choose(prefix: str, newest: Sequence[str]) -> str:
    """The one run, of all runs newest first, whose id starts with `prefix`; `last` is the newest.

    Raises Rejected, whose hint lists candidates.
    """
    if not newest:
        raise Rejected(
            f"there is no run {prefix!r}: the journal holds no runs",
            hint="start one with `chaosrun run FILE`",
        )
    if prefix == "last":
        return newest[0]
    found = [run for run in newest if run.startswith(prefix)]
    if prefix in found:
        return prefix
    if not found:
        raise Rejected(f"there is no run {prefix!r}", hint=f"the newest are {_listed(newest)}")
    if len(found) > 1:
        raise Rejected(f"{prefix!r} is the start of {len(found)} runs", hint=_listed(found))
    return found[0]


def _listed(runs: Sequence[str]) -> str:
    more = f" and {len(runs) - 5} more" if len(runs) > 5 else ""
    return ", ".join(runs[:5]) + more
