"""Where a run's words go: progress, result, messages, events; none of it holds up the engine.

Law (L2, L5): every byte goes through a writer with a bounded queue. At the end the writers
are waited for, but not for long.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from chaosrun.cli.console import Console, clean, styled, wants_color
from chaosrun.cli.writer import Writer
from chaosrun.errors import Rejected

if TYPE_CHECKING:
    from chaosrun.cli.lines import History
    from chaosrun.cli.watching import Watch
    from chaosrun.engine import Observer
    from chaosrun.journal import Journal

_PATIENCE = 3.0


class Wishes(Protocol):
    """What the screen needs to know of the command's options."""

    @property
    def output(self) -> str: ...
    @property
    def events(self) -> str: ...
    @property
    def quiet(self) -> bool: ...
    @property
    def files(self) -> dict[str, str]: ...


class Screen:
    """The outputs of a run. Progress is on standard output, unless a program reads that."""

    def __init__(self, console: Console, options: Wishes) -> None:
        self.options = options
        self._console = console
        sys.stdout.flush()
        self._out = Writer(1)
        self._err = Writer(2)
        self._events: Writer | None = None
        self._events_descriptor: int | None = None
        self._watches: list[Watch] = []
        for_program = options.output == "json" or options.events == "-"
        self._progress, self._descriptor = (self._err, 2) if for_program else (self._out, 1)
        self._stream = sys.stderr if for_program else sys.stdout
        self._color = wants_color(console.when, self._stream)

    @classmethod
    @contextmanager
    def opened(cls, console: Console, options: Wishes) -> Iterator[Screen]:
        """A screen, and at the end all that was said on it written, or given up."""
        screen = cls(console, options)
        try:
            screen._open_events()
            yield screen
        finally:
            screen._close()

    def _open_events(self) -> None:
        match self.options.events:
            case "":
                return
            case "-":
                self._events = self._out
            case path:
                self._events_descriptor = _open_for_writing(path)
                self._events = Writer(self._events_descriptor, most=100_000)

    def message(self, text: str) -> None:
        """A line for the person, beside the result."""
        if not self.options.quiet:
            self._err.line(f"chaosrun: {clean(text)}")

    def warn(self, text: str, hint: str = "") -> None:
        label = "warning:"
        if wants_color(self._console.when, sys.stderr):
            label = styled(label, "yellow", "bold")
        self._err.line(f"chaosrun: {label} {clean(text)}" + (f"\n  hint: {hint}" if hint else ""))

    def result(self, text: str) -> None:
        """What the command was asked for."""
        (self._err if self.options.events == "-" else self._out).write(text)

    def signal(self, number: int, before: int) -> None:
        """A signal came; called inside its handler."""
        for watch in self._watches:
            watch.signal(number, before)

    @contextmanager
    def watch(self) -> Iterator[Sequence[Observer]]:
        """Observers that show and write a run while it goes on."""
        live = not self.options.quiet and self._is_terminal()
        with self._watched(live=live, events=True) as observers:
            yield observers

    @contextmanager
    def lines_watch(self) -> Iterator[Sequence[Observer]]:
        """Observers that tell of several runs in lines, and write their events."""
        with self._watched(live=False, events=True) as observers:
            yield observers

    @contextmanager
    def plain_watch(self, journal: Journal) -> Iterator[Sequence[Observer]]:
        """Observers that tell of runs in lines, for a recovery."""
        with self._watched(live=False, events=False, history=journal.events) as observers:
            yield observers

    def _is_terminal(self) -> bool:
        return self._stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb")

    @contextmanager
    def _watched(
        self, *, live: bool, events: bool, history: History | None = None
    ) -> Iterator[Sequence[Observer]]:
        from chaosrun.cli.watching import EventLines, Watch

        watches = []
        if live:
            from chaosrun.cli.live import LiveView

            view = LiveView(self._descriptor, color=self._color, unicode=self._console.unicode)
            watches.append(Watch(view))
        elif not self.options.quiet:
            from chaosrun.cli.lines import Lines

            watches.append(Watch(Lines(self._progress, color=self._color, history=history)))
        if events and self._events is not None:
            watches.append(Watch(EventLines(self._events)))
        self._watches = watches
        try:
            yield [watch.event for watch in watches]
        finally:
            ended = [watch.close(_PATIENCE) for watch in watches]
            if live and (not ended[0] or watches[0].failed):
                view.restore()
            for failed in [watch.failed for watch in watches if watch.failed]:
                self.warn(f"the view failed: {type(failed).__name__}: {failed}")

    def _close(self) -> None:
        """Wait for all writers together, and not for long."""
        until = monotonic() + _PATIENCE
        if self._events is not None and self._events_descriptor is not None:
            self._events.close(_PATIENCE)
            self._say_what_was_lost(self._events)
            if not self._events.stuck:
                os.close(self._events_descriptor)
        for writer in (self._out, self._err):
            writer.close(max(0.1, until - monotonic()))

    def _say_what_was_lost(self, writer: Writer) -> None:
        if writer.lost:
            self.warn(f"{self.options.events}: events were lost: {writer.lost.strerror}")
        elif writer.dropped or writer.stuck:
            self.warn(f"{self.options.events}: {writer.dropped} events were not read in time")


def _open_for_writing(path: str) -> int:
    """A descriptor for the file; a pipe that nobody reads is an error, not a wait."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o644)
    except OSError as error:
        piped = os.path.exists(path) and stat.S_ISFIFO(os.stat(path).st_mode)
        why = "nobody reads this pipe" if piped else error.strerror
        raise Rejected(f"cannot write events to {path}: {why}") from None
    os.set_blocking(descriptor, True)
    return descriptor
