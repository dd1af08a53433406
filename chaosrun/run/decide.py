"""`decide`: the effects that should be in flight. Pure.

Law (L5): reverts come first, newest first, and wait for nothing but their own injection.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import inf

import msgspec
from msgspec.structs import replace

from chaosrun import events as e
from chaosrun.events import Moment
from chaosrun.run.conclude import asks_after, conclude
from chaosrun.run.effects import (
    AnyEffect,
    Inject,
    LookForEffect,
    LookRestored,
    MeasureGate,
    MeasurePolicy,
    Plan,
    Record,
    Revert,
    Sample,
)
from chaosrun.run.state import Phase, Run, StepState


class Decision(msgspec.Struct, frozen=True):
    """Effects in the order in which they should start, and when to decide again at the latest."""

    effects: tuple[AnyEffect, ...]
    wake: float


def decide(run: Run, now: float) -> Decision:
    """The effects that should be in flight at `now`; reverts first, newest first."""
    wanted = _Wanted(now if now > run.at else run.at)
    match run.stage:
        case Phase.METHOD:
            owed = [s for s in run.steps.values() if s.hold is not None and s.restored_at is None]
            _want_reverts(run, owed, wanted)
            if run.stop is None:
                _want_method(run, len(owed), wanted)
            if owed:
                _want_samples(run, wanted)
        case Phase.GATES:
            for index, gate in run.gates.items():
                if index not in run.gates_open:
                    wanted.effects.append(MeasureGate(index, gate))
        case Phase.BASELINE:
            _want_baseline(run, wanted)
        case Phase.AFTER:
            _want_after(run, wanted)
    return Decision(tuple(wanted.effects), wanted.wake)


class _Wanted:
    """What one decision collects: effects in order, and the earliest later time that matters."""

    __slots__ = ("effects", "now", "wake")

    def __init__(self, now: float) -> None:
        self.now = now
        self.effects: list[AnyEffect] = []
        self.wake = inf

    def due(self, time: float) -> bool:
        """Whether it is `time`; if it is still to come, decide again then."""
        if time <= self.now:
            return True
        if time < self.wake:
            self.wake = time
        return False


def _want_baseline(run: Run, wanted: _Wanted) -> None:
    for name, step in run.steps.items():
        if step.preview is None:
            wanted.effects.append(Plan(name))
    if run.under_policy and not run.policy_met and len(run.holds) == len(run.steps):
        wanted.effects.append(MeasurePolicy())
    for name, check in run.checks.items():
        if sum(check.before) < check.check.samples and wanted.due(check.due):
            wanted.effects.append(Sample("check", name, Moment.BEFORE))
    for name, guard in run.guards.items():
        if not guard.ready and wanted.due(guard.due):
            wanted.effects.append(Sample("guard", name, Moment.BEFORE))


def _want_reverts(run: Run, owed: list[StepState], wanted: _Wanted) -> None:
    if owed and all(s.stranded for s in owed):
        wanted.effects.append(_finish(run, wanted.now))
        return
    for step in sorted(owed, key=_leased_at, reverse=True) if len(owed) > 1 else owed:
        if not step.stranded and _should_revert(run, step, wanted) and wanted.due(step.next_try):
            effect = LookRestored(step.lease) if step.reverted else Revert(step.lease)
            wanted.effects.append(effect)


def _leased_at(step: StepState) -> float:
    return step.leased_at


def _should_revert(run: Run, step: StepState, wanted: _Wanted) -> bool:
    if run.stop is not None or step.reverting_since is not None:
        return True
    assert step.hold is not None
    if wanted.due(step.hold.deadline):
        return True
    if step.injected_at is None or not step.effect_seen:
        return False
    if not wanted.due(step.ends):
        return False
    return all(check.fresh >= step.injected_at for check in run.checks.values())


def _want_method(run: Run, in_place: int, wanted: _Wanted) -> None:
    for name, step in run.steps.items():
        if step.hold is None:
            ready = all(name in run.steps and run.steps[name].closed for name in step.waits)
            if ready and in_place < run.spec.limits.concurrency:
                in_place += 1
                wanted.effects.extend(_prepare(run, name, step, wanted.now))
        elif not step.inject_ended:
            wanted.effects.append(Inject(step.lease))
        elif _looks(step, wanted.now) and wanted.due(step.next_look):
            wanted.effects.append(LookForEffect(step.lease))


def _looks(step: StepState, now: float) -> bool:
    """Whether its effect is still to be seen: at first, and once more just before its end."""
    if step.injected_at is None:
        return False
    return not step.effect_seen or (not step.effect_kept and now < step.ends)


def _prepare(run: Run, name: str, step: StepState, now: float) -> Iterator[AnyEffect]:
    """Gates, targets and policies again, then the lease: what was seen may have changed."""
    shut = {index: gate for index, gate in run.gates.items() if index not in step.gates_open}
    if shut:
        yield from (MeasureGate(index, gate, name) for index, gate in shut.items())
    elif step.planned is None:
        yield Plan(name, final=True)
    elif run.under_policy and step.terms is None:
        yield MeasurePolicy(name)
    else:
        lease = f"{run.id}-{list(run.steps).index(name)}"
        deadline = now + step.step.timeout.seconds + step.step.hold.seconds
        hold = replace(step.planned, mark=f"chaosrun-{lease}", deadline=deadline)
        assert run.experiment is not None, "a run starts with Started"
        leased = e.Leased(
            at=now, step=name, lease=lease, hold=hold, terms=step.terms or (),
            labels=run.experiment.metadata.labels,
        )  # fmt: skip
        yield Record(leased)


def _want_samples(run: Run, wanted: _Wanted) -> None:
    """While anything is owed: the checks, and until a stop the guards."""
    if run.stop is None:
        for name, guard in run.guards.items():
            if wanted.due(guard.due):
                wanted.effects.append(Sample("guard", name, Moment.DURING))
    if not run.resumed:
        for name, check in run.checks.items():
            if wanted.due(check.due):
                wanted.effects.append(Sample("check", name, Moment.DURING))


def _want_after(run: Run, wanted: _Wanted) -> None:
    """Wait for the steady state to return, where that is still a question; then finish."""
    waiting = [c for c in run.checks.values() if c.streak < c.check.samples]
    last = run.after_since + run.spec.recover_within.seconds
    if waiting and asks_after(run) and not wanted.due(last):
        for check in waiting:
            if wanted.due(check.due):
                wanted.effects.append(Sample("check", check.check.name, Moment.AFTER))
        return
    wanted.effects.append(_finish(run, wanted.now))


def _finish(run: Run, now: float) -> Record:
    verdict, reason = conclude(run)
    return Record(e.Finished(at=now, verdict=verdict, reason=reason))
