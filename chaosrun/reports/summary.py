"""What a run came to: one pure function of its events.

Law (L7): nothing but the journal's events goes in, and what the run is, owes and concluded
is taken from the engine's own fold. Any beginning of a run has a summary: a run in its
middle, a crashed one, a resumed one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from chaosrun import events as e
from chaosrun import limits
from chaosrun.codec import to_plain
from chaosrun.events import AnyEvent, Moment, Outcome, Verdict
from chaosrun.reports.advice import next_steps
from chaosrun.reports.learned import learned
from chaosrun.reports.result import (
    CheckResult,
    GateResult,
    GuardResult,
    LimitResult,
    OverrideResult,
    OwedResult,
    PhaseResult,
    ResumeResult,
    RuleResult,
    Sample,
    StopResult,
    Summary,
)
from chaosrun.reports.series import choose, count, to_samples
from chaosrun.reports.steps import StepStory, targets_of
from chaosrun.reports.wording import instant
from chaosrun.run import Phase, Run, evolve
from chaosrun.run.state import CheckState, GuardState
from chaosrun.units import JSON
from chaosrun.verdicts import exit_code

__all__ = ["Summary", "summarise"]


def summarise(events: Iterable[AnyEvent]) -> Summary:
    """The result of the run that these events, from its first, tell of. Never raises for them."""
    story = _Story()
    for event in events:
        story.add(event)
    return story.summary()


class _Story:
    """What one walk through the events collects beside the engine's fold."""

    def __init__(self) -> None:
        self.run = Run()
        self.started: e.Started | None = None
        self.start = 0.0
        self.phases: list[PhaseResult] = []
        self.gates: list[GateResult] = []
        self.rules: list[RuleResult] = []
        self.steps: dict[str, StepStory] = {}
        self.sampled: dict[tuple[str, str], list[e.Sampled]] = {}
        self.stops: list[StopResult] = []
        self.resumes: list[ResumeResult] = []
        self.trips: dict[str, tuple[float, str]] = {}
        self.reverts: list[float] = []
        self.ended: float | None = None

    def since(self, at: float) -> float:
        """Seconds from the start; a clock that jumped back counts as no time."""
        return max(0.0, round(at - self.start, 6))

    def add(self, event: AnyEvent) -> None:
        before = self.run
        self.run = evolve(before, event)
        match event:
            case e.Started():
                self.started, self.start = event, event.at
                self.steps = {
                    step.name: StepStory(step, before_it.waits)
                    for step, before_it in zip(
                        event.experiment.spec.method, self.run.steps.values(), strict=True
                    )
                }
            case e.Resumed():
                resumed = ResumeResult(
                    at=self.since(event.at), driver=event.driver, reason=event.reason
                )
                self.resumes.append(resumed)
            case e.GateMeasured():
                self.gates.append(_gate(event, self.since(event.at)))
            case e.PolicyMeasured():
                self.rules += _rules(event, self.since(event.at))
            case e.Sampled():
                self.sampled.setdefault((event.subject, event.name), []).append(event)
                if event.subject == "guard" and before.stop is None and self.run.stop is not None:
                    self.trips[event.name] = (self.since(event.at), self.run.stop.reason)
            case e.StopRequested():
                self.stops.append(
                    StopResult(
                        at=self.since(event.at),
                        verdict=event.verdict,
                        by=event.by,
                        reason=event.reason,
                        signal=event.signal,
                    )
                )
            case e.Finished():
                self.ended = event.at
            case _:
                step = self.steps.get(getattr(event, "step", "")) or self._of_lease(event)
                if step is not None:
                    step.add(event, self.since(event.at))
                if isinstance(event, e.Reverted):
                    self.reverts.append(self.since(event.at))
        if self.run.finished is None:
            self.ended = None
        self._note_phase()

    def _of_lease(self, event: AnyEvent) -> StepStory | None:
        return self.steps.get(self.run.leases.get(getattr(event, "lease", ""), ""))

    def _note_phase(self) -> None:
        name, at = self.run.phase, self.since(self.run.at)
        if self.phases and self.phases[-1].end is None:
            if self.phases[-1].name == name:
                return
            self.phases[-1] = replace(self.phases[-1], end=at)
        if name is not Phase.FINISHED:
            self.phases.append(PhaseResult(name=name.value, start=at))

    def summary(self) -> Summary:
        started, run = self.started, self.run
        if started is None:
            return Summary(reason="nothing of this run is in the journal")
        metadata, spec = started.experiment.metadata, started.experiment.spec
        verdict = run.finished.verdict if run.finished else None
        stopped = self.since(run.stop.at) if run.stop else None
        checks = tuple(self._check(check) for check in run.checks.values())
        told = Summary(
            chaosrun=started.version,
            run=started.run,
            name=metadata.name,
            title=spec.title,
            description=spec.description,
            owner=spec.owner,
            labels=metadata.labels,
            verdict=verdict,
            exit_code=exit_code(verdict, _signal(run)) if verdict else None,
            reason=run.finished.reason if run.finished else _so_far(run),
            started=instant(started.at),
            ended=instant(self.ended) if self.ended is not None else None,
            started_at=started.at,
            duration=self.since(run.at),
            seed=started.seed,
            digest=started.digest,
            parameters=started.parameters,
            source=started.source,
            schedule=started.schedule,
            suite=started.suite,
            repeat=_repeat(started),
            phases=tuple(self.phases),
            gates=tuple(self.gates),
            limits=self._limits(started),
            by=started.by,
            policies=tuple(f"{one.name}, {one.file}" for one in started.policies),
            rules=tuple(self.rules),
            steps=tuple(
                story.result(run.steps[name], run, self.start) for name, story in self.steps.items()
            ),
            checks=checks,
            guards=tuple(self._guard(guard) for guard in run.guards.values()),
            recovery=self._recovery(checks),
            reaction=self._reaction(stopped),
            stopped=stopped,
            owed=self._owed(),
            stops=tuple(self.stops),
            resumes=tuple(self.resumes),
            experiment=to_plain(started.experiment),
        )
        return replace(told, learned=learned(told), next=next_steps(told))

    def _check(self, state: CheckState) -> CheckResult:
        check = state.check
        plot = choose(check.expect, self.sampled.get(("check", check.name), []))
        samples = to_samples(plot, self.sampled.get(("check", check.name), []), self.start)
        broke = next(
            (s for s in samples if s.moment is Moment.DURING and s.outcome is Outcome.BROKE), None
        )
        return CheckResult(
            name=check.name,
            probe=check.probe,
            every=check.every.seconds,
            expect=check.expect,
            tolerate=check.tolerate.fraction,
            before=count(samples, Moment.BEFORE),
            during=count(samples, Moment.DURING),
            after=count(samples, Moment.AFTER),
            plotted=plot.field,
            unit=plot.unit,
            thresholds=plot.thresholds,
            samples=samples,
            outcome=_outcome(state, samples, finished=self.run.finished is not None),
            first_broke=broke.at if broke else None,
            first_reason=broke.reason if broke else "",
            returned=_returned(state, samples),
        )

    def _guard(self, state: GuardState) -> GuardResult:
        guard = state.guard
        sampled = self.sampled.get(("guard", guard.name), [])
        plot = choose(guard.when, sampled)
        samples = to_samples(plot, sampled, self.start)
        tripped = self.trips.get(guard.name)
        return GuardResult(
            name=guard.name,
            probe=guard.probe,
            every=guard.every.seconds,
            when=guard.when,
            for_=guard.for_.seconds,
            before=count(samples, Moment.BEFORE),
            during=count(samples, Moment.DURING),
            after=count(samples, Moment.AFTER),
            plotted=plot.field,
            unit=plot.unit,
            thresholds=plot.thresholds,
            samples=samples,
            tripped=tripped[0] if tripped else None,
            trip_reason=tripped[1] if tripped else "",
        )

    def _limits(self, started: e.Started) -> tuple[LimitResult, ...]:
        holds = {
            name: hold
            for name, step in self.run.steps.items()
            if (hold := step.hold or step.planned or step.preview) is not None
        }
        if not holds:
            return ()
        spec = started.experiment.spec
        return tuple(
            LimitResult(
                limit=one.limit,
                within=one.within,
                measured=one.measured,
                rule=one.rule,
                hint=one.hint if not one.within else "",
                step=one.step,
            )
            for one in limits.measure(spec.limits, spec.method, holds)
        )

    def _owed(self) -> tuple[OwedResult, ...]:
        return tuple(
            OwedResult(
                step=owed.step,
                lease=owed.lease,
                fault=owed.hold.fault,
                targets=targets_of(owed.hold),
                since=self.since(owed.since),
                way_back=owed.hold.way_back,
                trouble=owed.trouble,
                stranded=owed.stranded,
                expiry=owed.hold.expiry,
                deadline=self.since(owed.hold.deadline) if owed.hold.deadline else None,
            )
            for owed in self.run.owed
        )

    def _recovery(self, checks: tuple[CheckResult, ...]) -> float | None:
        if not self.reverts or not checks:
            return None
        times = [check.returned for check in checks if check.returned is not None]
        if len(times) < len(checks):
            return None
        return max(0.0, round(max(times) - self.reverts[-1], 6))

    def _reaction(self, stopped: float | None) -> float | None:
        if stopped is None:
            return None
        return next((round(at - stopped, 6) for at in self.reverts if at >= stopped), None)


def _gate(event: e.GateMeasured, at: float) -> GateResult:
    return GateResult(
        gate=event.gate,
        open=event.open,
        measured=event.measured,
        rule=event.rule,
        hint=event.hint,
        step=event.step,
        at=at,
    )


def _rules(event: e.PolicyMeasured, at: float) -> list[RuleResult]:
    """All of them at the start; later, those that are not met and were not overridden."""
    return [
        RuleResult(
            rule=rule.rule,
            within=rule.within,
            measured=rule.measured,
            limit=rule.limit,
            hint=rule.hint,
            source=rule.source,
            override=OverrideResult(
                by=rule.override.by, reason=rule.override.reason, ticket=rule.override.ticket
            )
            if rule.override
            else None,
            step=event.step,
            at=at,
        )
        for rule in event.rules
        if not (event.step and rule.passes)
    ]


def _outcome(state: CheckState, samples: tuple[Sample, ...], *, finished: bool) -> Outcome | None:
    """What a check's samples come to: broke where the tolerance was passed or it did not return."""
    if not samples:
        return None
    check, tolerated = state.check, state.check.tolerate.fraction
    held, broke, unknown = state.during
    asked_after = any(sample.moment is Moment.AFTER for sample in samples)
    if broke > tolerated * (held + broke):
        return Outcome.BROKE
    if state.before[1] > tolerated * max(check.samples, sum(state.before)):
        return Outcome.BROKE
    if finished and asked_after and state.streak < check.samples:
        last = samples[-1].outcome
        return Outcome.UNKNOWN if last is Outcome.UNKNOWN else Outcome.BROKE
    if unknown > held + broke or state.before[2]:
        return Outcome.UNKNOWN
    return Outcome.HELD


def _returned(state: CheckState, samples: tuple[Sample, ...]) -> float | None:
    """When the last unbroken row of held samples after the reverts began, if it is long enough."""
    after = [sample for sample in samples if sample.moment is Moment.AFTER]
    if not after or state.streak < state.check.samples:
        return None
    return after[max(0, len(after) - state.streak)].at


def _signal(run: Run) -> int:
    """The signal that cancelled the run, or 0."""
    return next((f.signal for f in run.findings if f.verdict is Verdict.CANCELLED and f.signal), 0)


def _so_far(run: Run) -> str:
    """The state of a run without a verdict, in one sentence."""
    if run.stop is not None:
        doing = "reverting" if run.owed else "finishing"
        return f"no verdict yet, {doing}: {run.stop.reason}"
    return {
        Phase.GATES: "no verdict yet: asking the gates",
        Phase.BASELINE: "no verdict yet: sampling the steady state before anything is injected",
        Phase.METHOD: "no verdict yet: the method is under way",
        Phase.REVERTING: "no verdict yet: reverting what is owed",
        Phase.AFTER: "no verdict yet: waiting for the steady state to return",
    }.get(run.phase, "no verdict yet")


def _repeat(started: e.Started) -> str:
    """The command line that asks the same question of the same targets again."""
    import shlex

    source = started.source or f"{started.experiment.metadata.name}.yaml"
    words = ["chaosrun", "run", source, "--seed", str(started.seed)]
    for name, value in started.parameters.items():
        words += ["--set", f"{name}={_set(value)}"]
    return shlex.join(words)


def _set(value: JSON) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping | list):
        import json

        return json.dumps(value)
    return str(value)
