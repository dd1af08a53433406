"""A run that an engine drives: its fold, what is not durable yet, and what is in flight.

Law (L1): `durable` is the fold of what the journal has acknowledged, and nothing else.
"""

from __future__ import annotations

from chaosrun import commands
from chaosrun import events as e
from chaosrun.errors import TargetLocked, TermExceeded
from chaosrun.events import AnyEvent
from chaosrun.run import Run
from chaosrun.run.effects import AnyEffect
from chaosrun.workers import Job


class Flight:
    """An effect that was started and has not ended."""

    __slots__ = ("cancellation", "deadline", "effect", "job", "started")

    def __init__(self, effect: AnyEffect, started: float, deadline: float) -> None:
        self.effect = effect
        self.started = started
        self.deadline = deadline
        self.cancellation = commands.Cancellation()
        self.job: Job | None = None

    def give_up(self) -> None:
        """End its commands, and wait for it no longer."""
        self.cancellation.cancel()
        if self.job:
            self.job.give_up()


class Drive:
    """A run that this engine drives: its fold, what is not durable yet, what is in flight.

    `ahead` is how many seconds the run's time is ahead of this engine's clock: a driver on a
    machine whose clock was ahead has left it there, and a run's time never goes back.
    """

    __slots__ = (
        "ahead", "durable", "flights", "given_up", "pending", "run", "unwritten_since",
        "wake",
    )  # fmt: skip

    def __init__(self, run: Run, ahead: float = 0.0) -> None:
        self.run = run
        self.ahead = ahead
        self.durable = run
        self.pending: list[AnyEvent] = []
        self.flights: dict[AnyEffect, Flight] = {}
        self.given_up: set[Flight] = set()
        self.wake = 0.0
        self.unwritten_since: float | None = None


class Batch:
    """Events of one run that are being written."""

    __slots__ = ("drive", "events", "run", "sequence")

    def __init__(self, run: str, drive: Drive, events: list[AnyEvent]) -> None:
        self.run = run
        self.drive = drive
        self.sequence = drive.durable.sequence
        self.events = events


def denied(lease: e.Leased, error: TargetLocked | TermExceeded) -> AnyEvent | None:
    """What is said in place of a lease that the journal denied; None when that was another one."""
    if isinstance(error, TargetLocked):
        if error.target not in {target.key for target in lease.hold.targets}:
            return None
        return e.LeaseDenied(at=lease.at, step=lease.step, target=error.target, holder=error.holder)
    if error.lease != lease.lease:
        return None
    term = next(term for term in lease.terms if term.rule == error.rule)
    rule = e.RuleMeasured(
        rule=term.rule, within=False, measured=error.measured, limit=term.limit,
        hint=error.hint, source=term.source,
    )  # fmt: skip
    return e.PolicyMeasured(at=lease.at, step=lease.step, rules=(rule,))
