"""One simulated story: a random experiment, trouble, crashes, recoveries; then the laws.

Everything follows from a seed, so a failure is repeated by its numbers.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from chaosrun import events as e
from chaosrun.drive import Drive
from chaosrun.engine import Engine
from chaosrun.errors import JournalUnavailable, SequenceTaken, TermExceeded
from chaosrun.events import AnyEvent, Verdict
from chaosrun.fault import Hold
from chaosrun.journal import Halt
from chaosrun.journal.memory import MemoryJournal
from chaosrun.policed import Under
from chaosrun.policy.policies import Document, added_up
from chaosrun.policy.spec import Concurrency, HaltSources, Policy, PolicySpec, Radius
from chaosrun.run.effects import AnyEffect, Revert
from chaosrun.spec import (
    Check,
    Experiment,
    ExperimentSpec,
    Guard,
    Limits,
    Metadata,
    Step,
)
from chaosrun.targeting import Target
from chaosrun.units import Duration, Share
from tests.simulation import laws
from tests.simulation.virtual import Crash, Inbox, Time, Workers
from tests.simulation.world import World
from tests.simulation.world import world as current_world

MOST_TURNS = 5_000
OTHER = "other-run"
MOST_STALE = 2.6
"""Seconds for which an answer of a halt source may be relied on: every, timeout and slack."""
ONE_RUN = (e.Term(rule="concurrency", source="sim", limit="1", key="runs", most=1),)
_BUDGET = 12


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What goes wrong in a story. Shares are between 0 and 1; crashes count crossings."""

    misbehave: float = 0.0
    stall: float = 0.0
    slow: float = 0.0
    hurt: float = 0.0
    journal: float = 0.0
    crashes: tuple[int, ...] = ()
    stop_after: float | None = None
    halt_after: float | None = None
    gate_shuts_after: float | None = None
    second_driver_after: float | None = None
    policy: bool = False
    source_on_after: float | None = None
    other_run_after: float | None = None
    set_back_after: float | None = None


class SimJournal(MemoryJournal):
    """The in-memory journal, with crossings before and after each append, and outages."""

    crossing: Callable[[], None] = staticmethod(lambda: None)
    trouble: Callable[[], bool] = staticmethod(lambda: False)

    def append(self, run: str, sequence: int, events: Sequence[AnyEvent]) -> None:
        self.crossing()
        if self.trouble():
            raise JournalUnavailable("the disk is full")
        super().append(run, sequence, events)
        self.crossing()

    def append_many(
        self, batches: Sequence[tuple[str, int, Sequence[AnyEvent]]]
    ) -> list[Exception | None]:
        self.crossing()
        if self.trouble():
            raise JournalUnavailable("the disk is full")
        done = super().append_many(batches)
        self.crossing()
        return done


class SimEngine(Engine):
    """The engine as it is, in virtual time, noting when each revert was begun."""

    def __init__(self, story: Story, driver: str, slow: float) -> None:
        self.inbox = Inbox(story.time)
        self.sim_workers = Workers(story.time, self.inbox, story.rng, slow)
        offset = story.rng.choice([0.0, 0.0, -7200.0, 7200.0, -0.5, 3.0]) if driver != "d0" else 0.0
        super().__init__(
            story.journal,
            driver=driver,
            workers=self.sim_workers,  # type: ignore[arg-type]
            inbox=self.inbox,
            clock=lambda: story.time.now + offset,
        )
        self.begun: dict[str, float] = {}
        self.daemon = story.rng.random() < 0.5
        if self.daemon:
            story.daemons.append(self)

    def _begin(self, name: str, drive: Drive, effect: AnyEffect, now: float) -> None:
        if isinstance(effect, Revert):
            step = drive.run.step_of(effect.lease)
            if step is not None and step.hold is not None:
                self.begun.setdefault(step.hold.mark, now)
        super()._begin(name, drive, effect, now)

    def turns(self, most: int = MOST_TURNS) -> None:
        """The engine's loop, bounded: a run that does not end breaks a law."""
        for _ in range(most):
            if not self.working:
                return
            self._turn()
        raise laws.LawBroken(f"L2: no end after {most} turns: {self._drives}")

    def leave(self) -> None:
        """A process with no run left ends, and with it what it had begun; a daemon stays."""
        if not self.daemon and not self.working:
            self.close()

    def die(self) -> None:
        """Its process is gone."""
        self.daemon = False
        self._drives.clear()
        self._late.clear()
        self._taking_up.clear()
        self._astray.clear()
        self.inbox.clear()
        self.close()

    def catch_up(self) -> None:
        """Take in what arrived while there was no run to drive."""
        if self.sim_workers.dead:
            return
        while self.inbox.waiting:
            self._turn()
        self.turns()

    @property
    def working(self) -> bool:
        """Whether its loop goes on."""
        return bool(self._drives) or self._more_may_come

    @property
    def busy(self) -> bool:
        return self.working or (self.daemon and self.inbox.waiting)


class Story:
    """The state of one simulation."""

    def __init__(self, seed: int, trouble: Trouble, experiment: Experiment | None = None) -> None:
        self.rng = random.Random(seed)
        self.trouble = trouble
        self.time = Time()
        self.journal = SimJournal()
        self.world = World(self.rng, lambda: self.time.now)
        self.experiment = experiment or random_experiment(self.rng)
        self.crossings = 0
        self.drivers = 0
        self.engine_class: type[SimEngine] = SimEngine
        self.run = "run"
        self.world.crossing = self.journal.crossing = self.cross
        self.journal.trouble = lambda: self.rng.random() < trouble.journal
        self.world.stall = lambda delay, change: self.time.stall(delay, change)
        self.calm = False
        self.daemons: list[SimEngine] = []
        self.world.on_inject = self.check_injection

    def check_injection(self, hold: Hold) -> None:
        laws.check_injection(self.journal, self.run, hold)
        on = self.world.switched_on
        late = on is not None and self.time.now - on > MOST_STALE
        laws.require(not late, "L10", f"{hold.mark} is injected long after a halt source was on")

    def cross(self) -> None:
        self.crossings += 1
        if self.crossings in self.trouble.crashes:
            raise Crash

    def engine(self) -> SimEngine:
        slow = 0.0 if self.calm else self.trouble.slow
        engine = self.engine_class(self, f"d{self.drivers}", slow)
        self.drivers += 1
        return engine

    def tell(self) -> list[AnyEvent]:
        """Play the story to its end, check the laws, and return the journal's events."""
        token = current_world.set(self.world)
        try:
            first = self.engine()
            began = self.first_driver(first)
            events = self.events()
            if began and not self.trouble.crashes and self.trouble.journal == 0:
                laws.check_prompt(events, first.begun, slack=0.06)
            for _ in range(_BUDGET):
                if self.settled():
                    break
                self.recovery()
            self.make_calm()
            for _ in range(_BUDGET):
                if self.settled():
                    break
                self.recovery()
            if not self.events():
                laws.require(not self.world.present, "L1", "something is there without a run")
                return []
            laws.check_end(self.journal, self.run, self.world)
            return self.events()
        finally:
            current_world.reset(token)

    def first_driver(self, engine: SimEngine) -> bool:
        trouble = self.trouble
        try:
            under = policies() if trouble.policy else None
            engine.start(self.experiment, seed=7, run=self.run, under=under)
        except JournalUnavailable:
            return False
        except Crash:
            return False
        later = self.time.after
        at = self.rng.choice([0.0, 0.05, self.rng.uniform(0.03, 0.3), self.rng.uniform(0.1, 2.0)])
        later(at, lambda: setattr(self.world, "misbehave", self.trouble.misbehave))
        self.world.stalls = trouble.stall
        if trouble.hurt:
            later(self.rng.uniform(0, 3), lambda: setattr(self.world, "hurt", trouble.hurt))
        if trouble.stop_after is not None:
            stop = (self.run, Verdict.CANCELLED, "signal", "SIGTERM", 15)
            later(trouble.stop_after, lambda: engine.stop(*stop))
            later(trouble.stop_after + 0.3, lambda: engine.stop(*stop))
        if trouble.halt_after is not None:
            halt = Halt(by="somebody", reason="testing", at=0)
            later(trouble.halt_after, lambda: self.journal.set_halt(halt))
        if trouble.source_on_after is not None:
            now = self.time.now + trouble.source_on_after
            later(trouble.source_on_after, lambda: setattr(self.world, "switched_on", now))
        if trouble.other_run_after is not None:
            later(trouble.other_run_after, self.other_run)
        if trouble.set_back_after is not None:
            later(trouble.set_back_after, self.world.set_back)
        if trouble.gate_shuts_after is not None:
            later(trouble.gate_shuts_after, lambda: setattr(self.world, "gate_open", False))
        try:
            if trouble.second_driver_after is None:
                engine.turns()
            else:
                self.two_drivers(engine, self.time.now + trouble.second_driver_after)
        except Crash:
            engine.die()
            return True
        engine.leave()
        return True

    def other_run(self) -> None:
        """Another run takes the only place that the policy gives to runs."""
        target = Target(kind="thing", id="elsewhere")
        hold = Hold(fault="sim.fault", targets=(target,), population=1, effect="marks")
        now = self.time.now
        started = e.Started(
            at=now, run=OTHER, experiment=self.experiment, digest="", seed=1, driver="other",
            version="",
        )  # fmt: skip
        leased = e.Leased(at=now, step="s", lease="other", hold=hold, terms=ONE_RUN)
        with contextlib.suppress(TermExceeded):
            MemoryJournal.append(self.journal, OTHER, 0, [started, leased])

    def two_drivers(self, first: SimEngine, at: float) -> None:
        """A second driver takes the run up although the first one lives."""
        second: SimEngine | None = None
        for _ in range(MOST_TURNS):
            if second is None and self.time.now >= at and first.busy:
                second = self.engine()
                try:
                    second.resume(self.run, "it looked dead")
                except (SequenceTaken, JournalUnavailable):
                    second = None
            both = [x for x in (first, second) if x is not None]
            for engine in both:
                engine.leave()
            engines = [x for x in both if x.busy]
            if not engines:
                break
            self.rng.choice(engines)._turn()

    def recovery(self) -> None:
        engine = self.engine()
        try:
            engine.resume(self.run, "its driver is gone")
            engine.turns()
            engine.leave()
        except (JournalUnavailable, SequenceTaken):
            engine.leave()
        except Crash:
            engine.die()

    def settled(self) -> bool:
        events = self.events()
        if not events:
            return True
        last = events[-1]
        return isinstance(last, e.Finished) and last.verdict is not Verdict.STRANDED

    def make_calm(self) -> None:
        """The trouble is over: what is still owed must now be reverted."""
        while self.time.step(self.time.now + 200.0):
            pass  # what drivers had begun has ended, one way or the other
        self.calm = True
        self.trouble = Trouble()
        self.world.healthy()
        self.journal.trouble = lambda: False
        self.journal.set_halt(None)
        if any(self.journal.events(OTHER)):
            ends: list[AnyEvent] = [
                e.Restored(at=self.time.now, lease="other", detail=""),
                e.Finished(at=self.time.now, verdict=Verdict.PASSED, reason=""),
            ]
            MemoryJournal.append(self.journal, OTHER, 2, ends)
        for daemon in self.daemons:
            daemon.catch_up()
            daemon.close()

    def events(self) -> list[AnyEvent]:
        return list(self.journal.events(self.run))


def policies() -> Under:
    """One run at a time, and a halt source."""
    spec = PolicySpec(
        limits=Radius(targets=8),
        concurrency=Concurrency(runs=1),
        minimum_gap=Duration(60),
        halt=HaltSources(sources=({"sim.halt": {}},)),
    )
    policy = Policy(
        api_version="chaosrun.dev/v1", kind="Policy", metadata=Metadata(name="sim"), spec=spec
    )
    source = e.PolicySource(name="sim", file="sim.yaml", digest="")
    return Under(policies=added_up([Document(policy, source)]))


def random_experiment(rng: random.Random) -> Experiment:
    """A small experiment of any shape: steps as a graph, checks, guards, gates."""
    steps: list[Step] = []
    for number in range(rng.choice([1, 1, 2, 2, 3, 4])):
        names = [step.name for step in steps]
        after: tuple[str, ...] | None = None
        if rng.random() < 0.4:
            after = tuple(rng.sample(names, rng.randint(0, len(names))))
        steps.append(
            Step(
                name=f"s{number}",
                fault="sim.fault",
                target={"names": [f"t{number}"]} if rng.random() < 0.5 else {"pick": 2},
                hold=Duration(rng.choice([0.0, 0.5, 2.0, 4.0])),
                after=after,
                timeout=Duration(rng.choice([1.0, 3.0])),
            )
        )
    checks = tuple(
        Check(
            name=f"c{number}",
            probe="sim.probe",
            every=Duration(rng.choice([0.2, 1.0])),
            expect="fine",
            tolerate=Share(rng.choice([0.0, 0.0, 0.3])),
            samples=rng.choice([1, 1, 2]),
        )
        for number in range(rng.choice([1, 2]))
    )
    guards = tuple(
        Guard(
            name=f"g{number}",
            probe="sim.probe",
            every=Duration(0.3),
            when="!fine",
            for_=Duration(rng.choice([0.0, 0.6])),
        )
        for number in range(rng.choice([0, 1, 2]))
    )
    gates: tuple[dict[str, dict[str, Any]], ...] = rng.choice([(), ({"sim.gate": {}},)])
    return Experiment(
        api_version="chaosrun.dev/v1",
        kind="Experiment",
        metadata=Metadata(name="random"),
        spec=ExperimentSpec(
            title="a random experiment",
            steady_state=checks,
            method=tuple(steps),
            abort_when=guards,
            limits=Limits(share=Share(1.0), concurrency=rng.choice([1, 10])),
            gates=gates,
            recover_within=Duration(3),
            revert_within=Duration(rng.choice([2.0, 20.0])),
        ),
    )
