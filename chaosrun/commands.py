"""Running a person's commands, in a process group of their own.

Law: a command never outlives what asked for it. Past its time, or when its effect is
cancelled, the whole group is killed; when the runner dies the kernel kills the command;
and what escaped both is found by the mark in its environment (`end_marked`).
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from threading import Lock

import msgspec

from chaosrun.errors import Indeterminate, Refused

MARK = "CHAOSRUN_COMMAND"
_KEPT = 256 * 1024
_PR_SET_PDEATHSIG = 1


class Completed(msgspec.Struct, frozen=True):
    """A command that ended by itself: its exit code, and at most 256 KiB of what it wrote."""

    code: int
    stdout: str
    stderr: str
    seconds: float


class Cancellation:
    """Lets another thread end the commands that this effect is running."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._groups: set[int] = set()
        self.cancelled = False

    def cancel(self) -> None:
        """Kill every command of the effect, now and from now on. Safe to repeat."""
        with self._lock:
            self.cancelled = True
            for group in self._groups:
                _kill_group(group)

    def add(self, group: int) -> None:
        with self._lock:
            self._groups.add(group)
            if self.cancelled:
                _kill_group(group)

    def remove(self, group: int) -> None:
        with self._lock:
            self._groups.discard(group)


current: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)
"""The cancellation of the effect that this thread is performing."""


def run(
    command: str | Sequence[str],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
    stdin: str = "",
    mark: str = "",
) -> Completed:
    """Run a command to its end and return what it said; a string goes to `sh -c`.

    `env` is added to ours. `mark` names the effect, for `end_marked`. Raises Refused when it
    cannot be started, and Indeterminate when it was killed past `timeout` seconds or by a
    cancellation.
    """
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    environment = {**os.environ, **(env or {}), **({MARK: mark} if mark else {})}
    began = time.monotonic()
    try:
        process = subprocess.Popen(
            words, env=environment, cwd=cwd, text=True, errors="replace",
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True, preexec_fn=_die_with_parent,
        )  # fmt: skip
    except OSError as error:
        raise Refused(f"cannot run {words[0]}: {error.strerror or error}") from None
    cancellation = current.get()
    if cancellation:
        cancellation.add(process.pid)
    try:
        stdout, stderr = process.communicate(stdin, timeout=timeout)
    except subprocess.TimeoutExpired:
        _kill_group(process.pid)
        with contextlib.suppress(subprocess.TimeoutExpired):  # a child may hold the pipes
            process.communicate(timeout=1)
        raise Indeterminate(f"the command did not end within {timeout:g}s and was killed") from None
    finally:
        if cancellation:
            cancellation.remove(process.pid)
    if cancellation and cancellation.cancelled:
        raise Indeterminate("the command was cancelled")
    return Completed(process.returncode, stdout[:_KEPT], stderr[:_KEPT], time.monotonic() - began)


def end_marked(mark: str) -> int:
    """Kill every process that carries `mark` in its environment; how many there were.

    For a revert in another process: an injection's command that outlived its runner must
    not act after the revert. Linux only; elsewhere nothing is found.
    """
    wanted = f"{MARK}={mark}".encode()
    ended = 0
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if int(entry.name) == os.getpid():
                continue
            if wanted in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), signal.SIGKILL)
                ended += 1
    return ended


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """In the child: be killed when the thread that started us ends (prctl(2))."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
