"""The resources of this machine: what planning to press on them needs to see. Reads only."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterable
from pathlib import Path

from chaosrun.errors import Refused, Transient
from chaosrun.mechanisms import dns, envoy, open_limit, worker
from chaosrun.mechanisms.asked.pressure import Space
from chaosrun.procfs import Identity


class Resources:
    """Processors, memory, file systems, limits and programs. Part of a client."""

    def program(self, name: str) -> str:
        """The path of a program; empty when it is not installed."""
        return shutil.which(name) or ""

    def envoy(self) -> str:
        """The path of Envoy. Raises Refused when it is not installed."""
        return envoy.program()

    def processors(self) -> int:
        """How many processors we may use."""
        return len(os.sched_getaffinity(0))

    def memory(self, pid: int = 0) -> int:
        """The bytes of memory that there are, for a process or for us: a control group may say."""
        return worker.total(pid or "self")

    def space(self, path: str, pid: int = 0) -> Space:
        """The file system of a directory, as that process sees it or we. Raises Refused."""
        place = f"/proc/{pid}/root{path}" if pid else path
        try:
            seen = os.statvfs(place)
            if not os.path.isdir(place):
                raise Refused(f"{path} is not a directory")
        except OSError as error:
            raise Refused(f"cannot look at {path}: {error.strerror}") from None
        if not os.access(place, os.W_OK):
            raise Refused(f"not allowed to write in {path}", hint="run as its owner or as root")
        unit = seen.f_frsize
        return Space(
            whole=seen.f_blocks * unit, free=seen.f_bavail * unit, kind=_kind_of(place, pid),
            device=os.stat(place).st_dev,
        )  # fmt: skip

    def open_limit(self, identity: Identity) -> int:
        """The soft limit of open files of that process; -1 is none. Raises Refused."""
        try:
            return resource.prlimit(identity.pid, resource.RLIMIT_NOFILE)[0]
        except PermissionError:
            raise Refused(
                f"not allowed to see the limits of process {identity.pid}",
                hint="run as its user, or with CAP_SYS_RESOURCE",
            ) from None
        except ProcessLookupError:
            raise Transient(f"process {identity.pid} has ended") from None

    def youngest(self, processes: Iterable[Identity]) -> int:
        """When the youngest of these processes and of all that they started did start."""
        return open_limit.youngest(processes)

    def name_servers(self, path: str) -> list[str]:
        """The name servers in a resolv.conf(5); none where there is no such file."""
        return dns.servers_of(path)


def _kind_of(path: str, pid: int) -> str:
    """The kind of the file system that a path is on, as in a mountinfo of proc(5)."""
    device, kind = os.stat(path).st_dev, ""
    for line in Path(f"/proc/{pid or 'self'}/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        if left.split()[2] == f"{os.major(device)}:{os.minor(device)}":
            kind = right.split()[0]
    return kind
