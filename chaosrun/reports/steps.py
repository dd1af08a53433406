"""One step's story: what its events add to the engine's fold of it.

Law (L6): what is said of an effect or a restore is what looking at the target showed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from chaosrun import events as e
from chaosrun import limits
from chaosrun.events import AnyEvent
from chaosrun.fault import Hold
from chaosrun.reports.result import Portion, StepOutcome, StepResult, TargetResult, Trouble
from chaosrun.run import Run, StepState
from chaosrun.spec import Step
from chaosrun.units import JSON


class StepStory:
    """Collects one step's events; `result` joins them with the fold's state."""

    def __init__(self, step: Step, waits: tuple[str, ...]) -> None:
        self.step = step
        self.waits = waits
        self.effect_seen: tuple[float, e.EffectSeen] | None = None
        self.effect_detail = ""
        self.reverted: float | None = None
        self.restored: e.Restored | None = None
        self.attempts = 0
        self.troubles: list[Trouble] = []

    def add(self, event: AnyEvent, at: float) -> None:
        match event:
            case e.PlanFailed():
                self._trouble(at, "plan", event.error, event.hint, event.failure)
            case e.LeaseDenied():
                self._trouble(at, "lease", f"{event.target} is held by run {event.holder}")
            case e.InjectFailed():
                self._trouble(at, "inject", event.error, event.hint, event.failure)
            case e.Injected() if event.late:
                self._trouble(at, "inject", "it ended only after it was given up")
            case e.EffectSeen() if self.effect_seen is None:
                self.effect_seen, self.effect_detail = (at, event), event.detail
            case e.EffectNotSeen():
                if self.effect_seen is None:
                    self.effect_detail = event.detail
            case e.Reverted():
                self.attempts += 1
                self.reverted = at
            case e.RevertFailed():
                self.attempts += 1
                self._trouble(at, "revert", event.error, event.hint, event.failure)
            case e.Restored():
                self.restored = event
            case e.NotRestored():
                self._trouble(at, "look whether restored", event.detail)

    def _trouble(
        self, at: float, doing: str, error: str, hint: str = "", failure: e.Failure | None = None
    ) -> None:
        self.troubles.append(Trouble(at=at, doing=doing, failure=failure, error=error, hint=hint))

    def result(self, state: StepState, run: Run, start: float) -> StepResult:
        """The step as the report tells it; times are seconds since `start`."""

        def since(at: float | None) -> float | None:
            return None if at is None else max(0.0, round(at - start, 6))

        hold = state.hold or state.planned or state.preview
        targets = targets_of(hold) if hold else ()
        population = hold.population if hold else 0
        seen = self.effect_seen[1] if self.effect_seen else None
        restored = self.restored if state.restored_at is not None else None
        return StepResult(
            name=self.step.name,
            fault=self.step.fault,
            outcome=_outcome(state, run),
            hold=self.step.hold.seconds,
            after=self.waits,
            targets=targets,
            population=hold.population if hold else None,
            share=_share(len(targets), population),
            kinds=_portions((target.kind for target in targets), population),
            domains=_portions((target.domain for target in targets if target.domain), population),
            parts=limits.parts(hold) if hold else (),
            effect=hold.effect if hold else "",
            way_back=hold.way_back if hold else "",
            mechanism=hold.mechanism if hold else "",
            reversal=hold.reversal if hold else None,
            expiry=hold.expiry if hold else None,
            deadline=since(hold.deadline) if hold and hold.deadline else None,
            lease=state.lease,
            leased=since(state.leased_at) if state.hold else None,
            injected=since(state.injected_at),
            effect_seen=self.effect_seen[0] if self.effect_seen else None,
            effect_lost=state.effect_lost,
            effect_detail=self.effect_detail,
            effect_measured=_measured(seen),
            reverted=self.reverted,
            restored=since(state.restored_at),
            restored_detail=restored.detail if restored else "",
            restored_measured=_measured(restored),
            revert_attempts=self.attempts,
            troubles=tuple(self.troubles),
        )


def targets_of(hold: Hold) -> tuple[TargetResult, ...]:
    """A hold's targets without what undoes them."""
    return tuple(
        TargetResult(kind=one.kind, id=one.id, name=one.name, domain=one.domain)
        for one in hold.targets
    )


def _measured(event: e.EffectSeen | e.Restored | None) -> dict[str, JSON]:
    return event.measured if event else {}


def _outcome(state: StepState, run: Run) -> StepOutcome:
    over = run.finished is not None
    if state.hold is None:
        nothing_more = over or run.stop is not None or run.resumed
        return StepOutcome.SKIPPED if nothing_more else StepOutcome.WAITING
    if state.restored_at is not None:
        return StepOutcome.RESTORED
    if over or state.stranded:
        return StepOutcome.OWED
    if state.reverting_since is not None or run.stop is not None or run.resumed:
        return StepOutcome.REVERTING
    return StepOutcome.IN_PLACE if state.injected_at is not None else StepOutcome.INJECTING


def _share(count: int, population: int) -> float | None:
    return round(count / population, 6) if population >= max(1, count) else None


def _portions(names: Iterable[str], population: int) -> tuple[Portion, ...]:
    counts = Counter(names)
    return tuple(
        Portion(name=name, targets=count, share=_share(count, population))
        for name, count in sorted(counts.items())
    )
