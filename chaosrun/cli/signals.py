"""INT, TERM and HUP: the first asks for a stop, later ones never abandon a revert (law L2).

What is done inside a signal handler takes no lock: it may have interrupted the thread that
holds it. TSTP and TTOU are kept off as well: a runner that sleeps watches nothing.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType, TracebackType

_CAUGHT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

Told = Callable[[int, int], None]
"""Called inside the handler with the signal's number and how many came before it."""


class Signals:
    """Catches signals between `with` and its end. `first` is the first one that came."""

    def __init__(self) -> None:
        self.first = 0
        self.count = 0
        self._told: list[Told] = []
        self._previous: dict[int, object] = {}

    def tell(self, told: Told) -> None:
        """Call `told` for each signal from now on, and at once when one has come already."""
        self._told.append(told)
        if self.first:
            told(self.first, 0)

    def __enter__(self) -> Signals:
        for number in _CAUGHT:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a background job
                self._previous[number] = signal.signal(number, self._caught)
        # A handler, not SIG_IGN, which our commands would inherit; but for TTOU only SIG_IGN
        # lets a write to the terminal go through.
        self._previous[signal.SIGTSTP] = signal.signal(signal.SIGTSTP, _stay_awake)
        self._previous[signal.SIGTTOU] = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, previous in self._previous.items():
            if self.first and number in _CAUGHT:
                # One more while Python ends must not take the place of the exit code.
                signal.signal(number, signal.SIG_IGN)
            else:
                signal.signal(number, previous)  # type: ignore[arg-type]

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        before, self.count = self.count, self.count + 1
        self.first = self.first or number
        for told in self._told:
            told(number, before)


def _stay_awake(_number: int, _frame: FrameType | None) -> None:
    """Ctrl-Z: do not sleep while faults may be in place."""


def name_of(number: int) -> str:
    """`SIGTERM`."""
    return signal.Signals(number).name
