"""Resources of containers run short: processors, memory, disks, tasks and descriptors.

The faults are docker.cpu, docker.memory, docker.io, docker.disk-fill, docker.pids and docker.fd.
Law (L4): what presses is in the container's control group, so its own limits bound it, and others
feel it only as far as they would feel the container itself.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.mechanisms.asked.pressure import (
    Busy,
    Crowded,
    Filling,
    Taken,
    Writing,
    in_words,
)
from chaosrun.mechanisms.harm import Harm
from chaosrun.mechanisms.inside import Joined
from chaosrun.mechanisms.open_limit import Limited, OpenLimit
from chaosrun.providers.docker import within
from chaosrun.providers.docker.containers import Containers
from chaosrun.units import JSON

_GROUP: tuple[Joined, ...] = ("cgroup",)
_ONE: dict[str, JSON] = {"project": "shop", "service": "web", "pick": "one"}
_LIMITS = Permission("linux", "CAP_SYS_RESOURCE", "limits of processes of other users")


class Cpu(within.Within, Busy, frozen=True, kw_only=True):
    """Keep processors busy inside of containers, by their limits.

    A container with a limit of its own is slowed down by it, as by a hot loop of its own; one
    without shares the machine's processors with all others.
    """

    name: ClassVar[str] = "docker.cpu"
    permissions: ClassVar[tuple[Permission, ...]] = within.IN_GROUP
    joins: ClassVar[tuple[Joined, ...]] = _GROUP
    example: ClassVar[dict[str, JSON]] = {"target": _ONE, "with": {"load": "90%", "cores": 1}}

    target: Containers

    def part(self, at: within.At) -> within.Part:
        by = at.client.presser(self.mechanism)
        harm = self.harm(at.client.processors(), by)
        return _part(harm, self.in_words(harm), in_words(by))


class Memory(within.Within, Taken, frozen=True, kw_only=True):
    """Take memory inside of containers, by their limits.

    `share` is of the container's limit, or of the machine where it has none. `leave` stays
    available: when others need it, all of it is given back at once. If the kernel must kill
    somebody in the container for memory, it is our worker first.
    """

    name: ClassVar[str] = "docker.memory"
    permissions: ClassVar[tuple[Permission, ...]] = within.IN_GROUP
    joins: ClassVar[tuple[Joined, ...]] = _GROUP
    example: ClassVar[dict[str, JSON]] = {"target": _ONE, "with": {"share": "80%"}}

    target: Containers

    def part(self, at: within.At) -> within.Part:
        by = at.client.presser(self.mechanism)
        harm = self.harm(at.client.memory(at.now.pid), by)
        return _part(harm, self.in_words(harm), in_words(by))


class Io(within.Within, Writing, frozen=True, kw_only=True):
    """Keep a disk busy from inside of containers: write, sync and read in one of their directories.

    A directory of a volume is on the disk of that volume. The files have no names, so the kernel
    frees them when their writers end, however they end.
    """

    name: ClassVar[str] = "docker.io"
    permissions: ClassVar[tuple[Permission, ...]] = within.IN_GROUP
    joins: ClassVar[tuple[Joined, ...]] = _GROUP
    example: ClassVar[dict[str, JSON]] = {"target": _ONE, "with": {"directory": "/var/lib/data"}}

    target: Containers

    def part(self, at: within.At) -> within.Part:
        by, directory = (
            at.client.presser(self.mechanism),
            within.directory_in(at.now, self.directory),
        )
        harm = self.harm(directory, at.client.space(directory, at.now.pid), by)
        return _part(harm, self.in_words(), in_words(by))


class DiskFill(within.Within, Filling, frozen=True, kw_only=True):
    """Fill the file system of a directory of containers with one file, and leave a little room.

    Mind whose file system it is: what a container writes outside of volumes is on the disk of the
    engine, which all its containers share. The file loses its name as soon as it is open, and the
    kernel frees it when its worker ends. Where others need the room that was to stay free, it
    shrinks.
    """

    name: ClassVar[str] = "docker.disk-fill"
    permissions: ClassVar[tuple[Permission, ...]] = within.IN_GROUP
    joins: ClassVar[tuple[Joined, ...]] = _GROUP
    example: ClassVar[dict[str, JSON]] = {
        "target": _ONE, "with": {"directory": "/var/lib/data", "share": "95%"}
    }  # fmt: skip

    target: Containers

    def part(self, at: within.At) -> within.Part:
        directory = within.directory_in(at.now, self.directory)
        harm = self.harm(
            directory, at.client.space(directory, at.now.pid), at.client.memory(at.now.pid)
        )
        return _part(harm, self.in_words(harm), "a file without a name")


class Pids(within.Within, Crowded, frozen=True, kw_only=True):
    """Use up the tasks (processes and threads) that may exist in containers.

    Refused for one without a limit of its own (--pids-limit): its tasks are the machine's.
    """

    name: ClassVar[str] = "docker.pids"
    permissions: ClassVar[tuple[Permission, ...]] = within.IN_GROUP
    joins: ClassVar[tuple[Joined, ...]] = _GROUP
    example: ClassVar[dict[str, JSON]] = {"target": _ONE, "with": {"share": "90%"}}

    target: Containers

    def part(self, at: within.At) -> within.Part:
        if at.now.most_tasks <= 0:
            raise Refused(
                f"container {at.now.name} has no limit of tasks: they are the machine's",
                hint="run it with --pids-limit, or use host.pids",
            )
        return _part(self.harm(self.leave or 0), self.in_words(), "threads that sleep")


class Fd(within.Within, frozen=True, kw_only=True):
    """Let the processes of containers run out of file descriptors.

    Each can open only `leave` files and sockets more: its own soft limit is lowered, and raised
    again afterwards, also for what it started meanwhile. What is open stays open.
    """

    name: ClassVar[str] = "docker.fd"
    permissions: ClassVar[tuple[Permission, ...]] = (*within.IN_GROUP, _LIMITS)
    joins: ClassVar[tuple[Joined, ...]] = _GROUP
    way_back: ClassVar[str] = "their limits are raised again, at the deadline at the latest"
    example: ClassVar[dict[str, JSON]] = {"target": _ONE, "with": {"leave": 4}}

    target: Containers
    leave: Annotated[
        int, Meta(ge=0, description="How many can still be opened by each of its processes")
    ] = 0

    def part(self, at: within.At) -> within.Part:
        members = at.client.members(at.now.pid)
        harm = OpenLimit(
            processes=tuple(
                Limited(pid=each.pid, started=each.started, soft=at.client.open_limit(each))
                for each in members
            ),
            leave=self.leave,
            youngest=at.client.youngest(members),
        )
        foreign = any(at.client.user_of(each.pid) != at.client.user() for each in members)
        return within.Part(
            harm=harm,
            effect=f"their processes can open {self.leave or 'no'} files more",
            mechanism="their soft limit RLIMIT_NOFILE",
            used=(*within.IN_GROUP, *((_LIMITS,) if foreign else ())),
        )


def _part(harm: Harm, effect: str, mechanism: str) -> within.Part:
    how = f"{mechanism}, in the container's control group"
    return within.Part(harm=harm, effect=effect, mechanism=how, used=within.IN_GROUP)
