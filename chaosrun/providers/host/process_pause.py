"""Processes stand still, as in a long garbage collection or a stalled disk."""

from __future__ import annotations

import random
import signal
from typing import ClassVar

from chaosrun.codec import from_plain, to_plain
from chaosrun.fault import Evidence, Expiry, Fault, Hold, Permission
from chaosrun.place import Place, still_here
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.selection import (
    PERMISSIONS,
    Processes,
    as_target,
    identity_of,
    rights,
)
from chaosrun.targeting import Target, pick, populations
from chaosrun.units import JSON

_STOPPED = "T"


class ProcessPause(Fault[Host], frozen=True, kw_only=True):
    """Stop processes (SIGSTOP) and continue them (SIGCONT) when the hold ends.

    They keep their memory, files and connections, and answer nothing. A watchdog, a process of
    its own, stops them and continues them at the deadline, also when chaosrun is gone. A process
    that was stopped already stays stopped. A shell with job control will say that its job stopped.
    """

    name: ClassVar[str] = "host.process-pause"
    expiry: ClassVar[Expiry] = Expiry.TARGET
    permissions: ClassVar[tuple[Permission, ...]] = PERMISSIONS
    example: ClassVar[dict[str, JSON]] = {"target": {"command": "server\\.py", "pick": "one"}}

    target: Processes

    def plan(self, client: Host, rng: random.Random) -> Hold:
        population = [
            as_target(each, client, {"stopped": each.state == _STOPPED})
            for each in self.target.matching(client)
        ]
        targets = pick(population, self.target.pick, rng)
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(population),
            populations=populations(population),
            effect="they stand still",
            undo={"place": to_plain(client.place())},
            way_back="SIGCONT, by the watchdog at the deadline or by chaosrun before it",
            mechanism="SIGSTOP",
            expiry=self.expiry,
            used=rights(self.target, targets, client),
        )

    @classmethod
    def inject(cls, hold: Hold, client: Host) -> None:
        ours = [identity_of(target) for target in _ours(hold)]
        running = [each for each in ours if client.state(each) not in ("", _STOPPED)]
        if running or hold.mark not in client.watchdogs():
            client.pause(hold, ours)

    @classmethod
    def revert(cls, hold: Hold, client: Host) -> None:
        if not still_here(from_plain(hold.undo["place"], Place)):
            return
        client.end_pause(hold.mark)
        for target in _ours(hold):
            client.send_signal(identity_of(target), signal.SIGCONT)

    @classmethod
    def took_effect(cls, hold: Hold, client: Host) -> Evidence:
        states = {target.label: client.state(identity_of(target)) for target in _ours(hold)}
        return Evidence(
            bool(states) and all(state == _STOPPED for state in states.values()),
            _in_words(states) or "all of them were stopped before",
        )

    @classmethod
    def restored(cls, hold: Hold, client: Host) -> Evidence:
        if not still_here(from_plain(hold.undo["place"], Place)):
            return Evidence(True, "the machine was restarted since, and they ended with it")
        states = {target.label: client.state(identity_of(target)) for target in _ours(hold)}
        return Evidence(
            all(state != _STOPPED for state in states.values()),
            _in_words(states) or "all of them were stopped before, and stay so",
        )


def _ours(hold: Hold) -> list[Target]:
    """The targets that we stop: those that were not stopped before."""
    return [target for target in hold.targets if not target.undo["stopped"]]


def _in_words(states: dict[str, str]) -> str:
    words = {"": "has ended", _STOPPED: "is stopped"}
    return "; ".join(f"{name} {words.get(state, 'runs')}" for name, state in states.items())
