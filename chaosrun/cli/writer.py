"""Writing that never holds anybody up: a bounded queue and a thread of its own.

Law (L2, L5): a reader that stopped reading, went away, or a terminal that is gone must not
delay a revert. What does not fit is dropped and counted, never waited for.
"""

from __future__ import annotations

import os
from collections import deque
from threading import Condition, Thread


class Writer:
    """Text to a file descriptor, written by a thread; `write` returns at once.

    It writes to the descriptor itself, not to `sys.stdout`, whose lock and buffer would
    be waited for when the process ends.
    """

    def __init__(self, descriptor: int, *, most: int = 10_000) -> None:
        self._descriptor = descriptor
        self._most = most
        self._lines: deque[bytes] = deque()
        self._changed = Condition()
        self._closed = False
        self.dropped = 0
        self.lost: OSError | None = None
        self._thread = Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    def write(self, text: str) -> None:
        """Queue `text`; when the queue is full or the reader is gone it is dropped."""
        with self._changed:
            if self.lost is not None or self._closed or len(self._lines) >= self._most:
                self.dropped += 1
                return
            self._lines.append(text.encode("utf-8", "replace"))
            self._changed.notify()

    def line(self, text: str) -> None:
        self.write(text + "\n")

    def close(self, wait: float) -> bool:
        """Wait at most `wait` seconds until all is written; whether it was."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join(wait)
        return not self._thread.is_alive() and not self.dropped and self.lost is None

    @property
    def stuck(self) -> bool:
        """After `close`: whether the reader has stopped reading and the thread is still held."""
        return self._thread.is_alive()

    def _work(self) -> None:
        while True:
            with self._changed:
                while not self._lines and not self._closed:
                    self._changed.wait()
                if not self._lines:
                    return
                chunk = b"".join(self._lines)
                self._lines.clear()
            try:
                while chunk:
                    chunk = chunk[os.write(self._descriptor, chunk[:65536]) :]
            except OSError as error:  # the reader or the terminal went away, or the disk is full
                with self._changed:
                    self.lost = error
                    self._lines.clear()
                return
