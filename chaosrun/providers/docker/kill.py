"""A container's first process gets a signal, and ends as in a crash."""

from __future__ import annotations

import random
import signal
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.docker import life, marks, processes, switch
from chaosrun.providers.docker.client import Docker
from chaosrun.providers.docker.containers import (
    Containers,
    calls,
    each_now,
    engine_of,
    undo,
)
from chaosrun.targeting import pick
from chaosrun.units import JSON, Duration

_SIGNALS = sorted(each.name.removeprefix("SIG") for each in signal.Signals)
_NO_END = {"STOP", "TSTP", "TTIN", "TTOU", "CONT"}
_CRASH, _ENGINE = "crash", "engine"


class Kill(Fault[Docker], frozen=True, kw_only=True):
    """Signal the first process of containers, and see that they run again.

    As a `crash` the signal comes from this machine, past the engine, so that a restart policy
    brings the container back as after any crash; the revert waits for that, and starts only what
    did not come back. By the `engine` it is `docker kill`, which tells the engine that the end is
    wanted: no restart policy applies, and the revert starts it. `auto` is a crash where the engine
    is on this machine and we may signal its processes. A container that handles the signal and
    lives on has not ended, so the effect is not seen. Refused for one that would be removed when it
    ends (--rm), and for one whose network or processes another container shares.
    """

    name: ClassVar[str] = "docker.kill"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    permissions: ClassVar[tuple[Permission, ...]] = (
        *calls(
            "POST /containers/{id}/kill",
            "POST /containers/{id}/restart",
            "POST /containers/{id}/start",
            *marks.CALLS,
        ),
        processes.KILL,
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"project": "shop", "service": "web", "pick": "one"},
        "with": {"signal": "KILL"},
    }

    target: Containers
    signal: Annotated[
        str, Meta(description="KILL cannot be caught; TERM lets it end in order", examples=["TERM"])
    ] = "KILL"
    via: Annotated[
        Literal["auto", "crash", "engine"],
        Meta(description="As a crash, which restart policies see, or by `docker kill`"),
    ] = "auto"
    within: Annotated[
        Duration, Meta(description="How long it may take to end, and then to come back by itself")
    ] = Duration(3)

    def __post_init__(self) -> None:
        if self.signal.removeprefix("SIG") not in _SIGNALS:
            raise ValueError(f"signal: {self.signal!r} is not one of {', '.join(_SIGNALS)}")
        if self.signal.removeprefix("SIG") in _NO_END:
            raise ValueError(f"signal: {self.signal} ends nothing; to stop for a while there is "
                             "docker.pause")  # fmt: skip

    def plan(self, client: Docker, rng: random.Random) -> Hold:
        engine = client.engine(self.target.engine)
        running = self.target.running(client, engine)
        targets = pick(life.targets_of(running, engine), self.target.pick, rng)
        runs = life.with_runs(targets, client, engine)
        way = self._way(client, switch.possible(engine, [now for _, now in runs], client), [
            now.pid for _, now in runs
        ])  # fmt: skip
        word = f"SIG{self.signal.removeprefix('SIG')}"
        heal = way == _CRASH and all(now.comes_back(137) for _, now in runs)
        return Hold(
            fault=self.name,
            targets=tuple(target for target, _ in runs),
            population=len(running),
            effect=f"their first process gets {word}",
            undo=undo(engine, signal=word, way=way, within=self.within.seconds),
            way_back="their restart policy brings them back" if heal
            else "chaosrun starts what does not come back by itself",
            mechanism=f"{word} from this machine" if way == _CRASH else f"docker kill -s {word}",
            reversal=self.reversal,
            used=self.permissions if way == _CRASH else self.permissions[:-1],
        )  # fmt: skip

    def _way(self, client: Docker, local: bool, pids: list[int]) -> str:
        able = local and all(client.may_signal(pid) for pid in pids)
        if self.via == _CRASH and not able:
            raise Refused(
                "a crash needs the engine on this machine, and the right to signal its processes",
                hint="run chaosrun there as root, or with CAP_KILL; or say `via: engine`",
            )
        return _CRASH if able and self.via != _ENGINE else _ENGINE

    @classmethod
    def inject(cls, hold: Hold, client: Docker) -> None:
        engine, how = engine_of(hold), hold.undo
        marks.put(hold, client)
        for target, now in each_now(hold, client):
            if now is None or not life.same_run(target, now):
                continue
            if how["way"] == _CRASH:
                client.crash(now.pid, target.id, signal.Signals[how["signal"]])
            else:
                client.kill(engine, target.id, how["signal"])
        life.await_ends(hold, client, how["within"])

    @classmethod
    def revert(cls, hold: Hold, client: Docker) -> None:
        how = hold.undo
        crashed, caught = how["way"] == _CRASH, how["signal"] != "SIGKILL"
        life.bring_back(
            hold, client,
            ends_within=how["within"] if caught else 0.0 if crashed else life.LATER,
            heals_within=how["within"] if crashed else 0.0,
            crashed=crashed,
        )  # fmt: skip
        marks.take(hold, client)

    @classmethod
    def took_effect(cls, hold: Hold, client: Docker) -> Evidence:
        return life.ended(hold, client)

    @classmethod
    def restored(cls, hold: Hold, client: Docker) -> Evidence:
        return life.back(hold, client)
