"""A run as plain lines with times, for a pipe, a file or a log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from chaosrun.cli.narrator import Line, Narrator, subject_width, written
from chaosrun.cli.signals import name_of
from chaosrun.cli.writer import Writer
from chaosrun.events import AnyEvent

History = Callable[[str], Iterable[AnyEvent]]
"""The journaled events of a run, for a view that joins in the middle."""


class Lines:
    """Writes one line for each fact worth knowing; a view of `chaosrun.cli.watching`."""

    tick_seconds = 3600.0

    def __init__(self, writer: Writer, *, color: bool, history: History | None = None) -> None:
        self._writer = writer
        self._history = history
        self._color = color
        self._narrators: dict[str, Narrator] = {}

    def event(self, run: str, sequence: int, event: AnyEvent) -> None:
        narrator = self._narrators.get(run)
        if narrator is None:
            narrator = self._narrators[run] = Narrator()
            if sequence and self._history is not None:
                for earlier in islice(self._history(run), sequence):
                    narrator.tell(earlier)
        for line in narrator.tell(event):
            self._write(line, subject_width(narrator.run))

    def signal(self, number: int, before: int) -> None:
        from time import time

        self._write(Line(time(), "signal", name_of(number), signal_words(before), "yellow"), 12)

    def tick(self) -> None:
        """Lines are written when there is something to say."""

    def end(self) -> None:
        """The writer is closed by who opened it."""

    def _write(self, line: Line, subject: int) -> None:
        self._writer.line(written(line, color=self._color, subject=subject))


def signal_words(before: int) -> str:
    """What a person who pressed Ctrl-C reads."""
    if before:
        return "still reverting: a revert is never abandoned; `chaosrun status` shows what is owed"
    return "stopping: what is in place is being reverted"
