"""A run's events as they are journaled, by whichever process drives it."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic, sleep

from chaosrun.events import AnyEvent, Finished
from chaosrun.journal import Journal

PAUSE = 0.2


def follow(
    journal: Journal, run: str, *, since: int = 0, seconds: float = float("inf")
) -> Iterator[AnyEvent]:
    """Events of `run` from `since` on, until it finished, its driver died or time is up."""
    until = monotonic() + seconds
    while True:
        alive = any(row.run == run and row.driver_alive for row in journal.runs(unfinished=True))
        for event in journal.events(run, since):
            since += 1
            yield event
            if isinstance(event, Finished):
                return
        if not alive or monotonic() >= until:
            return
        sleep(PAUSE)
