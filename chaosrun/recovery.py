"""Recovery: runs whose driver is gone are taken up, and what they owe is reverted.

Law (L2): there is no second path. The same engine folds the same journal; `Resumed` is the
only difference. A driver is known to be gone by its lock in the journal, never by a guess.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from chaosrun import events as e
from chaosrun.engine import Engine, Observer
from chaosrun.errors import JournalUnavailable, SequenceTaken
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

    A run that another driver took up meanwhile is left to it, and is not in the result. One that
    cannot be read keeps no other from it: JournalUnavailable is raised after all that can be done.
    """
    engine = Engine(journal, observers=observers, clock=clock)
    unreadable: JournalUnavailable | None = None
    try:
        for run in _still_dead(journal, runs):
            try:
                engine.resume(run, reason)
            except SequenceTaken:
                continue
            except JournalUnavailable as error:
                unreadable = unreadable or error
        ended = engine.loop()
    finally:
        engine.close()
    if unreadable is not None:
        raise unreadable
    return ended


def _still_dead(journal: Journal, runs: Sequence[str]) -> list[str]:
    """Without those whose driver had only lost its connection for a moment."""
    if journal.blink:
        time.sleep(journal.blink)
        alive = {row.run for row in journal.runs(unfinished=True) if row.driver_alive}
        return [run for run in runs if run not in alive]
    return list(runs)
