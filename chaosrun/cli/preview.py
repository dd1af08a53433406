"""What a run of an experiment would do, as far as can be known without doing it.

Law (L8): reads only, and nothing is journaled; the same seed and the same population give
the same targets. What would make a run refuse is said here in the same words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

import chaosrun
from chaosrun import events as e
from chaosrun import limits
from chaosrun.cli.asking import ask
from chaosrun.events import AnyEvent, Moment, Outcome
from chaosrun.fault import Hold, Permission
from chaosrun.journal import Journal
from chaosrun.limits import LimitMeasured
from chaosrun.perform import Performer
from chaosrun.policed import Under, ask_policies
from chaosrun.run import Run, evolve, fold
from chaosrun.run.effects import AnyEffect, MeasureGate, Plan, Sample
from chaosrun.spec import Experiment, Step, predecessors


class StepPreview(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step: what it would touch, when, and how it is undone. Times are in seconds."""

    name: str
    fault: str
    after: tuple[str, ...]
    start: float
    hold: float
    planned: Hold | None = None
    error: str = ""
    hint: str = ""
    kinds: dict[str, int] = {}
    domains: dict[str, int] = {}
    permissions: tuple[Permission, ...] = ()
    held_by: dict[str, str] = {}
    """Targets that other runs hold now, and which run."""


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A whole plan. `reasons` says why a run would be refused now; empty when it could run."""

    name: str
    title: str
    source: str
    seed: int
    reasons: tuple[str, ...]
    gates: tuple[e.GateMeasured, ...]
    checks: tuple[e.Sampled, ...]
    limits: tuple[LimitMeasured, ...]
    rules: tuple[e.RuleMeasured, ...]
    policies: tuple[str, ...]
    steps: tuple[StepPreview, ...]

    @property
    def could_run(self) -> bool:
        return not self.reasons


def preview(
    journal: Journal,
    experiment: Experiment,
    *,
    seed: int,
    source: str,
    now: float,
    digest: str = "",
    under: Under | None = None,
) -> Preview:
    """Ask every gate, check, guard, fault and policy; measure every limit. Reads only."""
    under = under or Under()
    run = imagined(experiment, seed, now, digest=digest, under=under)
    spec = experiment.spec
    effects: list[AnyEffect] = [
        *(MeasureGate(index, gate) for index, gate in run.gates.items()),
        *(Sample("check", check.name, Moment.BEFORE) for check in spec.steady_state),
        *(Sample("guard", guard.name, Moment.BEFORE) for guard in spec.abort_when),
        *(Plan(step.name) for step in spec.method),
    ]
    performer = Performer(journal, lambda: now, only_look=True)
    performer.put_under(run.id, under.policies)
    try:
        answers = ask(performer, run, effects, now)
    finally:
        performer.close()
    rules = rules_of(run, answers, under, journal, now)
    gates = tuple(a for a in answers if isinstance(a, e.GateMeasured))
    checks = tuple(a for a in answers if isinstance(a, e.Sampled))
    plans = {a.step: a for a in answers if isinstance(a, e.Planned | e.PlanFailed)}
    holds = {name: plan.hold for name, plan in plans.items() if isinstance(plan, e.Planned)}
    measured = limits.measure(spec.limits, spec.method, holds)
    locks = {lock.target: lock.run for lock in journal.locks()}
    starts = _starts(spec.method)
    waits = predecessors(spec.method)
    steps = tuple(
        _step(step, plans[step.name], starts[step.name], waits[step.name], locks)
        for step in spec.method
    )
    return Preview(
        name=experiment.metadata.name, title=spec.title, source=source, seed=seed, gates=gates,
        checks=checks, limits=measured, rules=rules, steps=steps,
        policies=tuple(one.shown for one in under.policies.about(experiment.metadata.labels)),
        reasons=tuple(_reasons(gates, checks, measured, rules, steps)),
    )  # fmt: skip


def imagined(experiment: Experiment, seed: int, now: float, *, digest: str, under: Under) -> Run:
    """A run that is in no journal."""
    started = e.Started(
        at=now, run="plan", experiment=experiment, digest=digest, seed=seed, driver="plan",
        version=chaosrun.__version__, **under.noted(experiment.metadata.labels),
    )  # fmt: skip
    return fold([started])


def rules_of(
    run: Run, answers: Iterable[AnyEvent], under: Under, journal: Journal, now: float
) -> tuple[e.RuleMeasured, ...]:
    """Every rule of the policies, with the targets that were planned."""
    if not run.under_policy:
        return ()
    for planned in answers:
        if isinstance(planned, e.Planned):
            run = evolve(run, planned)
    return ask_policies(run, under.policies, journal, now).rules


def _step(
    step: Step, event: AnyEvent, start: float, after: tuple[str, ...], locks: dict[str, str]
) -> StepPreview:
    from chaosrun import arguments

    common: dict[str, Any] = {
        "name": step.name,
        "fault": step.fault,
        "after": after,
        "start": start,
        "hold": step.hold.seconds,
        "permissions": arguments.fault_of(step).needs(),
    }
    if isinstance(event, e.PlanFailed):
        return StepPreview(**common, error=event.error, hint=event.hint)
    assert isinstance(event, e.Planned), "a plan ends in one of the two"
    targets = event.hold.targets
    if event.hold.used:
        common["permissions"] = event.hold.used
    return StepPreview(
        **common,
        planned=event.hold,
        kinds=dict(Counter(target.kind for target in targets)),
        domains=dict(Counter(target.domain for target in targets if target.domain)),
        held_by={t.label: locks[t.key] for t in targets if t.key in locks},
    )


def _starts(steps: tuple[Step, ...]) -> dict[str, float]:
    """When each step begins at the earliest, in seconds from the first."""
    waits, holds = predecessors(steps), {step.name: step.hold.seconds for step in steps}
    starts: dict[str, float] = {}
    while len(starts) < len(steps):  # validation has excluded cycles and unknown names
        for name in holds.keys() - starts.keys():
            if all(before in starts for before in waits[name]):
                starts[name] = max((starts[b] + holds[b] for b in waits[name]), default=0.0)
    return starts


def _reasons(
    gates: Iterable[e.GateMeasured],
    checks: Iterable[e.Sampled],
    measured: Iterable[LimitMeasured],
    rules: Iterable[e.RuleMeasured],
    steps: Iterable[StepPreview],
) -> Iterable[str]:
    for gate in gates:
        if not gate.open:
            yield f"gate {gate.gate} is closed: {gate.measured}; {gate.rule}"
    for sample in checks:
        if sample.subject == "check" and sample.outcome is not Outcome.HELD:
            yield f"the steady state does not hold: {sample.name}: {sample.reason}"
        if sample.subject == "guard" and sample.outcome is not Outcome.HELD:
            yield f"guard {sample.name} is not calm: {sample.reason}"
    for limit in measured:
        if not limit.within:
            of = f" of step {limit.step}" if limit.step else ""
            yield f"limit {limit.limit}{of}: {limit.measured}; {limit.rule}"
    for rule in rules:
        if not rule.passes:
            yield f"policy {rule.rule}: {rule.measured}; {rule.limit} ({rule.source})"
    for step in steps:
        if step.error:
            yield f"step {step.name} cannot be planned: {step.error}"
        for target, run in step.held_by.items():
            yield f"step {step.name}: {target} is held by run {run}"
