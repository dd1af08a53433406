"""What each verdict means, and the exit code a process ends with.

Law: a code other than 0 says why; 2 is never a verdict (the file or command line was wrong).
"""

from __future__ import annotations

from typing import Final

from chaosrun.events import Verdict

MEANING: Final[dict[Verdict, str]] = {
    Verdict.STRANDED: "something is still owed after all retries: page a person",
    Verdict.ERROR: "chaosrun itself failed; everything is reverted",
    Verdict.ABORTED: "a guard tripped; everything is reverted",
    Verdict.DEVIATED: "the steady state did not hold during or after",
    Verdict.CANCELLED: "a person or a host stopped it; everything is reverted",
    Verdict.INCONCLUSIVE: "no visible effect, or too few samples to say",
    Verdict.REFUSED: "not safe to ask now; nothing was injected",
    Verdict.PASSED: "the steady state held",
}

_EXIT_CODES: Final[dict[Verdict, int]] = {
    Verdict.PASSED: 0,
    Verdict.DEVIATED: 1,
    Verdict.REFUSED: 3,
    Verdict.ABORTED: 4,
    Verdict.INCONCLUSIVE: 5,
    Verdict.ERROR: 6,
    Verdict.STRANDED: 7,
    Verdict.CANCELLED: 130,
}


def exit_code(verdict: Verdict, signal: int = 0) -> int:
    """The exit code of a run that ended so; a cancelled one tells which signal ended it.

    128 + signal is the shells' convention: 130 for INT, which also stands for a person who
    asked in words, and 143 for TERM.
    """
    if verdict is Verdict.CANCELLED and signal:
        return 128 + signal
    return _EXIT_CODES[verdict]
