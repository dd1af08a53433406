"""Watching a run: what the engine observes is handed to views, each in a thread of its own.

Law (L5): the engine never waits for a view. Handing over is one put on a queue that takes
no lock; a view that is held up for long loses events, and costs the run no time.
"""

from __future__ import annotations

from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic
from typing import Protocol

from chaosrun.cli.writer import Writer
from chaosrun.events import AnyEvent

_MOST_WAITING = 100_000


class Signal(tuple[int, int]):
    """A signal came: its number, and how many came before it."""

    __slots__ = ()


class View(Protocol):
    """Something that shows a run. All methods are called in the view's own thread."""

    tick_seconds: float

    def event(self, run: str, sequence: int, event: AnyEvent) -> None:
        """An event is durable."""

    def signal(self, number: int, before: int) -> None:
        """A signal came, and `before` others had come earlier."""

    def tick(self) -> None:
        """Time has passed, or events came in: draw, where there is something to draw."""

    def end(self) -> None:
        """Nothing more will come."""


class Watch:
    """A view and its thread. `event` and `signal` return at once and may be called anywhere."""

    def __init__(self, view: View) -> None:
        self._view = view
        self._queue: SimpleQueue[tuple[str, int, AnyEvent] | Signal | None] = SimpleQueue()
        self.lost = 0
        self.failed: Exception | None = None
        self._thread = Thread(target=self._work, name=type(view).__name__, daemon=True)
        self._thread.start()

    def event(self, run: str, sequence: int, event: AnyEvent) -> None:
        if self._queue.qsize() < _MOST_WAITING:
            self._queue.put((run, sequence, event))
        else:
            self.lost += 1

    def signal(self, number: int, before: int) -> None:
        self._queue.put(Signal((number, before)))

    def close(self, wait: float) -> bool:
        """Let the view end; whether it did within `wait` seconds."""
        self._queue.put(None)
        self._thread.join(wait)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            self._show()
        except Exception as error:  # noqa: BLE001 - top of a thread: the run must not suffer
            self.failed = error

    def _show(self) -> None:
        pause = self._view.tick_seconds
        due = monotonic() + pause
        while True:
            try:
                item = self._queue.get(timeout=max(0.0, due - monotonic()))
            except Empty:
                self._view.tick()
                due = monotonic() + pause
                continue
            if item is None:
                self._view.end()
                return
            if isinstance(item, Signal):
                self._view.signal(*item)
            else:
                self._view.event(*item)
            if monotonic() >= due:
                self._view.tick()
                due = monotonic() + pause


class EventLines:
    """Every event as a line of JSON, as it happens."""

    tick_seconds = 3600.0

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def event(self, run: str, sequence: int, event: AnyEvent) -> None:
        from chaosrun.cli.export import event_line

        self._writer.line(event_line(run, sequence, event))

    def signal(self, number: int, before: int) -> None:
        """Signals become events of the run."""

    def tick(self) -> None:
        """Every line was handed over already."""

    def end(self) -> None:
        """The writer is closed by who opened it."""
