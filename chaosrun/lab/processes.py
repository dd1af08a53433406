"""Which processes belong to a lab, and what they are doing.

Law: a process is only taken for a lab's when it carries the lab's mark, so a number that the
kernel gave to somebody else is never signalled.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Literal

import msgspec

from chaosrun.codec import from_json
from chaosrun.lab.world import MARK, World

State = Literal["running", "stopped", "gone"]


def write_pids(world: World, pids: dict[str, int]) -> None:
    """Replaces the file at once: a reader never sees half of it."""
    fresh = world.file("pids.json.new")
    fresh.write_bytes(msgspec.json.encode(pids))
    fresh.replace(world.file("pids.json"))


def read_pids(directory: Path) -> dict[str, int]:
    """Process ids as the supervisor last knew them, by name."""
    try:
        return from_json((directory / "pids.json").read_bytes(), dict[str, int])
    except (OSError, msgspec.DecodeError):
        return {}


def state(pid: int, directory: Path) -> State:
    """What that process of the lab does; `gone` also when the number is another's now."""
    if not _is_marked(pid, directory):
        return "gone"
    if _has_ended(pid):
        return "gone"
    return "stopped" if _stat_letter(pid) in "Tt" else "running"


def of_lab(directory: Path) -> list[int]:
    """Every living process of the lab, also those that no file knows. (Linux; else the known.)"""
    if sys.platform == "linux":
        pids = [int(entry.name) for entry in Path("/proc").glob("[0-9]*")]
    else:
        pids = list(read_pids(directory).values())
    return [pid for pid in pids if pid != os.getpid() and state(pid, directory) != "gone"]


def end_all(directory: Path, *, timeout: float = 5.0) -> int:
    """Kill every process of the lab, until there is none; how many there were.

    A killed process is looked for again, as its supervisor may have started a new one.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + timeout
    while (found := of_lab(directory)) and time.monotonic() < deadline:
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        ended.update(found)
        time.sleep(0.01)
    # A dying process loses its environment, and so its mark, before its ports.
    while not all(map(_has_ended, ended)) and time.monotonic() < deadline:
        time.sleep(0.005)
    return len(ended)


def _is_marked(pid: int, directory: Path) -> bool:
    if sys.platform == "linux":
        try:
            return f"{MARK}={directory}".encode() in _environment(pid)
        except OSError:
            return False
    return "chaosrun" in _ps(pid, "command")


def _environment(pid: int) -> list[bytes]:
    return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")


def _has_ended(pid: int) -> bool:
    return _stat_letter(pid) in "ZX"


def _stat_letter(pid: int) -> str:
    """The state of a process in one letter, as ps(1) shows it; X when there is none."""
    if sys.platform == "linux":  # proc(5): after the name, which is in brackets
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return "X"
    return _ps(pid, "state")[:1] or "X"


def _ps(pid: int, column: str) -> str:
    words = ["ps", "-o", f"{column}=", "-p", str(pid)]
    return subprocess.run(words, capture_output=True, text=True, timeout=5).stdout.strip()
