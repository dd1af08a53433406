"""Whether a driver's process still runs, on one machine: a file lock that dies with its process.

Law: known, not guessed. The kernel drops the lock when the process ends, however it ends; no
heartbeat can be late and no clock can be wrong.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path

from chaosrun.errors import JournalUnavailable

_PATIENCE = 1.0


class DriverLocks:
    """The locks of drivers in a directory: one file each, flock(2)ed by its process."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._held: dict[str, int] = {}

    def register(self, driver: str) -> None:
        """Hold the driver's lock until `close` or the end of this process."""
        if driver in self._held:
            return
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._sweep()
        path = self._path(driver)
        deadline = time.monotonic() + _PATIENCE
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)  # Python sets close-on-exec
            try:
                if _try(lock, fcntl.LOCK_EX) and _same(lock, path):
                    break
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)
            if time.monotonic() > deadline:
                raise JournalUnavailable(
                    f"another process is registered as driver {driver}",
                    hint="each process needs a driver name of its own",
                )
            time.sleep(0.005)  # somebody looks whether it is alive: that takes microseconds
        self._held[driver] = lock
        _ours.add(lock)

    def alive(self, driver: str) -> bool:
        """Whether some process holds the driver's lock."""
        return _locked(self._path(driver), unlink=False)

    def close(self) -> None:
        """Give up what this process holds."""
        while self._held:
            driver, lock = self._held.popitem()
            if lock in _ours:
                with contextlib.suppress(OSError):
                    self._path(driver).unlink(missing_ok=True)
                _ours.discard(lock)
                os.close(lock)

    def _path(self, driver: str) -> Path:
        safe = "".join(c if c.isalnum() or c in "-_." else f"%{ord(c):x}" for c in driver)
        return self._directory / f"{safe}.lock"

    def _sweep(self) -> None:
        """Remove the files of processes that ended without doing so."""
        guard = os.open(self._directory, os.O_RDONLY)
        try:
            if _try(guard, fcntl.LOCK_EX):  # two sweepers could remove each other's newer file
                for path in self._directory.glob("*.lock"):
                    _locked(path, unlink=True)
        finally:
            os.close(guard)


def _locked(path: Path, *, unlink: bool) -> bool:
    """Whether some process holds the lock; with `unlink`, the file of one that none does goes."""
    try:
        lock = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        # Shared, so that two that look at the same time do not take each other for the driver.
        if not _try(lock, fcntl.LOCK_SH):
            return True
        if unlink and _same(lock, path):
            path.unlink(missing_ok=True)
        return False
    finally:
        os.close(lock)


def _try(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            return False
        raise
    return True


def _same(lock: int, path: Path) -> bool:
    """Whether the locked file is still the one at that path."""
    try:
        there, ours = os.stat(path), os.fstat(lock)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


_ours: set[int] = set()
"""Locks that this process, and no parent of it, holds."""


def _let_go() -> None:
    # A forked child shares the lock, and would keep a dead driver alive.
    for lock in _ours:
        with contextlib.suppress(OSError):
            os.close(lock)
    _ours.clear()


os.register_at_fork(after_in_child=_let_go)
