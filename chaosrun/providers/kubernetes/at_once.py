"""The same for each of several targets, at the same time.

Law (L5): one that hangs holds up no other, nor the end of the program.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import TypeVar

T = TypeVar("T")
_MOST = 32


def at_once(act: Callable[[T], None], targets: Sequence[T]) -> None:
    """Do it for every target, whatever becomes of the others. Then raise the first error."""
    if len(targets) == 1:
        act(targets[0])
        return
    waiting: SimpleQueue[T] = SimpleQueue()
    errors: list[Exception] = []
    for target in targets:
        waiting.put(target)

    def work() -> None:
        while True:
            try:
                target = waiting.get_nowait()
            except Empty:
                return
            try:
                act(target)
            except Exception as error:  # noqa: BLE001 - the top of a thread: it is raised below
                errors.append(error)

    threads = [
        threading.Thread(target=copy_context().run, args=(work,), daemon=True)
        for _ in range(min(_MOST, len(targets)))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
