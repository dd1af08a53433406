"""A journal in memory, for simulations: the same contract, and nothing survives the process.

Law: it derives what the durable journals derive, by the same functions. Nothing that touches
a real target may use it (L1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock

from chaosrun.errors import ChaosrunError, SequenceTaken, TargetLocked
from chaosrun.events import AnyEvent, Leased, Restored, Verdict
from chaosrun.fault import Hold
from chaosrun.journal import Halt, Request, RunRow, TargetLock
from chaosrun.journal.derive import (
    Summary,
    choose,
    encode,
    lock_keys,
    lost,
    moves_locks,
    summarise,
    takes_again,
)

_Key = tuple[str, str, str]


class MemoryJournal:
    """Events as they are, in lists. Share one between simulated processes."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._events: dict[str, list[AnyEvent]] = {}
        self._runs: dict[str, Summary] = {}
        self._locks: dict[_Key, TargetLock] = {}
        self._requests: list[Request] = []
        self._last_request = 0
        self._halt: Halt | None = None
        self._drivers: set[str] = set()

    def register(self, driver: str) -> None:
        self._drivers.add(driver)

    def died(self, driver: str) -> None:
        """Make the driver's process dead, as a simulation's `kill -9` does."""
        self._drivers.discard(driver)

    def alive(self, driver: str) -> bool:
        return driver in self._drivers

    def driver(self, run: str) -> str:
        known = self._runs.get(run)
        return known.driver if known else ""

    def append(self, run: str, sequence: int, events: Sequence[AnyEvent]) -> None:
        for event in events:
            encode(event)
        with self._lock:
            self._append(run, sequence, events)

    def append_many(
        self, batches: Sequence[tuple[str, int, Sequence[AnyEvent]]]
    ) -> list[Exception | None]:
        errors: list[Exception | None] = []
        for run, sequence, events in batches:
            try:
                self.append(run, sequence, events)
                errors.append(None)
            except (ChaosrunError, TypeError, ValueError, NotImplementedError) as error:
                errors.append(error)
        return errors

    def events(self, run: str, since: int = 0) -> Iterator[AnyEvent]:
        return iter(self._events.get(run, [])[since:])

    def runs(self, *, limit: int = 0, unfinished: bool = False) -> list[RunRow]:
        with self._lock:
            rows = [
                summary.row(run, len(self._events[run]) - 1, self.alive)
                for run, summary in self._newest()
                if not unfinished or summary.verdict in (None, Verdict.STRANDED)
            ]
        return rows[:limit] if limit > 0 else rows

    def find(self, prefix: str) -> str:
        with self._lock:
            return choose(prefix, [run for run, _ in self._newest()])

    def locks(self) -> list[TargetLock]:
        with self._lock:
            return sorted(self._locks.values(), key=lambda lock: (lock.target, lock.at, lock.lease))

    def request_abort(self, run: str, by: str, reason: str, at: float) -> None:
        with self._lock:
            self._last_request += 1
            self._requests.append(
                Request(id=self._last_request, run=run, by=by, reason=reason, at=at)
            )

    def requests(self, after: int) -> list[Request]:
        with self._lock:
            return [request for request in self._requests if request.id > after]

    def halt(self) -> Halt | None:
        return self._halt

    def set_halt(self, halt: Halt | None) -> None:
        self._halt = halt

    def prune(self, before: float) -> int:
        with self._lock:
            holders = {lock.run for lock in self._locks.values()}
            old = {
                run
                for run, summary in self._runs.items()
                if summary.verdict not in (None, Verdict.STRANDED)
                and summary.ended_at is not None
                and summary.ended_at < before
                and run not in holders
            }
            for run in old:
                del self._runs[run], self._events[run]
            self._requests = [request for request in self._requests if request.run not in old]
            return len(old)

    def close(self) -> None:
        self._drivers.clear()

    def _newest(self) -> list[tuple[str, Summary]]:
        return sorted(self._runs.items(), key=lambda kv: (kv[1].started_at, kv[0]), reverse=True)

    def _append(self, run: str, sequence: int, events: Sequence[AnyEvent]) -> None:
        history = self._events.get(run, [])
        if events and sequence < len(history):
            raise SequenceTaken(f"run {run} has an event {sequence} from another driver")
        if events and sequence > len(history):
            raise lost(run, sequence, len(history) - 1)
        summary = self._runs.get(run)
        for event in events:
            summary = summarise(summary, event)
        if any(moves_locks(event) for event in events):
            self._locks = self._moved(run, [*history, *events], len(history))
        if summary is not None:
            self._runs[run] = summary
            self._events.setdefault(run, []).extend(events)

    def _moved(self, run: str, events: Sequence[AnyEvent], since: int) -> dict[_Key, TargetLock]:
        """The locks after the events from `since` on. Raises TargetLocked."""
        locks = dict(self._locks)
        holds: dict[str, Hold] = {}
        for sequence, event in enumerate(events):
            if isinstance(event, Leased):
                holds[event.lease] = event.hold
            if sequence < since:
                continue
            if isinstance(event, Restored):
                locks = {k: v for k, v in locks.items() if k[:2] != (run, event.lease)}
            elif isinstance(event, Leased) or takes_again(event):
                others = {lock.target: lock.run for lock in locks.values() if lock.run != run}
                for target in lock_keys(holds[event.lease]) if event.lease in holds else ():
                    if target not in others:
                        lock = TargetLock(target=target, run=run, lease=event.lease, at=event.at)
                        locks.setdefault((run, event.lease, target), lock)
                    elif isinstance(event, Leased):
                        raise TargetLocked(target, others[target])
        return locks
