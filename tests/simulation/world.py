"""A simulated system, its provider, and everything that can go wrong with it.

Targets hold marks of faults. Each call of the provider may raise, lie (say it acted and not
act), act and then raise, or stall and act long after everybody gave up; each is a crossing
at which the driver may die. `restored` and `took_effect` look at the targets, and may fail
to answer, but what they say is true.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextvars import ContextVar
from typing import Annotated, ClassVar

import msgspec

from chaosrun.discovery import Provider
from chaosrun.errors import Indeterminate, Refused, Transient
from chaosrun.fault import Evidence, Expiry, Fault, Hold
from chaosrun.gate import Gate, Measured
from chaosrun.halting import Every, HaltSource, Switch
from chaosrun.probe import Probe
from chaosrun.targeting import Pick, Target, pick
from chaosrun.units import Duration


class World:
    """What is out there, and how badly it behaves. `healthy()` ends the misbehaviour."""

    def __init__(self, rng: random.Random, now: Callable[[], float]) -> None:
        self.rng = rng
        self.now = now
        self.marks: dict[str, set[str]] = {f"t{n}": set() for n in range(6)}
        self.misbehave = 0.0
        self.stalls = 0.0
        self.hurt = 0.0
        self.gate_open = True
        self.switched_on: float | None = None
        self.set_back_at: float | None = None
        self.seen_marks: set[str] = set()
        self.on_inject: Callable[[Hold], None] = lambda hold: None
        self.on_revert: Callable[[Hold], None] = lambda hold: None
        self.crossing: Callable[[], None] = lambda: None
        self.stall: Callable[[float, Callable[[], None]], None] = lambda delay, change: change()

    def set_back(self) -> None:
        """Somebody else puts back what faults have changed."""
        if self.present:
            self.set_back_at = self.now()
        for marks in self.marks.values():
            marks.clear()

    def healthy(self) -> None:
        self.misbehave = self.stalls = self.hurt = 0.0
        self.gate_open = True
        self.switched_on = None

    @property
    def present(self) -> set[str]:
        return {mark for marks in self.marks.values() for mark in marks}

    def act(self, change: Callable[[], None]) -> None:
        """Change the world, or misbehave."""
        self.crossing()
        trouble = self.rng.random() < self.misbehave
        kinds = ["raise", "lie", "act then raise", "bug", "stall"]
        kind = self.rng.choice(kinds) if trouble else ""
        if self.rng.random() < self.stalls:
            kind = "stall"
        if kind == "raise":
            raise self.rng.choice([Transient("try later"), Refused("not allowed")])
        if kind == "bug":
            raise KeyError("a provider's bug")
        if kind == "stall":
            longest = self.rng.choice([0.4, 40.0])
            self.stall(self.rng.uniform(0.02, longest), change)
        elif kind != "lie":
            change()
        self.crossing()
        if kind == "act then raise":
            raise Indeterminate("the connection was lost")

    def look(self) -> None:
        self.crossing()
        if self.rng.random() < self.misbehave:
            raise Transient("cannot look now")


world: ContextVar[World] = ContextVar("world")


def connect() -> World:
    return world.get()


class SimTarget(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    names: tuple[str, ...] = ()
    pick: Pick = Pick("one")


class SimFault(Fault[World], frozen=True, kw_only=True):
    """Puts a mark on targets."""

    name: ClassVar[str] = "sim.fault"
    expiry: ClassVar[Expiry] = Expiry.RUNNER
    target: SimTarget = SimTarget()

    def plan(self, client: World, rng: random.Random) -> Hold:
        client.look()
        names = self.target.names or tuple(client.marks)
        population = [Target(kind="thing", id=name) for name in names]
        chosen = pick(population, self.target.pick, rng)
        return Hold(fault=self.name, targets=chosen, population=len(client.marks), effect="marks")

    @classmethod
    def inject(cls, hold: Hold, client: World) -> None:
        client.on_inject(hold)

        def change() -> None:
            for target in hold.targets:
                client.marks[target.id].add(hold.mark)
            client.seen_marks.add(hold.mark)

        client.act(change)

    @classmethod
    def revert(cls, hold: Hold, client: World) -> None:
        client.on_revert(hold)

        def change() -> None:
            for target in hold.targets:
                client.marks[target.id].discard(hold.mark)

        client.act(change)

    @classmethod
    def took_effect(cls, hold: Hold, client: World) -> Evidence:
        client.look()
        there = all(hold.mark in client.marks[target.id] for target in hold.targets)
        return Evidence(there, "marked" if there else "not marked")

    @classmethod
    def restored(cls, hold: Hold, client: World) -> Evidence:
        client.look()
        gone = all(hold.mark not in client.marks[target.id] for target in hold.targets)
        return Evidence(gone, "not marked" if gone else "still marked")


class SimResult(msgspec.Struct, frozen=True):
    fine: bool
    marks: int


class SimProbe(Probe[World, SimResult], frozen=True, kw_only=True):
    """Says whether the world hurts."""

    name: ClassVar[str] = "sim.probe"
    Result: ClassVar[type[msgspec.Struct]] = SimResult
    timeout: Annotated[Duration, "how long"] = Duration(1)

    def observe(self, client: World) -> SimResult:
        client.look()
        return SimResult(client.rng.random() >= client.hurt, len(client.present))


class SimGate(Gate[World], frozen=True, kw_only=True):
    """Opens and closes as the world says."""

    name: ClassVar[str] = "sim.gate"

    def measure(self, client: World) -> Measured:
        client.look()
        return Measured(open=client.gate_open, measured=str(client.gate_open), rule="is open")


class SimHalt(HaltSource[World], frozen=True, kw_only=True):
    """A switch outside of the journal."""

    name: ClassVar[str] = "sim.halt"
    every: Every = Duration(0.1)

    def read(self, client: World) -> Switch:
        return Switch(client.switched_on is not None, "it says so")


provider = Provider(
    name="sim",
    package="tests.simulation",
    faults={"sim.fault": "world:SimFault"},
    probes={"sim.probe": "world:SimProbe"},
    gates={"sim.gate": "world:SimGate"},
    halts={"sim.halt": "world:SimHalt"},
    connect="world:connect",
)
