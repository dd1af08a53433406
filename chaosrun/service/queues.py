"""How fires that are due reach the workers.

Law: a queue only says that there may be something to do. Who does it is settled in the agenda, so
a word that is lost, or said twice, does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from chaosrun.journal.agenda import FireRow

Work = Callable[[str, int], None]
"""Does one fire, known by its schedule and its due, to the end. Never raises."""


class Queue(Protocol):
    """What the daemon needs of a queue."""

    def offer(self, fires: Sequence[FireRow]) -> None:
        """Tell some worker of these. May be called from any thread, and again."""

    def serve(self, work: Work, most: int) -> None:
        """Give work to `work`, at most so much at a time, until `stop`; blocks."""

    def stop(self) -> None:
        """Take nothing more; `serve` ends once all work has."""

    def close(self) -> None:
        """Release everything."""


def open_queue(url: str) -> Queue:
    """The queue that belongs to the journal at that URL. Raises Rejected, JournalUnavailable."""
    if url.startswith("sqlite:"):
        from chaosrun.service.local_queue import LocalQueue

        return LocalQueue()
    from chaosrun.service.shared_queue import SharedQueue

    return SharedQueue.open(url)
