"""The processes of this machine, as /proc shows them. Reads only.

Law: a process is told by its id *and* its start time; an id alone is used again by the next.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

_KERNEL_THREAD = 0x00200000  # PF_KTHREAD, linux/sched.h
_EXITING = 0x00000004  # PF_EXITING: it runs none of its own code any more
_STARTING_FOR = 0.005  # how long an exec may leave a process without words
_TICKS = os.sysconf("SC_CLK_TCK")
_LISTENING = "0A"


class Identity(msgspec.Struct, frozen=True, order=True):
    """One process, until the next boot: its id and its start in ticks since the boot."""

    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.pid}@{self.started}"


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """One process. `state` is a letter of proc(5): T is stopped, Z ended but not yet reaped."""

    identity: Identity
    parent: int
    session: int
    state: str
    kernel: bool
    exiting: bool
    name: str
    words: tuple[str, ...]
    user: int

    @property
    def pid(self) -> int:
        return self.identity.pid

    @property
    def command(self) -> str:
        return " ".join(self.words)

    @property
    def ended(self) -> bool:
        return self.exiting or self.state in "ZXx"


def process(pid: int) -> Process | None:
    """The process of that id now, or None."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        words = Path(f"/proc/{pid}/cmdline").read_bytes()
        user = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")  # a name may hold a bracket
    fields = rest.split()  # from field 3 of proc(5) on
    return Process(
        identity=Identity(pid, int(fields[19])),
        parent=int(fields[1]),
        session=int(fields[3]),
        state=fields[0],
        kernel=bool(int(fields[6]) & _KERNEL_THREAD),
        exiting=bool(int(fields[6]) & _EXITING),
        name=name,
        words=tuple(w.decode(errors="replace") for w in words.rstrip(b"\0").split(b"\0") if w),
        user=user,
    )


def processes() -> list[Process]:
    """Every process that runs, kernel threads too; ended ones are left out."""
    found = [process(int(name)) for name in os.listdir("/proc") if name.isdigit()]
    until = time.monotonic() + _STARTING_FOR
    for number, each in enumerate(found):
        while each and not (each.words or each.kernel or each.ended) and time.monotonic() < until:
            time.sleep(0.0005)  # in the middle of an exec: see what it becomes
            each = found[number] = process(each.pid)
    return [each for each in found if each is not None and not each.ended]


def ancestors() -> set[int]:
    """This process and those that it descends from."""
    line, pid = set[int](), os.getpid()
    while pid > 0 and pid not in line:
        line.add(pid)
        seen = process(pid)
        pid = seen.parent if seen else 0
    return line


def started_at(identity: Identity, now: float, uptime: float) -> float:
    """When that process started, in UTC seconds; `now` and `uptime` are one moment."""
    return now - uptime + identity.started / _TICKS


def listeners(port: int, pids: Iterable[int]) -> list[int]:
    """Those of `pids` that listen on a TCP port, in our network namespace.

    Another user's are seen only with CAP_SYS_PTRACE.
    """
    sockets = set[str]()
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            lines = Path(table).read_text().splitlines()[1:]
        except OSError:  # no IPv6
            continue
        for fields in map(str.split, lines):
            if fields[3] == _LISTENING and int(fields[1].rpartition(":")[2], 16) == port:
                sockets.add(f"socket:[{fields[9]}]")
    return [pid for pid in pids if sockets & _open_files(pid)] if sockets else []


def variable(pid: int, name: str) -> str | None:
    """A variable of the environment that a process was started with."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    prefix = f"{name}=".encode()
    values = (each[len(prefix) :] for each in environment if each.startswith(prefix))
    return next((value.decode(errors="replace") for value in values), None)


def cgroups(pid: int) -> set[str]:
    """The paths of the control groups that a process is in, of every hierarchy."""
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text(errors="replace").splitlines()
    except OSError:
        return set()
    return {line.split(":", 2)[2] for line in lines}  # cgroups(7): number:controllers:path


def _open_files(pid: int) -> set[str]:
    found, directory = set[str](), f"/proc/{pid}/fd"
    try:
        for name in os.listdir(directory):
            found.add(os.readlink(f"{directory}/{name}"))
    except OSError:  # it ended, or is another user's; what was seen so far is still true
        pass
    return found


def runs(identity: Identity) -> bool:
    """Whether exactly that process still runs."""
    seen = process(identity.pid)
    return seen is not None and seen.identity == identity and not seen.ended
