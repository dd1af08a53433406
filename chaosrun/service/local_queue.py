"""The queue of one process. Processes that share a SQLite journal hear of each other's fires by
the sweep, which offers what nobody has claimed.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from queue import SimpleQueue

from chaosrun.journal.agenda import FireRow
from chaosrun.service.queues import Work


class LocalQueue:
    """A queue between threads."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[str, int] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._known: set[tuple[str, int]] = set()

    def offer(self, fires: Sequence[FireRow]) -> None:
        for fire in fires:
            key = (fire.schedule, fire.due)
            with self._lock:
                if key in self._known:
                    continue
                self._known.add(key)
            self._queue.put(key)

    def serve(self, work: Work, most: int) -> None:
        free = threading.Semaphore(most)
        threads: set[threading.Thread] = set()

        def do(key: tuple[str, int]) -> None:
            try:
                work(*key)
            finally:
                with self._lock:
                    self._known.discard(key)
                free.release()

        while True:
            free.acquire()
            key = self._queue.get()
            if key is None:
                break
            threads = {thread for thread in threads if thread.is_alive()}
            thread = threading.Thread(target=do, args=(key,), name=f"fire-{key[0]}", daemon=True)
            threads.add(thread)
            thread.start()
        for thread in threads:
            thread.join()

    def stop(self) -> None:
        self._queue.put(None)

    def close(self) -> None:
        """There is nothing to release."""
