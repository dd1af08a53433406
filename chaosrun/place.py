"""Where this process runs, so that a way back is walked where the fault was put.

Law (L2): "nothing is left" is said only by one who looks at the right machine. What ran
there before a restart is gone; what runs on another machine cannot be seen from here.
"""

from __future__ import annotations

import os
import platform
from functools import cache
from pathlib import Path

import msgspec

from chaosrun.errors import Refused


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A machine as a process sees it: its name, its boot, and its namespace of process ids."""

    node: str
    machine: str = ""
    boot: str = ""
    processes: str = ""

    @property
    def key(self) -> str:
        """What tells this place, from this boot on, from all others."""
        return f"{self.node}.{self.boot[:8]}.{self.processes}"


@cache
def here() -> Place:
    """The place of this process."""
    try:
        processes = os.readlink("/proc/self/ns/pid").strip("pid:[]")
    except OSError:  # not Linux
        processes = ""
    return Place(
        node=platform.node(),
        machine=_first_line("/etc/machine-id"),
        boot=_first_line("/proc/sys/kernel/random/boot_id"),
        processes=processes,
    )


def still_here(place: Place) -> bool:
    """Whether we are there. False when we are, but it was restarted since.

    Raises Refused when that is another machine or container.
    """
    now = here()
    if (place.boot, place.processes) == (now.boot, now.processes):
        return True
    if (place.node, place.machine) == (now.node, now.machine):
        return False
    raise Refused(
        f"that is on {place.node}, and this is {now.node}",
        hint=f"run `chaosrun recover` on {place.node}",
        code="another-machine",
    )


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
