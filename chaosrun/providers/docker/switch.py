"""The dead man's switch of faults that an engine would never end by itself (law L3).

Docker knows no deadlines. Where the engine is on this machine, a process of our own does the harm,
holds it, and undoes it at the deadline, whoever is gone by then. It does not outlive a restart of
the machine; the mark does. For an engine elsewhere only the runner ends the fault, and the hold
says so.
"""

from __future__ import annotations

from contextlib import closing
from typing import ClassVar

from chaosrun import discovery
from chaosrun.errors import Refused
from chaosrun.fault import Expiry, Fault, Hold
from chaosrun.mechanisms.harm import Harm, Here, Order, Seen, order
from chaosrun.providers.docker import marks
from chaosrun.providers.docker.client import Docker, Engine
from chaosrun.providers.docker.containers import Container

ON = "switch"
"""In the undo data: whether the hold has a switch."""


class Switched(Fault[Docker], frozen=True, kw_only=True):
    """A fault that is held by the switch where it can be. Subclasses give `do` and `undo`."""

    expiry: ClassVar[Expiry] = Expiry.TARGET

    @classmethod
    def do(cls, hold: Hold, client: Docker) -> None:
        """Put the fault in place, by whoever holds it. Twice is once."""
        raise NotImplementedError

    @classmethod
    def undo(cls, hold: Hold, client: Docker) -> None:
        """Take it away. Twice is once; harmless when nothing was done."""
        raise NotImplementedError

    @classmethod
    def inject(cls, hold: Hold, client: Docker) -> None:
        if hold.undo[ON]:
            client.hold(_order(hold))
        else:
            marks.put(hold, client)
            cls.do(hold, client)

    @classmethod
    def revert(cls, hold: Hold, client: Docker) -> None:
        if hold.undo[ON] and any(each.mark == hold.mark for each in client.held()):
            client.end(_order(hold))  # it has looked that nothing is left
            return
        cls.undo(hold, client)
        marks.take(hold, client)


class Held(Harm, frozen=True, kw_only=True, tag="docker"):
    """What a fault of this provider does, done by the process that holds it."""

    survives_restart: ClassVar[bool] = True  # a stopped container stays so
    held_in = "engine"

    hold: Hold

    def apply(self, _: Here) -> None:
        with closing(Docker()) as client:
            marks.put(self.hold, client)
            _kind(self.hold).do(self.hold, client)

    def look(self, _: Here) -> Seen:
        with closing(Docker()) as client:
            seen = _kind(self.hold).took_effect(self.hold, client)
            left = marks.there(self.hold, client)
        return Seen(seen.seen, seen.detail, seen.measured, left=left)

    def remove(self, _: Here) -> None:
        with closing(Docker()) as client:
            _kind(self.hold).undo(self.hold, client)
            marks.take(self.hold, client)


def possible(engine: Engine, containers: list[Container], client: Docker) -> bool:
    """Whether a process of this machine can hold a fault of these running containers."""
    return engine.by_socket and all(client.is_here(each.pid, each.id) for each in containers)


def expiry(switched: bool) -> Expiry:
    """Who ends a hold at its deadline."""
    return Expiry.TARGET if switched else Expiry.RUNNER


def in_words(switched: bool) -> str:
    """The way back, for a plan."""
    return (
        "at the deadline by a process of this machine, or by chaosrun before it"
        if switched
        else "by chaosrun only, as the engine is not on this machine"
    )


def _order(hold: Hold) -> Order:
    return order(hold.mark, hold.deadline, Held(hold=hold), about={"fault": hold.fault})


def _kind(hold: Hold) -> type[Switched]:
    found = discovery.fault(hold.fault)
    if not issubclass(found, Switched):
        raise Refused(f"{hold.fault} is not held by a switch")
    return found
