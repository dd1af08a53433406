"""Recovery: runs whose driver is gone are taken up, and what they owe is reverted.

Law (L2): there is no second path. The same engine folds the same journal; `Resumed` is the
only difference. A driver is known to be gone by its lock in the journal, never by a guess.
"""

from __future__ import annotations

from collections.abc import Sequence

from chaosrun import events as e
from chaosrun.engine import Engine, Observer
from chaosrun.errors import SequenceTaken
from chaosrun.events import Verdict
from chaosrun.journal import Journal, RunRow
from chaosrun.perform import Clock


def dead_runs(journal: Journal) -> list[RunRow]:
    """Runs without a verdict whose driver is not alive, oldest first."""
    rows = journal.runs(unfinished=True)
    return [row for row in reversed(rows) if row.verdict is None and not row.driver_alive]


def stranded_runs(journal: Journal) -> list[RunRow]:
    """Runs that ended with something still owed, oldest first."""
    rows = journal.runs(unfinished=True)
    return [row for row in reversed(rows) if row.verdict is Verdict.STRANDED]


def recover(
    journal: Journal,
    runs: Sequence[str],
    *,
    reason: str = "its driver is gone",
    observers: Sequence[Observer] = (),
    clock: Clock | None = None,
) -> dict[str, e.Finished]:
    """Take these runs up and revert what they owe; how each ended.

    A run that another driver took up meanwhile is left to it, and is not in the result.
    """
    engine = Engine(journal, observers=observers, clock=clock)
    try:
        for run in runs:
            try:
                engine.resume(run, reason)
            except SequenceTaken:
                continue
        return engine.loop()
    finally:
        engine.close()
