"""The state of a run: nothing but the fold of its events (law L7)."""

from __future__ import annotations

from enum import StrEnum
from math import inf

import msgspec

from chaosrun import events as e
from chaosrun.events import Verdict
from chaosrun.fault import Hold
from chaosrun.run.effects import HALT_GATE
from chaosrun.spec import Check, Experiment, ExperimentSpec, Guard, Step
from chaosrun.units import JSON


class Phase(StrEnum):
    """Where a run is."""

    GATES = "gates"
    BASELINE = "baseline"
    METHOD = "method"
    REVERTING = "reverting"
    AFTER = "after"
    FINISHED = "finished"


class Stop(msgspec.Struct, frozen=True):
    """A reason to end the run."""

    verdict: Verdict
    reason: str
    at: float
    signal: int = 0


class CheckState(msgspec.Struct, frozen=True):
    """What is known of a check: counts by moment, and when it is due.

    `during` counts from the lease on; `in_place` of these the samples that were begun while a
    fault was in place.
    """

    check: Check
    due: float = 0.0
    before: tuple[int, int, int] = (0, 0, 0)
    during: tuple[int, int, int] = (0, 0, 0)
    in_place: tuple[int, int, int] = (0, 0, 0)
    streak: int = 0
    fresh: float = -inf
    reason: str = ""

    def broken(self, of: int = 0) -> str:
        """How more samples broke than are tolerated, in all or in place; nothing if they did not.

        `of` is how many there will be at least.
        """
        for held, broke, _ in (self.during, self.in_place):
            if broke > self.check.tolerate.fraction * max(held + broke, of):
                return (
                    f"the steady state did not hold: {self.check.name}: {broke} of {held + broke} "
                    f"samples failed, {self.check.tolerate} tolerated"
                )
        return ""


class GuardState(msgspec.Struct, frozen=True):
    """What is known of a guard. `hurting_since` is when the present hurt was first seen."""

    guard: Guard
    due: float = 0.0
    ready: bool = False
    hurting_since: float | None = None


class StepState(msgspec.Struct, frozen=True):
    """One step's way from waiting to restored. `hold` is what the lease holds.

    `terms` are what policies demand of its lease, None until they were asked just before it.
    `effect_kept` is whether the effect was seen once more just before the end of a long hold,
    `effect_lost` what was seen then instead. `may_act_until` is how long an injection that was
    given up may still act: only a look after that closes the lease.
    """

    step: Step
    waits: tuple[str, ...]
    preview: Hold | None = None
    gates_open: frozenset[int] = frozenset()
    planned: Hold | None = None
    terms: tuple[e.Term, ...] | None = None
    lease: str = ""
    hold: Hold | None = None
    leased_at: float = 0.0
    inject_ended: bool = False
    injected_at: float | None = None
    may_act_until: float = 0.0
    effect_seen: bool = False
    effect_kept: bool = False
    effect_lost: str = ""
    next_look: float = 0.0
    reverting_since: float | None = None
    reverted: bool = False
    attempts: int = 0
    next_try: float = 0.0
    restored_at: float | None = None
    stranded: bool = False
    trouble: str = ""

    @property
    def owed(self) -> bool:
        return self.hold is not None and self.restored_at is None

    @property
    def ends(self) -> float:
        """When its hold is over: reverting waits for nothing then but samples."""
        return inf if self.injected_at is None else self.injected_at + self.step.hold.seconds

    @property
    def closed(self) -> bool:
        return self.restored_at is not None

    def in_place(self, at: float) -> bool:
        """Whether its fault was in place then."""
        if self.injected_at is None or at < self.injected_at:
            return False
        return self.restored_at is None or at <= self.restored_at


class Owed(msgspec.Struct, frozen=True):
    """A lease whose revert is not yet verified."""

    lease: str
    step: str
    hold: Hold
    since: float
    stranded: bool = False
    trouble: str = ""


class Run(msgspec.Struct, frozen=True):
    """The state of a run: nothing but the fold of its events."""

    id: str = ""
    experiment: Experiment | None = None
    seed: int = 0
    driver: str = ""
    expected: dict[str, tuple[str, ...]] = {}
    sequence: int = 0
    at: float = 0.0
    stage: Phase = Phase.GATES
    resumed: bool = False
    started: e.Started | None = None
    gates_open: frozenset[int] = frozenset()
    policy_met: bool = False
    steps: dict[str, StepState] = {}
    checks: dict[str, CheckState] = {}
    guards: dict[str, GuardState] = {}
    leases: dict[str, str] = {}
    stop: Stop | None = None
    findings: tuple[Stop, ...] = ()
    in_place_since: float | None = None
    in_place_until: float | None = None
    after_since: float = 0.0
    finished: e.Finished | None = None

    @property
    def name(self) -> str:
        return self.experiment.metadata.name if self.experiment else ""

    @property
    def spec(self) -> ExperimentSpec:
        assert self.experiment is not None, "a run starts with Started"
        return self.experiment.spec

    @property
    def gates(self) -> dict[int, str]:
        """The gates to ask, by index: the halt switch, the experiment's, those of policies."""
        names = {index: next(iter(gate)) for index, gate in enumerate(self.written_gates)}
        return {HALT_GATE: "halt", **names}

    @property
    def written_gates(self) -> tuple[dict[str, dict[str, JSON]], ...]:
        """The gates of the experiment, then those of its policies."""
        if self.started is None:
            return ()
        return (*self.spec.gates, *self.started.gates)

    @property
    def under_policy(self) -> bool:
        """Whether some organisation's rules hold for this run."""
        return self.started is not None and bool(self.started.policies)

    @property
    def holds(self) -> dict[str, Hold]:
        """The latest plan of each step that has one."""
        found = {name: step.planned or step.preview for name, step in self.steps.items()}
        return {name: hold for name, hold in found.items() if hold is not None}

    @property
    def owed(self) -> tuple[Owed, ...]:
        """The leases still owed, newest first."""
        found = [
            Owed(s.lease, s.step.name, s.hold, s.leased_at, s.stranded, s.trouble)
            for s in self.steps.values()
            if s.hold is not None and s.restored_at is None
        ]
        return tuple(sorted(found, key=lambda owed: owed.since, reverse=True))

    @property
    def phase(self) -> Phase:
        reverting = self.stage is Phase.METHOD and (self.stop is not None or self.resumed)
        return Phase.REVERTING if reverting else self.stage

    def step_of(self, lease: str) -> StepState | None:
        return self.steps.get(self.leases.get(lease, ""))
