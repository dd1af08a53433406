"""`evolve`: the run after an event. Pure and total.

Law (L2): only a Restored event ends what a Leased event began.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil
from typing import Any, Final, assert_never

from msgspec.structs import replace

from chaosrun import events as e
from chaosrun import limits
from chaosrun.events import AnyEvent, Moment, Outcome, Verdict
from chaosrun.fault import Reversal
from chaosrun.run.state import CheckState, GuardState, Phase, Run, StepState, Stop
from chaosrun.spec import Step, method_seconds, predecessors

_LOOK_AGAIN: Final = 0.2
_LOOK_FOR: Final = 2.0
_HELD_FOR_LONG: Final = 3.0
_LAST_LOOK: Final = 10.0
_LAST_LOOKS: Final = 5
"""So many at most: who could not look for a moment has not seen that it is gone."""
_MAY_ACT: Final = 5.0
"""Seconds after which an injection that was given up, and its call cut, does not act any more."""
_FIRST_BACKOFF: Final = 0.1
_LONGEST_BACKOFF: Final = 2.0


def fold(events: Iterable[AnyEvent]) -> Run:
    """The run that these events, from its first, have made."""
    run = Run()
    for event in events:
        run = evolve(run, event)
    return run


def evolve(run: Run, event: AnyEvent) -> Run:
    """The run after `event`. Total: an event that makes no sense here only counts."""
    at = event.at if event.at > run.at else run.at
    return _EVOLVE[type(event)](replace(run, sequence=run.sequence + 1, at=at), event)


def _started(run: Run, event: e.Started) -> Run:
    spec = event.experiment.spec
    waits = predecessors(spec.method)
    return replace(
        run,
        id=event.run,
        experiment=event.experiment,
        seed=event.seed,
        driver=event.driver,
        expected=event.targets,
        started=event,
        steps={s.name: StepState(s, waits[s.name]) for s in spec.method},
        checks={c.name: CheckState(c) for c in spec.steady_state},
        guards={g.name: GuardState(g) for g in spec.abort_when},
    )


def _resumed(run: Run, event: e.Resumed) -> Run:
    """Take the run up: everything owed gets a new round of attempts, and nothing is injected."""
    steps = {
        name: replace(s, stranded=False, reverting_since=None, attempts=0, next_try=0.0)
        if s.owed
        else s
        for name, s in run.steps.items()
    }
    stage = Phase.METHOD if run.stage is Phase.FINISHED else run.stage
    run = replace(run, driver=event.driver, resumed=True, steps=steps, finished=None, stage=stage)
    return _settle(_stopped(run, Verdict.CANCELLED, event.reason))


def _gate_measured(run: Run, event: e.GateMeasured) -> Run:
    if not event.open:
        where = f" before step {event.step!r}" if event.step else ""
        reason = f"gate {event.gate!r} was closed{where}: {event.measured} (rule: {event.rule})"
        return _settle(_stopped(run, Verdict.REFUSED, reason))
    step = run.steps.get(event.step)
    if step is not None:
        return _with_step(run, replace(step, gates_open=step.gates_open | {event.index}))
    run = replace(run, gates_open=run.gates_open | {event.index})
    if run.stage is Phase.GATES and len(run.gates_open) == len(run.gates):
        run = replace(run, stage=Phase.BASELINE)
    return run


def _planned(run: Run, event: e.Planned) -> Run:
    step = run.steps.get(event.step)
    if step is None:
        return run
    hold = event.hold
    expected = run.expected.get(event.step)
    if expected is not None and (keys := tuple(t.key for t in hold.targets)) != expected:
        return _settle(_stopped(run, Verdict.REFUSED, _not_as_seen(event.step, expected, keys)))
    by = run.started.mechanisms.get(event.step) if run.started else None
    if by is not None and hold.mechanism != by:
        reason = f"step {event.step!r} is not as it was planned: by {hold.mechanism}, not by {by}"
        return _settle(_stopped(run, Verdict.REFUSED, reason))
    step = replace(step, planned=hold) if event.final else replace(step, preview=hold)
    run = _with_step(run, step)
    holds = run.holds
    if event.final or len(holds) == len(run.steps):
        for limit in limits.measure(run.spec.limits, run.spec.method, holds):
            if not limit.within:
                where = f" of step {limit.step!r}" if limit.step else ""
                reason = f"limit {limit.limit}{where}: {limit.measured} (rule: {limit.rule})"
                return _settle(_stopped(run, Verdict.REFUSED, reason))
    return _baseline_done(run)


def _policy_measured(run: Run, event: e.PolicyMeasured) -> Run:
    broken = [rule for rule in event.rules if not rule.passes]
    if broken:
        where = f" before step {event.step!r}" if event.step else ""
        first, more = broken[0], len(broken) - 1
        others = f"; and {more} more" if more else ""
        reason = (
            f"policy {first.rule}{where}: {first.measured} (rule: {first.limit}; {first.source})"
            f"{others}"
        )
        return _settle(_stopped(run, Verdict.REFUSED, reason))
    step = run.steps.get(event.step)
    if step is not None:
        return _with_step(run, replace(step, terms=event.terms))
    return _baseline_done(replace(run, policy_met=True))


def _plan_failed(run: Run, event: e.PlanFailed) -> Run:
    verdict = Verdict.ERROR if event.failure is e.Failure.BUG else Verdict.REFUSED
    reason = f"step {event.step!r} could not be planned: {event.error}"
    return _settle(_stopped(run, verdict, reason))


def _sampled(run: Run, event: e.Sampled) -> Run:
    if event.subject == "guard":
        guard = run.guards.get(event.name)
        return run if guard is None else _guard_sampled(run, guard, event)
    check = run.checks.get(event.name)
    return run if check is None else _check_sampled(run, check, event)


def _check_sampled(run: Run, check: CheckState, event: e.Sampled) -> Run:
    due = _next_due(check.due, check.check.every.seconds, event.began, run.at)
    match event.moment:
        case Moment.BEFORE:
            check = replace(check, due=due, before=_count(check.before, event.outcome))
        case Moment.DURING:
            counts = _count(check.during, event.outcome)
            check = replace(check, due=due, during=counts, fresh=event.began)
            if any(step.in_place(event.began) for step in run.steps.values()):
                check = replace(check, in_place=_count(check.in_place, event.outcome))
        case Moment.AFTER:
            streak = check.streak + 1 if event.outcome is Outcome.HELD else 0
            check = replace(check, due=due, streak=streak, reason=event.reason)
    run = replace(run, checks={**run.checks, event.name: check})
    match event.moment:
        case Moment.BEFORE:
            return _check_before(run, check, event)
        case Moment.DURING if event.outcome is Outcome.BROKE and run.stop is None:
            return _check_broke(run, check, event)
    return run


def _check_before(run: Run, check: CheckState, event: e.Sampled) -> Run:
    _, broke, unknown = check.before
    if unknown or broke > check.check.tolerate.fraction * check.check.samples:
        said = event.reason or "the expectation was not met"
        reason = f"the steady state did not hold at the start: {event.name}: {said}"
        return _settle(_stopped(run, Verdict.REFUSED, reason))
    return _baseline_done(run)


def _check_broke(run: Run, check: CheckState, event: e.Sampled) -> Run:
    """A deviation that no later sample could make good is the answer: stop at once."""
    seconds = method_seconds(run.spec.method)
    planned = ceil(seconds / check.check.every.seconds) + 1 if check.check.every else 1
    reason = check.broken(planned)
    if not reason:
        return run
    said = f": {event.reason}" if event.reason else ""
    return _settle(_stopped(run, Verdict.DEVIATED, f"{reason}{said}"))


def _guard_sampled(run: Run, guard: GuardState, event: e.Sampled) -> Run:
    due = _next_due(guard.due, guard.guard.every.seconds, event.began, run.at)
    since = guard.hurting_since
    if event.outcome is Outcome.HELD:
        since = None
    elif since is None:
        since = event.began
    guard = replace(guard, due=due, hurting_since=since, ready=True)
    run = replace(run, guards={**run.guards, event.name: guard})
    if event.outcome is Outcome.HELD or run.stop is not None:
        return _baseline_done(run)
    said = f": {event.reason}" if event.reason else ""
    if event.outcome is Outcome.UNKNOWN:
        return _settle(_tripped(run, f"guard {event.name!r} could not tell{said}"))
    lasted = run.at - (since if since is not None else run.at)
    if not run.leases or lasted >= guard.guard.for_.seconds:
        return _settle(_tripped(run, f"guard {event.name!r} tripped{said}"))
    return run


def _tripped(run: Run, reason: str) -> Run:
    return _stopped(run, Verdict.ABORTED if run.leases else Verdict.REFUSED, reason)


def _leased(run: Run, event: e.Leased) -> Run:
    step = run.steps.get(event.step)
    if step is None:
        return run
    step = replace(step, lease=event.lease, hold=event.hold, leased_at=run.at)
    run = replace(run, leases={**run.leases, event.lease: event.step})
    return _with_step(run, step)


def _lease_denied(run: Run, event: e.LeaseDenied) -> Run:
    reason = f"step {event.step!r}: {event.target} is held by run {event.holder}"
    return _settle(_stopped(run, Verdict.REFUSED, reason))


def _injected(run: Run, event: e.Injected) -> Run:
    step = run.step_of(event.lease)
    if step is None:
        return run
    if event.late:
        return _owed_again(run, replace(step, may_act_until=0.0))
    since = run.in_place_since if run.in_place_since is not None else run.at
    checks = {name: replace(c, due=run.at) for name, c in run.checks.items()}
    run = replace(run, in_place_since=since, checks=checks)
    return _with_step(run, replace(step, inject_ended=True, injected_at=run.at, next_look=run.at))


def _inject_failed(run: Run, event: e.InjectFailed) -> Run:
    step = run.step_of(event.lease)
    if step is None:
        return run
    step = replace(step, may_act_until=run.at + _MAY_ACT if event.unanswered else 0.0)
    if event.late:
        return _owed_again(run, step)
    run = _with_step(run, replace(step, inject_ended=True, trouble=event.error))
    verdict = Verdict.ERROR if event.failure is e.Failure.BUG else Verdict.INCONCLUSIVE
    reason = f"step {step.step.name!r} could not be injected: {event.error}"
    return _settle(_stopped(run, verdict, reason))


def _owed_again(run: Run, step: StepState) -> Run:
    """An injection that was given up has answered: it may have acted after the revert."""
    run = _with_step(
        run,
        replace(
            step,
            inject_ended=True,
            restored_at=None,
            reverted=False,
            reverting_since=None,
            stranded=False,
            attempts=0,
            next_try=0.0,
        ),
    )
    stage = Phase.METHOD if run.stage in (Phase.AFTER, Phase.FINISHED) else run.stage
    run = replace(run, finished=None, stage=stage)
    reason = f"the injection of step {step.step.name!r} ended only after it was given up"
    return _stopped(run, Verdict.INCONCLUSIVE, reason)


def _effect_seen(run: Run, event: e.EffectSeen) -> Run:
    step = run.step_of(event.lease)
    if step is None:
        return run
    if step.effect_seen:
        return _with_step(run, replace(step, effect_kept=True, effect_lost=""))
    again = step.ends - _last_look(step.step)
    kept = not _can_be_lost(step)
    return _with_step(run, replace(step, effect_seen=True, effect_kept=kept, next_look=again))


def _last_look(step: Step) -> float:
    """How long, in seconds, before the end of its hold a step's effect is looked at once more."""
    return min(step.hold.seconds / 3, _LAST_LOOK)


def _can_be_lost(step: StepState) -> bool:
    """Whether somebody may end the effect before we do, in the time that it is held."""
    reverted = step.hold is not None and step.hold.reversal is Reversal.REVERTED
    return reverted and step.step.hold.seconds >= _HELD_FOR_LONG


def _effect_not_seen(run: Run, event: e.EffectNotSeen) -> Run:
    step = run.step_of(event.lease)
    if step is None or step.injected_at is None:
        return run
    run = _with_step(run, replace(step, next_look=run.at + _LOOK_AGAIN))
    if step.effect_seen:
        late = step.effect_kept or run.at >= step.ends or step.reverting_since is not None
        again = run.at + _last_look(step.step) / _LAST_LOOKS
        lost = replace(step, effect_lost=event.detail, next_look=again)
        return run if late else _with_step(run, lost)
    if run.at - step.injected_at < patience(step.step):
        return run
    reason = f"step {step.step.name!r} had no visible effect: {event.detail}"
    return _settle(_stopped(run, Verdict.INCONCLUSIVE, reason))


def patience(step: Step) -> float:
    """How long, in seconds, an injected fault may stay without a visible effect."""
    return min(step.timeout.seconds, max(step.hold.seconds, _LOOK_FOR))


def _reverted(run: Run, event: e.Reverted) -> Run:
    step = run.step_of(event.lease)
    if step is None:
        return run
    since = step.reverting_since if step.reverting_since is not None else run.at
    return _with_step(run, replace(step, reverted=True, reverting_since=since, next_try=run.at))


def _revert_failed(run: Run, event: e.RevertFailed) -> Run:
    return _try_again(run, run.step_of(event.lease), event.error)


def _not_restored(run: Run, event: e.NotRestored) -> Run:
    return _try_again(run, run.step_of(event.lease), event.detail)


def _try_again(run: Run, step: StepState | None, trouble: str) -> Run:
    if step is None or not step.owed:
        return run
    since = step.reverting_since if step.reverting_since is not None else run.at
    wait = min(_FIRST_BACKOFF * 2 ** min(step.attempts, 10), _LONGEST_BACKOFF)
    step = replace(
        step,
        reverted=False,
        reverting_since=since,
        attempts=step.attempts + 1,
        next_try=run.at + wait,
        stranded=run.at - since >= run.spec.revert_within.seconds,
        trouble=trouble,
    )
    run = _with_step(run, step)
    if step.stranded:
        reason = f"step {step.step.name!r} is still in place: {trouble}"
        run = _stopped(run, Verdict.STRANDED, reason)
    return run


def _restored(run: Run, event: e.Restored) -> Run:
    step = run.step_of(event.lease)
    if step is None:
        return run
    if run.at < step.may_act_until:  # then look once more, as if for the first time
        patient = replace(step, next_try=step.may_act_until, reverting_since=None, attempts=0)
        return _with_step(run, patient)
    run = _with_step(run, replace(step, restored_at=run.at, stranded=False, trouble=""))
    return _settle(replace(run, in_place_until=run.at))


def _stop_requested(run: Run, event: e.StopRequested) -> Run:
    return _settle(_stopped(run, event.verdict, f"{event.by}: {event.reason}", event.signal))


def _finished(run: Run, event: e.Finished) -> Run:
    return replace(run, finished=event, stage=Phase.FINISHED)


_EVOLVE: Final[dict[type, Callable[[Run, Any], Run]]] = {
    e.Started: _started,
    e.Resumed: _resumed,
    e.GateMeasured: _gate_measured,
    e.PolicyMeasured: _policy_measured,
    e.Sampled: _sampled,
    e.Planned: _planned,
    e.PlanFailed: _plan_failed,
    e.Leased: _leased,
    e.LeaseDenied: _lease_denied,
    e.Injected: _injected,
    e.InjectFailed: _inject_failed,
    e.EffectSeen: _effect_seen,
    e.EffectNotSeen: _effect_not_seen,
    e.Reverted: _reverted,
    e.RevertFailed: _revert_failed,
    e.Restored: _restored,
    e.NotRestored: _not_restored,
    e.StopRequested: _stop_requested,
    e.Finished: _finished,
}


def _with_step(run: Run, step: StepState) -> Run:
    return replace(run, steps={**run.steps, step.step.name: step})


def _count(counts: tuple[int, int, int], outcome: Outcome) -> tuple[int, int, int]:
    held, broke, unknown = counts
    match outcome:
        case Outcome.HELD:
            return (held + 1, broke, unknown)
        case Outcome.BROKE:
            return (held, broke + 1, unknown)
        case Outcome.UNKNOWN:
            return (held, broke, unknown + 1)
    assert_never(outcome)


def _next_due(due: float, every: float, began: float, at: float) -> float:
    """The next tick. A sample that began before a newly set tick leaves that tick to come."""
    if began < due:
        return due
    following = (due or began) + every
    return following if following > at else at


def _stopped(run: Run, verdict: Verdict, reason: str, signal: int = 0) -> Run:
    """Note a reason to end. `refused` promises that nothing was injected, so later it is not."""
    if verdict is Verdict.REFUSED and run.leases:
        verdict = Verdict.INCONCLUSIVE
    stop = Stop(verdict, reason, run.at, signal)
    return replace(run, stop=run.stop or stop, findings=(*run.findings, stop))


def _baseline_done(run: Run) -> Run:
    """Enter the method once every plan, check and guard of the baseline is in."""
    if run.stage is not Phase.BASELINE or run.stop is not None:
        return run
    if not (
        all(s.preview is not None for s in run.steps.values())
        and (run.policy_met or not run.under_policy)
        and all(sum(c.before) >= c.check.samples for c in run.checks.values())
        and all(g.ready for g in run.guards.values())
    ):
        return run
    return _due_now(replace(run, stage=Phase.METHOD))


def _due_now(run: Run) -> Run:
    checks = {name: replace(c, due=run.at) for name, c in run.checks.items()}
    guards = {name: replace(g, due=run.at) for name, g in run.guards.items()}
    return replace(run, checks=checks, guards=guards)


def _settle(run: Run) -> Run:
    """Enter the time after, once nothing is owed and nothing more will be injected."""
    if run.stage in (Phase.AFTER, Phase.FINISHED) or any(s.owed for s in run.steps.values()):
        return run
    if run.stop is None and not all(s.closed for s in run.steps.values()):
        return run
    return _due_now(replace(run, stage=Phase.AFTER, after_since=run.at))


def _not_as_seen(step: str, expected: tuple[str, ...], found: tuple[str, ...]) -> str:
    gone = ", ".join(sorted(set(expected) - set(found))) or "none"
    new = ", ".join(sorted(set(found) - set(expected))) or "none"
    return f"step {step!r} is not as it was planned: gone: {gone}; new: {new}"
