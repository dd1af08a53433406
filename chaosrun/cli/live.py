"""The live view of a run on a terminal: a picture at the bottom, the story above it.

Law: the terminal is as it was when the view ends, however it ends. It is drawn in the
view's own thread and straight to the descriptor, so a terminal that is held (Ctrl-S) or gone
holds nobody up.
"""

from __future__ import annotations

import os
from collections import deque
from typing import TYPE_CHECKING, TextIO, cast

from chaosrun.cli.lines import signal_words
from chaosrun.cli.narrator import Line, Narrator, subject_width, written
from chaosrun.cli.signals import name_of
from chaosrun.clock import steady_clock
from chaosrun.events import AnyEvent, Sampled

if TYPE_CHECKING:
    from rich.live import Live

_QUIET_WORDS = ("digest",)  # the picture shows these better
_SHOW_CURSOR = b"\x1b[?25h"


class Terminal:
    """A terminal's descriptor as the file that rich writes to: nothing is kept in a buffer."""

    encoding = "utf-8"

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self.gone = False

    def write(self, text: str) -> int:
        left = text.encode("utf-8", "replace")
        while left and not self.gone:
            try:
                left = left[os.write(self._descriptor, left) :]
            except OSError:  # the terminal was closed
                self.gone = True
        return len(text)

    def flush(self) -> None:
        """Nothing is kept back."""

    def isatty(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor


class LiveView:
    """Draws a run about eight times a second; a view of `chaosrun.cli.watching`."""

    tick_seconds = 0.125

    def __init__(self, descriptor: int, *, color: bool, unicode: bool) -> None:
        self._terminal = Terminal(descriptor)
        self._color = color
        self._unicode = unicode
        self._clock = steady_clock()
        self._narrator = Narrator()
        self._samples: dict[tuple[str, str], deque[Sampled]] = {}
        self._started = 0.0
        self._note = "Ctrl-C stops and reverts"
        self._live: Live | None = None
        self._story: list[Line] = []

    def event(self, _run: str, sequence: int, event: AnyEvent) -> None:
        from chaosrun.cli.picture import RECENT

        if sequence == 0:
            self._started = event.at
        if isinstance(event, Sampled):
            key = (event.subject, event.name)
            self._samples.setdefault(key, deque(maxlen=RECENT)).append(event)
        self._story += [
            line for line in self._narrator.tell(event) if line.word not in _QUIET_WORDS
        ]

    def signal(self, number: int, before: int) -> None:
        words = signal_words(before)
        self._note = words
        self._story.append(Line(self._clock(), "signal", name_of(number), words, "yellow"))

    def tick(self) -> None:
        from rich.text import Text

        from chaosrun.cli.picture import Scene, draw

        live = self._live or self._begin()
        story, self._story = self._story, []
        scene = Scene(
            self._narrator.run, self._samples, self._started, self._clock(), self._note,
            self._unicode,
        )  # fmt: skip
        size = live.console.size
        live.update(draw(scene, size.width, size.height))
        if story:  # printing above the picture draws it again, too
            subject = subject_width(self._narrator.run)
            told = [
                written(line, color=self._color, width=size.width, subject=subject)
                for line in story
            ]
            live.console.print(Text.from_ansi("\n".join(told)), soft_wrap=True)
        else:
            live.refresh()

    def end(self) -> None:
        if self._live is not None:
            self.tick()
            self._live.stop()

    def restore(self) -> None:
        """The least that a terminal needs back, when the view's thread is held up or failed."""
        os.set_blocking(self._terminal.fileno(), False)
        try:
            os.write(self._terminal.fileno(), _SHOW_CURSOR)
        except OSError:
            pass
        finally:
            os.set_blocking(self._terminal.fileno(), True)

    def _begin(self) -> Live:
        from rich.console import Console
        from rich.live import Live

        console = Console(
            file=cast("TextIO", self._terminal), force_terminal=True, no_color=not self._color,
            highlight=False, emoji=False, markup=False,
        )  # fmt: skip
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False,
            redirect_stderr=False, vertical_overflow="crop",
        )  # fmt: skip
        self._live.start()
        return self._live
