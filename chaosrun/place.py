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
    """Whether we are there, among its processes. False when the machine was restarted since.

    Raises Refused when that is another machine or container. On the same boot nothing is over
    because we see other processes than those that were there: they may all run still.
    """
    if _same_processes(place):
        return True
    if place.boot != here().boot and _same_name(place):
        return False
    raise _elsewhere(place)


def require_same_machine(place: Place) -> None:
    """For what is on its disk. Raises Refused when that is another machine or container.

    One that was restarted since is the same, with other processes.
    """
    if not (_same_name(place) or _same_processes(place)):
        raise _elsewhere(place)


def same_boot(place: Place) -> bool:
    """Whether it is the kernel there that runs here, be it in another container."""
    return bool(place.boot) and place.boot == here().boot


def _same_processes(place: Place) -> bool:
    now = here()
    return (place.boot, place.processes) == (now.boot, now.processes)


def _same_name(place: Place) -> bool:
    now = here()
    return (place.node, place.machine) == (now.node, now.machine)


def _elsewhere(place: Place) -> Refused:
    now = here()
    if place.node != now.node or not same_boot(place):
        said, where = f"that is on {place.node}, and this is {now.node}", f"on {place.node}"
    else:
        said = f"that is among other processes of {place.node} than those that are seen here"
        where = "where those are seen: in that container, or outside of any"
    return Refused(said, hint=f"run `chaosrun recover` {where}", code="another-machine")


def _first_line(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""
