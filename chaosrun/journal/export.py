"""A run as JSON lines: one event a line, with its run and sequence."""

from __future__ import annotations

from collections.abc import Iterator

from chaosrun.codec import to_json, to_plain
from chaosrun.journal import Journal


def export_lines(journal: Journal, run: str) -> Iterator[bytes]:
    """Each event of the run as a line `{"run", "sequence", "type", "at", ...}`, in order.

    Raises JournalUnavailable where the journal cannot be read.
    """
    for sequence, event in enumerate(journal.events(run)):
        yield to_json({"run": run, "sequence": sequence, **to_plain(event)}) + b"\n"
