"""The clock of processes is wrong, as after a failed time server or on a resumed machine."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold, Permission
from chaosrun.mechanisms import clock
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held
from chaosrun.providers.host.selection import Processes, as_target
from chaosrun.targeting import Target, pick
from chaosrun.units import JSON, Duration

_LIBRARY, _FILE = "LD_PRELOAD", "FAKETIME_TIMESTAMP_FILE"
_START = (
    "start it with LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1 "
    "FAKETIME_TIMESTAMP_FILE=/run/app.clock FAKETIME_CACHE_DURATION=1 "
    "(Debian's package libfaketime)"
)
_CACHE = 10.0
"""How long libfaketime keeps what the file said, unless it is told otherwise."""


class Clock(Held, frozen=True, kw_only=True):
    """Set the clock of processes forward or back while they run.

    No kernel gives a running process a clock of its own, so they must have been started with
    libfaketime and FAKETIME_TIMESTAMP_FILE; without a fault it costs little and their time is
    right. They see the change when FAKETIME_CACHE_DURATION has passed (10 s if not set). All that
    read the same file change together, so all of them must be picked. Their monotonic clock jumps
    too, and with it timers, unless they have FAKETIME_DONT_FAKE_MONOTONIC=1, with which not every
    program runs (Python 3.11 does not sleep). The machine's own clock, and chaosrun's, are never
    touched.
    """

    name: ClassVar[str] = "host.clock"
    permissions: ClassVar[tuple[Permission, ...]] = (
        Permission("linux", "CAP_SYS_PTRACE", "to see how processes of other users were started"),
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"name": "billing", "pick": "all"},
        "with": {"ahead": "25h"},
    }

    target: Processes
    ahead: Annotated[Duration, Meta(description="How far forward")] = Duration(0)
    behind: Annotated[Duration, Meta(description="How far back")] = Duration(0)

    def __post_init__(self) -> None:
        if bool(self.ahead) == bool(self.behind):
            raise ValueError("say how wrong the clock is: either ahead or behind")

    def plan(self, client: Host, rng: random.Random) -> Hold:
        everyone = client.environments((_LIBRARY, _FILE, "FAKETIME_CACHE_DURATION"))
        population = [
            as_target(each, client, everyone.get(each.pid, {}))
            for each in self.target.matching(client)
        ]
        targets = pick(population, self.target.pick, rng)
        library, file = _one_file(targets)
        picked = {target.undo["pid"] for target in targets}
        others = sorted(
            pid for pid, each in everyone.items() if each.get(_FILE) == file and pid not in picked
        )
        if others:
            raise Refused(
                f"process {others[0]} reads its time from {file} too, and is not picked",
                hint="pick all of them, or give each its own file",
            )
        offset = self.ahead.seconds or -self.behind.seconds
        before = client.text_of(file)
        if before == clock.said(offset):
            raise Refused(f"{file} says {before.strip()} already")
        slowest = max(float(t.undo.get("FAKETIME_CACHE_DURATION", _CACHE)) for t in targets)
        away = f"{self.ahead} ahead" if self.ahead else f"{self.behind} behind"
        return self.held(
            client,
            clock.Clock(file=file, offset=offset, library=library, before=before),
            targets=targets,
            population=len(population),
            effect=f"their clock is {away}, {slowest:g} s later at the latest",
            way_back=f"{file} says what it said before",
            mechanism="libfaketime",
            used=(),
        )


def _one_file(targets: tuple[Target, ...]) -> tuple[str, str]:
    """The library and the file of all of them. Raises Refused."""
    for target in targets:
        if "libfaketime" not in target.undo.get(_LIBRARY, "") or _FILE not in target.undo:
            raise Refused(f"{target.label} was not started with libfaketime", hint=_START)
    files = sorted({target.undo[_FILE] for target in targets})
    if len(files) > 1:
        raise Refused(
            f"they read their time from {len(files)} files: {', '.join(files)}",
            hint="one step for each of them",
        )
    if not files[0].startswith("/"):
        raise Refused(f"{files[0]} is no whole path: nobody knows where from", hint=_START)
    return targets[0].undo[_LIBRARY], files[0]
