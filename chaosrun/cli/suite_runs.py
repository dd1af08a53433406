"""Which suite is meant, and which runs are its parts, as the journal tells.

Law (L7): the id of a suite is the first part of the ids of its runs, and each of them names it;
an id that only looks like a part's is none.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from chaosrun.cli.console import clean

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaosrun.events import Started
    from chaosrun.journal import Journal, RunRow
    from chaosrun.reports.suite import SuiteSummary

_PART: Final = re.compile(r"(.+)-\d{2,4}")


def find_suite(journal: Journal, name: str) -> str:
    """The id of the suite that `name` means; empty when it means a run, or nothing.

    It means a suite when it begins the suite's id and no other run's, or when it is `last` and
    the newest run is part of a suite. The whole id of a run, or more than the suite's, is a run.
    """
    if name == "last":
        newest = journal.runs(limit=1)
        return suite_of(journal, newest[0].run) if newest else ""
    found = [row.run for row in journal.runs() if row.run.startswith(name)]
    ids = {_suite_in(run) for run in found}
    if name in found or len(ids) != 1:
        return ""
    (suite,) = ids
    meant = suite.startswith(name) and any(suite_of(journal, run) == suite for run in found)
    return suite if meant else ""


def suite_of(journal: Journal, run: str) -> str:
    """The id of the suite that the run is a part of, or nothing."""
    started = started_in_suite(journal, run)
    return started.suite if started is not None else ""


def started_in_suite(journal: Journal, run: str) -> Started | None:
    """How the run began, where it is part of a suite. Only ids that look so are read."""
    from chaosrun.events import Started

    suite = _suite_in(run)
    first = next(iter(journal.events(run)), None) if suite else None
    return first if isinstance(first, Started) and first.suite == suite else None


def part_said(started: Started | None) -> str:
    """Which part of which suite the run is, in a few words; nothing where it is none."""
    if started is None or not started.suite:
        return ""
    if started.asked is None:  # an older chaosrun wrote it
        return started.suite
    return f"{clean(started.asked.name)}: {clean(started.asked.part)}"


def summary_of(journal: Journal, suite: str) -> SuiteSummary:
    """The result of the suite with that id. Raises Rejected where its runs do not tell."""
    from chaosrun.reports.suite_summary import summarise_suite

    rows = parts_of(suite, journal.runs())
    return summarise_suite(
        suite,
        {row.run: journal.events(row.run) for row in rows},
        {row.run for row in rows if not row.driver_alive},
    )


def parts_of(suite: str, rows: Iterable[RunRow]) -> list[RunRow]:
    """The lines of the suite's runs, in the order of their ids."""
    return sorted((row for row in rows if _suite_in(row.run) == suite), key=lambda row: row.run)


def _suite_in(run: str) -> str:
    """The first part of an id that looks like that of a suite's run."""
    matched = _PART.fullmatch(run)
    return matched[1] if matched else ""
