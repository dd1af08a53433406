"""The laws, as checks of one simulated run: its journal, and what the world saw."""

from __future__ import annotations

from collections.abc import Sequence

from chaosrun import events as e
from chaosrun.events import AnyEvent, Outcome, Verdict
from chaosrun.fault import Hold
from chaosrun.journal import Journal
from chaosrun.run import fold
from tests.simulation.world import World


class LawBroken(BaseException):
    """A law of the product does not hold. No `except Exception` may swallow it."""


def require(holds: bool, law: str, said: str) -> None:
    if not holds:
        raise LawBroken(f"{law}: {said}")


def check_injection(journal: Journal, run: str, hold: Hold) -> None:
    """At the moment of a call to `inject`: may this happen?"""
    events = list(journal.events(run))
    leased = [x for x in events if isinstance(x, e.Leased) and x.hold.mark == hold.mark]
    require(bool(leased), "L1", f"{hold.mark} is injected and its lease is not in the journal")
    state = fold(events)
    require(not state.resumed, "L2", f"{hold.mark} is injected by a run that was taken up again")
    require(
        any(owed.lease == leased[0].lease for owed in state.owed),
        "L2",
        f"{hold.mark} is injected after it was closed",
    )
    step = leased[0].step
    gates = [x for x in events if isinstance(x, e.GateMeasured) and x.step == step]
    require(
        {x.index for x in gates if x.open} == set(state.gates),
        "L4",
        f"{step} is injected with a gate that was not open",
    )
    if state.under_policy:
        asked = [x for x in events if isinstance(x, e.PolicyMeasured) and x.step == step]
        require(bool(asked), "L4", f"{step} is injected and its policies were not asked")
        met = all(rule.passes for rule in asked[-1].rules)
        require(met, "L4", f"{step} is injected and a policy is not met")
        require(leased[0].terms == asked[-1].terms, "L4", f"{step} lost terms of its lease")
        claims = journal.standing(run, [term.key for term in leased[0].terms], []).claims
        for term in leased[0].terms:
            others = len(claims.get(term.key, ()))
            require(not term.key or others < term.most, "L4", f"{step}: {term.rule} is exceeded")
    before = {x.name for x in events if isinstance(x, e.Sampled) and x.outcome is Outcome.HELD}
    require(
        set(state.checks) | set(state.guards) <= before,
        "L4",
        f"{step} is injected before the steady state was seen to hold",
    )


def check_end(journal: Journal, run: str, world: World) -> None:
    """After everything, the last recovery too: nothing is left, and the verdict is true."""
    events = list(journal.events(run))
    state = fold(events)
    require(not world.present, "L2", f"left behind: {sorted(world.present)}")
    require(state.finished is not None, "L2", "the run has no end")
    require(not state.owed, "L2", "the journal still owes")
    require(not journal.locks(), "L2", f"locks are left: {journal.locks()}")
    check_verdicts(events, world)


def check_verdicts(events: Sequence[AnyEvent], world: World) -> None:
    for index, event in enumerate(events):
        if not isinstance(event, e.Finished):
            continue
        state = fold(events[:index])
        if event.verdict is not Verdict.STRANDED:
            require(not state.owed, "L2", f"{event.verdict} although something is owed")
        if event.verdict is Verdict.REFUSED:
            require(not state.leases, "L4", "refused although something was leased")
        if event.verdict is Verdict.PASSED:
            _check_pass(events[:index], world)


def _check_pass(events: Sequence[AnyEvent], world: World) -> None:
    state = fold(events)
    leased = {x.step: x for x in events if isinstance(x, e.Leased)}
    require(set(leased) == set(state.steps), "L6", "passed although a step was not injected")
    for step, lease in leased.items():
        seen = [x for x in events if isinstance(x, e.EffectSeen) and x.lease == lease.lease]
        require(bool(seen), "L6", f"passed although the effect of {step} was not seen")
        require(lease.hold.mark in world.seen_marks, "L6", f"passed, and {step} never happened")
    during = [x for x in events if isinstance(x, e.Sampled) and x.moment is e.Moment.DURING]
    for check, known_of in state.checks.items():
        known = [x for x in during if x.name == check and x.outcome is not Outcome.UNKNOWN]
        require(bool(known), "L6", f"passed although {check} was not sampled")
        broke = [x for x in known if x.outcome is Outcome.BROKE]
        most = known_of.check.tolerate.fraction * len(known)
        require(len(broke) <= most, "L6", f"passed although {check} broke")
        there = [x for x in known if any(s.in_place(x.began) for s in state.steps.values())]
        require(bool(there), "L6", f"passed although {check} was not sampled in place")
        most = known_of.check.tolerate.fraction * len(there)
        broke = [x for x in there if x.outcome is Outcome.BROKE]
        require(len(broke) <= most, "L6", f"passed although {check} broke in place")
    for guard, guard_state in state.guards.items():
        patient = guard_state.guard.for_.seconds > 0
        bad = {Outcome.UNKNOWN} if patient else {Outcome.UNKNOWN, Outcome.BROKE}
        hurts = [x for x in during if x.name == guard and x.outcome in bad]
        require(not hurts, "L5", f"passed although guard {guard} did not hold")


def check_prompt(events: Sequence[AnyEvent], began: dict[str, float], slack: float) -> None:
    """L5: once a stop is known, each owed lease's first revert begins within `slack` seconds.

    `began` maps a mark to when its first revert was called. A lease whose injection was in
    flight is waited for, at most as long as a cancelled injection is.
    """
    for index in range(1, len(events) + 1):
        state = fold(events[:index])
        if state.stop is None or state.resumed:
            continue
        for owed in state.owed:
            step = state.steps[owed.step]
            if not step.inject_ended:
                continue
            start = began.get(owed.hold.mark)
            if start is not None:
                late = start - max(state.stop.at, state.at)
                require(late <= slack, "L5", f"the revert of {owed.lease} began {late:.3f}s late")
        return
