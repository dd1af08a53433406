"""The world that the benchmarks' faults and probes act on: a few Python values of this process."""

from __future__ import annotations

import threading
import time

_harmed: set[int] = set()
_ends = threading.Event()
undone_at: list[float] = []
"""When each `undo` began, in UTC seconds."""


def harm(number: int = 0) -> None:
    _harmed.add(number)


def undo(number: int = 0) -> None:
    undone_at.append(time.time())
    _harmed.discard(number)


def harmed(number: int = 0) -> bool:
    return number in _harmed


def unharmed(number: int = 0) -> bool:
    return number not in _harmed


def hurts() -> bool:
    """True as soon as there is harm."""
    return bool(_harmed)


def hangs() -> bool:
    """Well while there is no harm; hangs from then on, until `let_go`."""
    if _harmed:
        _ends.wait(60)
    return False


def let_go() -> None:
    """End what hangs."""
    _ends.set()
    _ends.clear()
