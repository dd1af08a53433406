"""Where a harm is done: this machine, a network namespace, or the namespaces of a process.

Law (L8): what was found when it was planned is what is joined. A namespace is told by its inode
and a process by its start, so another that took the name or the id is never joined.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import msgspec
from msgspec.structs import replace

from chaosrun import procfs
from chaosrun.errors import Refused
from chaosrun.procfs import Identity

Joined = Literal["net", "mnt", "pid", "cgroup"]
NAMED = Path("/run/netns")
"""Where `ip netns` keeps names of network namespaces."""

_FLAGS = {"net": 0x40000000, "pid": 0x20000000, "mnt": 0x00020000}  # CLONE_NEW*, sched.h


class Gone(Refused):
    """The namespace is gone, and all that was in it."""

    code = "namespace-gone"


class Inside(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where to act. Without any field: here, in the namespaces of this process.

    `net` is a name that `ip netns` knows, or the path of a namespace's file. `pid` is a process
    whose namespaces `joins` lists; with `cgroup` workers are put into its cgroups, with `pid`
    they are born in its namespace of process ids, and `mnt` shows its files: no program and no
    module of ours can be loaded after that one was joined.

    With `ends_with_it` a harm is over as soon as that process is: a container that is started
    again is another place, and must not be kept from starting by what is left in the old one.

    `started` and `network` are filled in by `found`.
    """

    net: str = ""
    pid: int = 0
    joins: tuple[Joined, ...] = ("net",)
    ends_with_it: bool = False
    started: int = 0
    network: str = ""

    def found(self) -> Inside:
        """The same, with what tells it from others later. Raises Refused when it is not there."""
        started = 0
        if self.pid:
            seen = procfs.process(self.pid)
            if seen is None or seen.ended:
                raise Refused(f"there is no process {self.pid}")
            started = seen.identity.started
        try:
            return replace(self, started=started, network=_identity(self._file()))
        except PermissionError:
            raise Refused(
                f"not allowed to look at the namespaces of process {self.pid}",
                hint="run as root, or with CAP_SYS_PTRACE",
            ) from None
        except OSError:
            names = ", ".join(sorted(os.listdir(NAMED))) if NAMED.is_dir() else ""
            raise Refused(
                f"there is no network namespace {self.net}",
                hint=f"there are {names}" if names else "`ip netns` lists none",
            ) from None

    @property
    def is_here(self) -> bool:
        """Whether nothing must be joined: it is where this process is."""
        if self.pid and self.joins != ("net",):
            return False
        if self.network:
            return self.network == _identity(_OWN)
        return not (self.net or self.pid)

    def over(self) -> bool:
        """Whether a harm there must end because its process has."""
        return self.ends_with_it and not procfs.runs(Identity(self.pid, self.started))

    def gone(self) -> bool:
        """Whether the network namespace is nowhere to be found any more."""
        return bool(self.network) and next(self._files(), None) is None

    @property
    def is_seen(self) -> bool:
        """Whether it is a network namespace and nothing else, and one that can be found here."""
        return self.joins == ("net",) and bool(self.network) and not self.gone()

    def join(self) -> None:
        """Bring this process there. For a process with one thread, which stays there.

        Raises Gone, and Refused when it may not.
        """
        if self.is_here:
            return
        with ExitStack() as files:
            handles: list[tuple[int, int]] = []
            for kind in ("net", "pid", "mnt"):  # the files are all opened before the first
                if kind == "net" or kind in self.joins:
                    path = self.network_file() if kind == "net" else self._of_process(kind)
                    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                    files.callback(os.close, handle)
                    handles.append((handle, _FLAGS[kind]))
            for handle, flag in handles:
                _setns(handle, flag)

    def open_cgroups(self) -> list[int]:
        """Open files; whoever writes `0` to them is in the process's cgroups.

        Raises Gone when it has ended, and Refused when one of its cgroups is not to be seen here.
        """
        if "cgroup" not in self.joins:
            return []
        files = cgroup_files(self.pid)
        if not procfs.runs(Identity(self.pid, self.started)):  # looked at after: no mistake
            raise Gone(f"process {self.pid} has ended")
        try:
            return [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in files]
        except OSError as error:
            raise Refused(f"cannot join the cgroups of process {self.pid}: {error}") from None

    def __str__(self) -> str:
        """In words, as in `in network namespace blue`; empty for here."""
        if self.net:
            return f"in network namespace {self.net}"
        return f"in the namespaces of process {self.pid}" if self.pid else ""

    def _file(self) -> Path:
        if self.net:
            return Path(self.net) if self.net.startswith("/") else NAMED / self.net
        return Path(f"/proc/{self.pid}/ns/net") if self.pid else _OWN

    def network_file(self) -> Path:
        """A file of that network namespace. Raises Gone."""
        found = next(self._files(), None)
        if found is None:
            raise Gone(f"the network namespace {str(self) or self.network} is gone")
        return found

    def _files(self) -> Iterator[Path]:
        """Files of that network namespace: its own first, then those of processes in it."""
        named = list(NAMED.iterdir()) if NAMED.is_dir() else []
        for path in (self._file(), *named, *Path("/proc").glob("[0-9]*/ns/net")):
            try:
                if _identity(path) == self.network:
                    yield path
            except OSError:  # it ended, or is another user's
                continue

    def _of_process(self, kind: str) -> Path:
        if not procfs.runs(Identity(self.pid, self.started)):
            raise Gone(f"process {self.pid} has ended")
        return Path(f"/proc/{self.pid}/ns/{kind}")


_OWN = Path("/proc/self/ns/net")


def _identity(path: Path) -> str:
    seen = os.stat(path)
    return f"{seen.st_dev}:{seen.st_ino}"


def _setns(handle: int, flag: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(handle, flag):
        said = os.strerror(ctypes.get_errno())
        raise Refused(f"cannot join the namespace: {said}", hint="it takes CAP_SYS_ADMIN")


def cgroup_files(pid: int) -> list[Path]:
    """The `cgroup.procs` of every hierarchy that the process is in.

    Raises Gone, and Refused when one of them is not to be seen here: who joined the others alone
    would not be confined as the process is.
    """
    mounts: dict[str, list[Path]] = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            for name in options.split(",") if kind == "cgroup" else ("",):
                mounts.setdefault(name, []).append(Path(left.split()[4]))
    try:
        lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    except OSError:
        raise Gone(f"process {pid} has ended") from None
    found: dict[Path, None] = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        there = mounts.get(controllers.split(",")[0], [])
        if not there and (path == "/" or controllers.startswith("name=")):
            continue  # it limits nothing
        files = (mount / path.lstrip("/") / "cgroup.procs" for mount in there)
        file = next((each for each in files if each.exists()), None)
        if file is None:
            raise Refused(
                f"the control group {path} of process {pid} is not to be seen here",
                hint="run chaosrun in the machine's own cgroup namespace, with its /sys/fs/cgroup",
            )
        found[file] = None
    return list(found)
