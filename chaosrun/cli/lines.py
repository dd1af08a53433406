"""A run as plain lines with times, for a pipe, a file or a log."""

from __future__ import annotations

from chaosrun.cli.narrator import Line, Narrator, subject_width, written
from chaosrun.cli.signals import name_of
from chaosrun.cli.writer import Writer
from chaosrun.events import AnyEvent


class Lines:
    """Writes one line for each fact worth knowing; a view of `chaosrun.cli.watching`."""

    tick_seconds = 3600.0

    def __init__(self, writer: Writer, *, color: bool) -> None:
        self._writer = writer
        self._color = color
        self._narrators: dict[str, Narrator] = {}
        self._at = 0.0

    def event(self, run: str, sequence: int, event: AnyEvent) -> None:
        narrator = self._narrators.setdefault(run, Narrator())
        lines = narrator.tell(event)
        self._at = event.at
        for line in lines:
            self._write(line, subject_width(narrator.run))
        if sequence == 0:
            seed = f"seed {narrator.run.seed}, driver {narrator.run.driver}"
            self._write(Line(event.at, "run", run, seed), subject_width(narrator.run))

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
