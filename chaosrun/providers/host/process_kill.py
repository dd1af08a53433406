"""Processes end, as in a crash, and somebody must start them again."""

from __future__ import annotations

import random
import signal
import time
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.place import Place, still_here
from chaosrun.procfs import Identity
from chaosrun.providers.host.alone import alone
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.command import Words, checked
from chaosrun.providers.host.selection import (
    PERMISSIONS,
    Processes,
    as_target,
    identity_of,
    rights,
)
from chaosrun.targeting import pick, populations
from chaosrun.units import JSON, Duration

Ending = Literal[
    "KILL", "TERM", "INT", "QUIT", "ABRT", "HUP", "SEGV", "BUS", "FPE", "ILL", "TRAP", "SYS",
    "PIPE", "ALRM", "VTALRM", "PROF", "IO", "USR1", "USR2", "XCPU", "XFSZ",
]  # fmt: skip
"""Every signal that ends a process which does not care for it (signal(7))."""

_LOOK_AGAIN = 0.05


class Undo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the way back needs: how many there were, and what makes them come back."""

    place: Place
    selection: Processes
    population: int
    signal: str
    within: float
    restart: Words | None = None
    cwd: str = ""


class ProcessKill(Fault[Host], frozen=True, kw_only=True):
    """Kill processes, and see that as many run again as before.

    What starts them again is their supervisor (systemd, a container runtime, a loop in a
    script), which is what this fault tests. Without one give `restart`: it is run when the
    hold ends, once for each that is missing, and what it starts outlives chaosrun.
    """

    name: ClassVar[str] = "host.process-kill"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    permissions: ClassVar[tuple[Permission, ...]] = PERMISSIONS
    example: ClassVar[dict[str, JSON]] = {
        "target": {"name": "gunicorn", "pick": "one"},
        "with": {"signal": "KILL"},
    }

    target: Processes
    signal: Annotated[
        Ending,
        Meta(
            description="KILL cannot be caught; TERM lets it end in order; QUIT, ABRT, SEGV and "
            "their like leave a core file where the machine keeps them"
        ),
    ] = "KILL"
    within: Annotated[
        Duration, Meta(description="How long it may take to end, or to come back once restarted")
    ] = Duration(3)
    restart: Annotated[
        Words | None,
        Meta(description="A command that starts one of them, for those without a supervisor"),
    ] = None
    cwd: Annotated[str, Meta(description="The directory that `restart` is run in")] = ""

    def __post_init__(self) -> None:
        checked("restart", self.restart)

    def plan(self, client: Host, rng: random.Random) -> Hold:
        population = [as_target(each, client, {}) for each in self.target.matching(client)]
        targets = pick(population, self.target.pick, rng)
        undo = Undo(
            place=client.place(),
            selection=self.target,
            population=len(population),
            signal=self.signal,
            within=self.within.seconds,
            restart=self.restart,
            cwd=client.directory(self.cwd),
        )
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(population),
            populations=populations(population),
            effect=f"they end by SIG{self.signal}",
            undo=to_plain(undo),
            way_back="`restart` starts what is missing" if self.restart else "their supervisor",
            mechanism=f"SIG{self.signal}",
            reversal=self.reversal,
            used=rights(self.target, targets, client),
        )

    @classmethod
    def inject(cls, hold: Hold, client: Host) -> None:
        undo = from_plain(hold.undo, Undo)
        identities = [identity_of(target) for target in hold.targets]
        for identity in identities:
            client.send_signal(identity, signal.Signals[f"SIG{undo.signal}"])
        _await_ends(identities, undo.within, client)

    @classmethod
    def revert(cls, hold: Hold, client: Host) -> None:
        undo = from_plain(hold.undo, Undo)
        if not still_here(undo.place):
            return
        number = signal.Signals[f"SIG{undo.signal}"]
        alive = [identity_of(target) for target in hold.targets]
        # One that catches the signal may be about to end, if it was sent: see before counting.
        ending = [each for each in alive if client.may_still_end(each, number)]
        _await_ends(ending, undo.within, client)
        if undo.restart is not None:
            with alone(undo.within):
                _restart(hold.mark, undo, undo.restart, client)

    @classmethod
    def took_effect(cls, hold: Hold, client: Host) -> Evidence:
        left = [t.label for t in hold.targets if client.state(identity_of(t))]
        ended = len(hold.targets) - len(left)
        detail = f"{ended} of {len(hold.targets)} ended"
        return Evidence(not left, detail + (f"; still there: {', '.join(left)}" if left else ""))

    @classmethod
    def restored(cls, hold: Hold, client: Host) -> Evidence:
        undo = from_plain(hold.undo, Undo)
        still_here(undo.place)  # a restart of the machine must bring them back too
        try:
            running = len(undo.selection.matching(client))
        except Refused as error:  # its PID file is not there yet, or is still the old one
            return Evidence(False, str(error))
        return Evidence(
            running >= undo.population,
            f"{running} run, and {undo.population} did before",
            {"running": running, "before": undo.population},
        )


def _await_ends(identities: list[Identity], within: float, client: Host) -> None:
    until = time.monotonic() + within
    for identity in identities:
        client.wait_gone(identity, until - time.monotonic())


def _restart(mark: str, undo: Undo, command: Words, client: Host) -> None:
    """Start what is missing, one at a time, and none while another is still starting.

    Twice is once: what an earlier revert started is known by the mark in its environment,
    and each start has a session of its own.
    """
    running = _sessions(undo, client)
    while len(running) < undo.population:
        starting = {each.session for each in client.restarted(mark)} - set(running)
        if not starting:
            client.start_detached(command, mark, undo.cwd)
        before, until = len(running), time.monotonic() + undo.within
        while len(running) <= before:
            if time.monotonic() > until:
                return  # the next revert looks again
            time.sleep(_LOOK_AGAIN)
            running = _sessions(undo, client)


def _sessions(undo: Undo, client: Host) -> list[int]:
    """The session of each process that matches now."""
    try:
        return [each.session for each in undo.selection.matching(client)]
    except Refused:
        return []
