"""Running a person's commands, in a process group of their own.

Law: a command never outlives what asked for it. Past its time, or when its effect is
cancelled, all its processes are killed; when the runner dies, a warden kills them; and an
injection that escaped all that is found by its mark (`end_marked`). Processes are told by
their environment, so one that left its group or its parent is found too (on Linux).
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from threading import Event, Lock

import msgspec

from chaosrun.errors import Indeterminate, Refused
from chaosrun.warden import Warden

MARK = "CHAOSRUN_COMMAND"
"""In the environment of a command with a mark, and of all that it starts."""
TOKEN = "CHAOSRUN_TOKEN"
"""In the environment of every command: `runner.number`, and the runner's part is unique."""

_KEPT = 256 * 1024
_GONE_WITHIN = 2.0


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
        self._over = Event()
        self.cancelled = False

    def cancel(self) -> None:
        """Kill every command of the effect, now and from now on. Safe to repeat."""
        with self._lock:
            self.cancelled = True
            self._over.set()
            for group in self._groups:
                _kill_group(group)

    def wait(self, seconds: float) -> None:
        """Sleep, and wake as soon as the effect is cancelled."""
        self._over.wait(seconds)

    def add(self, group: int) -> None:
        with self._lock:
            self._groups.add(group)
            if self.cancelled:
                _kill_group(group)

    def remove(self, group: int) -> None:
        """Forget a group. To be called before its leader is reaped: then its id is still its."""
        with self._lock:
            self._groups.discard(group)


current: ContextVar[Cancellation | None] = ContextVar("cancellation", default=None)
"""The cancellation of the effect that this thread is performing."""


def cancelled() -> bool:
    """Whether nobody wants the effect any more that this thread is performing."""
    cancellation = current.get()
    return cancellation is not None and cancellation.cancelled


def pause(seconds: float) -> None:
    """Sleep, but not past a cancellation (law L5)."""
    if (cancellation := current.get()) is not None:
        cancellation.wait(seconds)
    else:
        time.sleep(seconds)


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

    The end is that of its first process. What it left in its group is killed then, unless there
    is a `mark`: it may be the fault itself, and lives until `end_marked` or the runner's death.
    `env` is added to ours. Raises Refused when it cannot be started, and Indeterminate when
    it was killed past `timeout` seconds or by a cancellation.
    """
    words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
    token = f"{_warden.token()}.{next(_numbers)}."
    environment = {**os.environ, **(env or {}), TOKEN: token}
    environment.pop(MARK, None)
    if mark:
        environment[MARK] = mark
    cancellation, began = current.get(), time.monotonic()
    if cancellation and cancellation.cancelled:
        raise Indeterminate("the command was cancelled before it started")
    try:
        # Without preexec_fn, and so with vfork: 0.8 ms each, not 1.8 to 3 ms with fork.
        process = subprocess.Popen(
            words, env=environment, cwd=cwd, start_new_session=True,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
    except (OSError, ValueError) as error:  # ValueError: a NUL in a word
        where = f" in {cwd}" if cwd and not os.path.isdir(cwd) else ""
        raise Refused(f"cannot run {words[0]}{where}: {_reason(error)}") from None
    if cancellation:
        cancellation.add(process.pid)
    streams = _Streams(process, stdin)
    try:
        ended = streams.copy_until_end(began + timeout)
    finally:
        if cancellation:
            cancellation.remove(process.pid)
        cancelled = bool(cancellation and cancellation.cancelled)
        try:
            if cancelled or not (streams.ended and mark):
                _kill_group(process.pid)
            if cancelled or not streams.ended:
                _kill_all_with(TOKEN, token)
        finally:
            streams.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(_GONE_WITHIN)
    if cancelled:
        raise Indeterminate("the command was cancelled")
    if not ended:
        raise Indeterminate(f"the command did not end within {timeout:g}s and was killed")
    stdout, stderr = (bytes(kept).decode(errors="replace") for kept in streams.kept)
    return Completed(process.returncode, stdout, stderr, time.monotonic() - began)


def end_marked(mark: str) -> int:
    """Kill every process that carries `mark` in its environment; how many there were.

    For a revert in another process: an injection's command that outlived its runner must
    not act after the revert, so this returns when they are gone. Raises Indeterminate when one
    cannot be killed. Linux only; elsewhere nothing is found.
    """
    return _kill_all_with(MARK, mark)


def marked() -> dict[int, str]:
    """The mark of every running process that carries one, by its id. Linux only."""
    found: dict[int, str] = {}
    for pid in _pids():
        for entry in _environment(pid):
            if entry.startswith(f"{MARK}=".encode()):
                found[pid] = entry.partition(b"=")[2].decode(errors="replace")
    return found


class _Streams:
    """The pipes of a command, copied without ever blocking it and without keeping it all."""

    def __init__(self, process: subprocess.Popen[bytes], stdin: str) -> None:
        self.kept = (bytearray(), bytearray())
        self.ended = False
        self._process = process
        self._input = memoryview(stdin.encode())
        self._poll = select.poll()
        self._actions: dict[int, Callable[[int], None]] = {}
        # Readable when the process has ended and is not reaped yet: its id is still its own.
        self._exit = os.pidfd_open(process.pid) if hasattr(os, "pidfd_open") else -1
        for stream, kept in zip((process.stdout, process.stderr), self.kept, strict=True):
            assert stream is not None
            self._watch(stream.fileno(), select.POLLIN, partial(self._read, kept))
        if process.stdin is not None:
            self._watch(process.stdin.fileno(), select.POLLOUT, self._write)
        if self._exit >= 0:
            self._poll.register(self._exit, select.POLLIN)

    def copy_until_end(self, until: float) -> bool:
        """Copy until the process ended, and then what it had written. False when out of time."""
        while not self.ended:
            left = until - time.monotonic()
            if left <= 0:
                return False
            slice_ = left if self._exit >= 0 else min(left, 0.01)
            ready = self._poll.poll(slice_ * 1000)
            self.ended = any(fd == self._exit for fd, _ in ready) or (
                self._exit < 0 and self._process.poll() is not None
            )
            self._copy(ready)
        while ready := [event for event in self._poll.poll(0) if event[0] != self._exit]:
            if time.monotonic() > until:  # something left behind that never stops writing
                break
            self._copy(ready)
        return True

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(BrokenPipeError):
                    stream.close()
        if self._exit >= 0:
            os.close(self._exit)

    def _watch(self, fd: int, events: int, action: Callable[[int], None]) -> None:
        os.set_blocking(fd, False)
        self._poll.register(fd, events)
        self._actions[fd] = action

    def _copy(self, ready: list[tuple[int, int]]) -> None:
        for fd, _ in ready:
            if fd in self._actions:
                self._actions[fd](fd)

    def _forget(self, fd: int) -> None:
        self._poll.unregister(fd)
        del self._actions[fd]

    def _read(self, kept: bytearray, fd: int) -> None:
        chunk = os.read(fd, 65536)
        if not chunk:
            self._forget(fd)
        kept += chunk[: _KEPT - len(kept)]

    def _write(self, fd: int) -> None:
        try:
            self._input = self._input[os.write(fd, self._input[:65536]) :]
        except OSError as error:  # it does not want to read the rest
            if error.errno != errno.EPIPE:
                raise
            self._input = self._input[:0]
        if not self._input:
            self._forget(fd)
            assert self._process.stdin is not None
            self._process.stdin.close()


_warden = Warden(TOKEN)
os.register_at_fork(after_in_child=_warden.forget)
_numbers = itertools.count(1)


def _pids() -> list[int]:
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdigit()]
    except FileNotFoundError:  # not Linux
        return []


def _environment(pid: int) -> list[bytes]:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:  # it ended, or it is another user's
        return []


def _kill_all_with(variable: str, value: str) -> int:
    """Kill and await every process with that in its environment, ourselves excepted."""
    wanted, killed = f"{variable}={value}".encode(), set[int]()
    until = time.monotonic() + _GONE_WITHIN
    while True:  # until a look finds none: one may have forked while we looked
        alive = 0
        for pid in _pids():
            if pid != os.getpid() and wanted in _environment(pid):
                alive += 1
                killed.add(pid)
                _kill(pid, wanted)
        if not alive:
            return len(killed)
        if time.monotonic() > until:
            raise Indeterminate(f"{alive} processes of {value} do not end when killed")
        time.sleep(0.002)


def _kill(pid: int, wanted: bytes) -> None:
    """Kill that process if it is still the one meant: the handle is taken before the look."""
    try:
        handle = os.pidfd_open(pid)
    except OSError:
        return
    try:
        if wanted in _environment(pid):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                signal.pidfd_send_signal(handle, signal.SIGKILL)
    finally:
        os.close(handle)


def _kill_group(group: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
