"""Pressure on processor, memory, disk, open files or tasks, by a worker that dies with its holder.

Law (L6): what is said about it was measured on the worker's processes and on the machine: time
spent on processors, memory that is there, bytes written, space that is gone. Law (L3): nothing
that it takes outlives its processes.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import ClassVar

from msgspec.structs import replace

from chaosrun import procfs
from chaosrun.errors import Indeterminate, Refused, Transient
from chaosrun.mechanisms import worker
from chaosrun.mechanisms.harm import Harm, Here, Seen
from chaosrun.units import JSON

MIB = 1 << 20
_BEGINS_WITHIN, _GROWS_WITHIN = 20.0, 3.0
_SAMPLE = 0.2
_SAMPLES = 12
_ENDS_WITHIN = 3.0
_LOOK_AGAIN = 0.02
_TICKS = os.sysconf("SC_CLK_TCK")


class Pressure(Harm, frozen=True, kw_only=True):
    """What all kinds share: one worker, its start, and the look at its processes.

    `by` is the path of stress-ng, or empty for our own way of pressing.
    """

    presses: ClassVar[str]
    """The name of the kind in `worker.KINDS`."""

    by: str = ""

    def arguments(self, here: Here) -> dict[str, JSON]:
        """What the worker is told."""
        raise NotImplementedError

    def measure(self, pids: list[int], here: Here) -> Seen:
        """Whether those processes press now, in words and numbers."""
        raise NotImplementedError

    def without(self, here: Here) -> dict[str, JSON]:  # noqa: ARG002
        """How the resource is when nothing presses."""
        return {}

    def apply(self, here: Here) -> None:
        if here.workers():
            return
        arguments = json.dumps({**self.arguments(here), "by": self.by})
        started = here.start(
            [sys.executable, "-S", "-I", worker.__file__, worker.SIGN, here.mark,
             repr(here.deadline), self.presses, arguments],
            stdout=subprocess.PIPE,
        )  # fmt: skip
        said = _first_line(started)
        if said != "pressing":
            raise Refused(said or "the worker ended before it began")

    def look(self, here: Here) -> Seen:
        for number in range(_SAMPLES):  # what was just begun needs a moment to be seen
            try:
                pids = family(here)
                seen = self.measure(pids, here) if pids else None
            except OSError:  # the worker ended while it was looked at
                continue
            if seen is None:
                return Seen(False, "nothing presses", self.without(here))
            if seen.there or number == _SAMPLES - 1:
                return replace(seen, left=True)
        return Seen(False, "the worker ends and begins again", left=True)

    def remove(self, here: Here) -> None:
        """Nothing is left: all that it took was its processes'."""


class Cpu(Pressure, frozen=True, kw_only=True, tag="cpu"):
    """`cores` processes that each want `load` (more than 0, to 1) of a core."""

    presses = "cpu"

    cores: int
    load: float
    nice: int = 0

    def arguments(self, here: Here) -> dict[str, JSON]:  # noqa: ARG002
        return {"cores": self.cores, "load": self.load, "nice": self.nice}

    def measure(self, pids: list[int], here: Here) -> Seen:  # noqa: ARG002
        before, began = _on_processors(pids), time.monotonic()
        time.sleep(_SAMPLE)
        after, passed = _on_processors(pids), time.monotonic() - began
        used, waited = ((b - a) / passed for a, b in zip(before, after, strict=True))
        wanted = self.cores * self.load
        return Seen(
            used + waited > wanted / 2,
            f"{used:.2f} cores are used, and {wanted:g} are wanted"
            + (f"; {waited:.2f} more are waited for" if waited > wanted / 10 else ""),
            {"cores": round(used, 3), "waiting": round(waited, 3), "wanted": wanted},
        )


class Memory(Pressure, frozen=True, kw_only=True, tag="memory"):
    """`size` bytes are taken, or as many as make `share` of all used; `floor` stay available."""

    presses = "memory"

    size: int = 0
    share: float = 0.0
    floor: int

    def arguments(self, here: Here) -> dict[str, JSON]:  # noqa: ARG002
        return {"size": self.size, "share": self.share, "floor": self.floor}

    def apply(self, here: Here) -> None:
        """It takes until as much is taken, on a busy machine too: waited for while it grows."""
        super().apply(here)
        most, taken, grown = time.monotonic() + _BEGINS_WITHIN, 0, time.monotonic()
        while time.monotonic() < min(most, grown + _GROWS_WITHIN):
            try:
                now = sum(map(_memory, family(here)))
            except OSError:  # it has ended: the look that follows will say so
                return
            if now >= self.size * 0.9:
                return
            if now > taken:
                taken, grown = now, time.monotonic()
            time.sleep(_SAMPLE)

    def measure(self, pids: list[int], here: Here) -> Seen:  # noqa: ARG002
        taken = sum(map(_memory, pids))
        left = {"available": worker.available(pids[0]), "total": worker.total(pids[0])}
        there = taken >= self.size * 0.9 if self.size else taken > 0 and self._is_used(left)
        if not there:
            time.sleep(_SAMPLE)
        return Seen(
            there,
            f"{taken // MIB} MiB are taken; {left['available'] // MIB} MiB are available",
            {"taken": taken, **left},
        )

    def _is_used(self, left: dict[str, JSON]) -> bool:
        return bool(1 - left["available"] / left["total"] > self.share - 0.05)

    def without(self, here: Here) -> dict[str, JSON]:  # noqa: ARG002
        return {"available": worker.available(), "total": worker.total()}


class Io(Pressure, frozen=True, kw_only=True, tag="io"):
    """`writers` that write, sync and read files of `size` bytes in `directory`.

    They do so in a directory of ours there, which bears the mark.
    """

    presses = "io"
    survives_restart = True

    directory: str
    writers: int
    size: int

    def arguments(self, here: Here) -> dict[str, JSON]:
        return {
            "directory": self._own(here), "writers": self.writers, "size": self.size,
        }  # fmt: skip

    def _own(self, here: Here) -> str:
        return f"{_directory(self.directory, here)}/chaosrun-io-{here.mark}"

    def apply(self, here: Here) -> None:
        try:
            os.makedirs(self._own(here), mode=0o700, exist_ok=True)
        except OSError as error:
            raise Refused(f"cannot write in {self.directory}: {error.strerror}") from None
        super().apply(here)

    def look(self, here: Here) -> Seen:
        seen = super().look(here)
        return replace(seen, left=seen.left or os.path.isdir(self._own(here)))

    def remove(self, here: Here) -> None:
        until = time.monotonic() + _ENDS_WITHIN
        while os.path.isdir(self._own(here)):
            try:
                shutil.rmtree(self._own(here))
            except OSError as error:  # what a worker had started is about to end, and still writes
                if time.monotonic() > until:
                    raise Transient(f"cannot remove {self._own(here)}: {error}") from None
                time.sleep(_LOOK_AGAIN)

    def measure(self, pids: list[int], here: Here) -> Seen:  # noqa: ARG002
        before, began = _written_and_read(pids), time.monotonic()
        time.sleep(_SAMPLE)
        after, passed = _written_and_read(pids), time.monotonic() - began
        written, read = ((b - a) / passed for a, b in zip(before, after, strict=True))
        return Seen(
            written + read > 0,
            f"{written / MIB:.1f} MiB/s are written and {read / MIB:.1f} MiB/s read",
            {"written": round(written), "read": round(read)},
        )


class Disk(Pressure, frozen=True, kw_only=True, tag="disk"):
    """A nameless file of `size` bytes, or as many as make `share` of the disk used.

    It lies in the file system of `directory`, of which `floor` bytes stay free.
    """

    presses = "disk"

    directory: str
    size: int = 0
    share: float = 0.0
    floor: int

    def arguments(self, here: Here) -> dict[str, JSON]:
        return {
            "directory": _directory(self.directory, here), "name": f"chaosrun-fill-{here.mark}",
            "size": self.size, "share": self.share, "floor": self.floor,
        }  # fmt: skip

    def measure(self, pids: list[int], here: Here) -> Seen:
        filled = sum(_filled(pid, here.mark) for pid in pids)
        left = self.without(here)
        return Seen(
            filled > 0,
            f"{filled // MIB} MiB are filled; {left['free'] // MIB} MiB are free, "
            f"{left['used']:.0%} are used",
            {"filled": filled, **left},
        )

    def without(self, here: Here) -> dict[str, JSON]:
        seen = os.statvfs(_directory(self.directory, here))
        free, ours = seen.f_bfree * seen.f_frsize, seen.f_bavail * seen.f_frsize
        return {"free": ours, "used": round(1 - free / (seen.f_blocks * seen.f_frsize), 4)}


class Files(Pressure, frozen=True, kw_only=True, tag="files"):
    """`count` files more are open, or as many as make `share` of the machine's limit."""

    presses = "files"

    count: int = 0
    share: float = 0.0
    floor: int

    def arguments(self, here: Here) -> dict[str, JSON]:  # noqa: ARG002
        return {"count": self.count, "share": self.share, "floor": self.floor}

    def measure(self, pids: list[int], here: Here) -> Seen:
        held = sum(_open_files(pid) for pid in pids)
        left = self.without(here)
        return Seen(
            held >= self.count > 0 or self.share > 0,
            f"{held} files are held open; {left['open']} of {left['limit']} are open",
            {"held": held, **left},
        )

    def without(self, here: Here) -> dict[str, JSON]:  # noqa: ARG002
        now, _, limit = Path("/proc/sys/fs/file-nr").read_text().split()
        return {"open": int(now), "limit": int(limit)}


class Tasks(Pressure, frozen=True, kw_only=True, tag="tasks"):
    """`count` tasks more exist, or as many as make `share` of their narrowest limit."""

    presses = "tasks"

    count: int = 0
    share: float = 0.0
    floor: int

    def arguments(self, here: Here) -> dict[str, JSON]:  # noqa: ARG002
        return {"count": self.count, "share": self.share, "floor": self.floor}

    def measure(self, pids: list[int], here: Here) -> Seen:  # noqa: ARG002
        held = sum(int(_status(pid).get("Threads", "0")) for pid in pids)
        limit, used = worker.Tasks.limit(pids[0])
        return Seen(
            held > self.count,
            f"{held} tasks are held; {used} of {limit} exist",
            {"held": held, "used": used, "limit": limit},
        )


def family(here: Here) -> list[int]:
    """The processes of the workers: theirs and what they started, which is of their session."""
    own = {each.pid for each in here.workers()}
    if not own:
        return []
    return [each.pid for each in procfs.processes() if each.pid in own or each.session in own]


def _first_line(started: subprocess.Popen[bytes]) -> str:
    assert started.stdout is not None
    if not select.select([started.stdout], [], [], _BEGINS_WITHIN)[0]:
        raise Indeterminate(f"the worker did not begin within {_BEGINS_WITHIN:g}s")
    return started.stdout.readline().decode(errors="replace").strip()


def _directory(path: str, here: Here) -> str:
    """How a directory is called from here, where it is one of another process's files."""
    return f"/proc/{here.inside.pid}/root{path}" if here.inside.pid else path


def _on_processors(pids: list[int]) -> tuple[float, float]:
    """Seconds that they ran on processors, and that they waited for one."""
    ran = waited = 0.0
    for pid in pids:
        try:
            spent, queued, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
        except OSError:  # it ended
            continue
        ran, waited = ran + int(spent) / 1e9, waited + int(queued) / 1e9
    return ran, waited


def _memory(pid: int) -> int:
    """The bytes of memory of a process, its part of what is shared with others."""
    for line in _lines(f"/proc/{pid}/smaps_rollup"):
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0


def _written_and_read(pids: list[int]) -> tuple[int, int]:
    """Bytes that they had written to and read from disks."""
    sums = [0, 0]
    for pid in pids:
        seen = dict(line.split(": ") for line in _lines(f"/proc/{pid}/io"))
        sums = [sums[0] + int(seen.get("write_bytes", 0)), sums[1] + int(seen.get("read_bytes", 0))]
    return sums[0], sums[1]


def _filled(pid: int, mark: str) -> int:
    """The bytes on disk of the nameless file of that mark which a process holds."""
    filled = 0
    try:
        for entry in os.scandir(f"/proc/{pid}/fd"):
            if f"chaosrun-fill-{mark}" in os.readlink(entry.path):
                filled += os.stat(entry.path).st_blocks * 512
    except OSError:  # it ended
        pass
    return filled


def _open_files(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def _status(pid: int) -> dict[str, str]:
    lines = (line.partition(":") for line in _lines(f"/proc/{pid}/status"))
    return {key: value.strip() for key, _, value in lines}


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
