"""The word that is left of an order before its harm is done, and the lock of who holds it.

Law (L1): a note is durable before `hold` returns, and stays until the harm is verified to be gone.
Who has its lock is the only one who applies or removes; the lock dies with its process.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

from chaosrun.errors import Indeterminate, Refused
from chaosrun.mechanisms.directory import runtime_directory
from chaosrun.mechanisms.harm import Order, read_order, write_order

_LOOK_AGAIN = 0.01


def note_path(mark: str) -> Path:
    """Where the note of that mark is, if there is one."""
    return runtime_directory() / f"harm-{hashlib.sha256(mark.encode()).hexdigest()[:32]}.json"


def notes() -> list[Order]:
    """The orders of which word was left, by mark."""
    found: list[Order] = []
    for path in runtime_directory().glob("harm-*.json"):
        with contextlib.suppress(OSError, Refused):  # gone meanwhile, or never finished
            found.append(read_order(path.read_bytes()))
    return sorted(found, key=lambda order: order.mark)


def read_note(mark: str) -> Order | None:
    """The order of that mark, if word of it was left."""
    with contextlib.suppress(OSError, Refused):
        return read_order(note_path(mark).read_bytes())
    return None


class Held:
    """A note whose lock is ours. It can be removed from any mount namespace."""

    def __init__(self, path: Path, file: int, directory: int) -> None:
        self._path, self._file, self._directory = path, file, directory

    def write(self, order: Order) -> None:
        """Leave word, durable before this returns. Raises Refused when another order is there."""
        text = write_order(order)
        before = os.pread(self._file, 2**24, 0)
        if before == text:
            return
        if _whole(before):  # half of a note is none: nothing was done yet
            raise Refused("another order has that mark", code="mark-taken")
        try:
            os.ftruncate(self._file, 0)
            os.pwrite(self._file, text, 0)
            os.fsync(self._file)
            os.fsync(self._directory)
        except OSError as error:
            self.remove()
            raise Refused(f"cannot write {self._path}: {error.strerror}") from None

    def remove(self) -> None:
        """It is over."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path.name, dir_fd=self._directory)


def _whole(text: bytes) -> bool:
    try:
        read_order(text)
    except Refused:
        return False
    return True


@contextlib.contextmanager
def held(mark: str, *, within: float, create: bool = True) -> Iterator[Held]:
    """The note of that mark with its lock, which is let go in the end.

    Raises Indeterminate when another has it for longer than `within` seconds, and
    FileNotFoundError when there is none and none is to be made.
    """
    until = time.monotonic() + within
    runtime_directory(create=create)
    path = note_path(mark)
    while True:
        file = _open(path, create)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file).st_nlink:  # else it was removed while we waited for it
                yield Held(path, file, directory)
                return
        except BlockingIOError:
            if time.monotonic() > until:
                raise Indeterminate("another process holds that mark") from None
            time.sleep(_LOOK_AGAIN)
        finally:
            _drop_empty(path, file)
            os.close(file)
            os.close(directory)


def _open(path: Path, create: bool) -> int:
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    try:
        return os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno == errno.ENOENT and not create:
            raise
        raise Refused(f"cannot open {path}: {error.strerror}") from None


def _drop_empty(path: Path, file: int) -> None:
    """A note that was made for its lock only says nothing: it goes. Ours is locked still."""
    with contextlib.suppress(OSError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        seen = os.fstat(file)
        if seen.st_size == 0 and seen.st_nlink and path.stat().st_ino == seen.st_ino:
            path.unlink()
