"""Runs that have no verdict yet, or are stranded, and what they owe.

Law (L7): this is a fold of the journal; nothing else says what is in place.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

from chaosrun.errors import JournalUnavailable
from chaosrun.journal import Journal, RunRow
from chaosrun.run import Owed, Run, fold


class Unfinished(msgspec.Struct, frozen=True):
    """A run that may owe something: its line in the journal, and its fold."""

    row: RunRow
    run: Run

    @property
    def owed(self) -> tuple[Owed, ...]:
        return self.run.owed

    @property
    def stranded(self) -> bool:
        return any(owed.stranded for owed in self.owed)

    @property
    def needs_recovery(self) -> bool:
        """Whether nobody will revert what is owed unless somebody asks."""
        return not self.row.driver_alive


def unfinished(
    journal: Journal,
    only: Collection[str] = (),
    unreadable: list[JournalUnavailable] | None = None,
) -> tuple[Unfinished, ...]:
    """Every run without an end, newest first; of these `only` some, if any are named.

    Why a run is `unreadable` is put into that list; without one, it is raised.
    """
    found: list[Unfinished] = []
    for row in journal.runs(unfinished=True):
        if not only or row.run in only:
            try:
                found.append(Unfinished(row, fold(journal.events(row.run))))
            except JournalUnavailable as error:
                if unreadable is None:
                    raise
                unreadable.append(error)
    return tuple(found)
