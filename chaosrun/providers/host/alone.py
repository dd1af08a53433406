"""One process of this machine at a time: two recoveries must not both start what is missing.

Law (L2): the lock is the kernel's, on the runtime directory itself: it ends with its process and
leaves no file. Where there can be none, or another holds it for too long, nobody is kept from
reverting.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager

from chaosrun.errors import Refused
from chaosrun.mechanisms.directory import runtime_directory

_LOOK_AGAIN = 0.02


@contextmanager
def alone(within: float) -> Iterator[None]:
    """Be the only one of this user in the body; go on after so many seconds all the same."""
    try:
        lock = os.open(runtime_directory(create=True), os.O_RDONLY | os.O_DIRECTORY)
    except (OSError, Refused):
        yield
        return
    try:
        until = time.monotonic() + within
        while time.monotonic() < until:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                time.sleep(_LOOK_AGAIN)
        yield
    finally:
        os.close(lock)
