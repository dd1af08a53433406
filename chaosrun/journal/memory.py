"""A journal in memory, for simulations: the same contract, and nothing survives the process.

Law: it derives what the durable journals derive, by the same functions. Nothing that touches
a real target may use it (L1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock

from chaosrun.errors import ChaosrunError, SequenceTaken, TargetLocked
from chaosrun.events import AnyEvent, Leased, Restored, Verdict
from chaosrun.journal import Halt, Request, RunRow, TargetLock
from chaosrun.journal.claims import (
    REMEMBERED,
    Approval,
    Claim,
    Hit,
    Standing,
    check_claimed,
    check_gap,
    claims_of,
)
from chaosrun.journal.derive import (
    Summary,
    choose,
    encode,
    ends_run,
    lock_keys,
    lost,
    moves_locks,
    summarise,
    takes_again,
)

_Key = tuple[str, str, str]


class MemoryJournal:
    """Events as they are, in lists. Share one between simulated processes."""

    blink = 0.0

    def __init__(self) -> None:
        self._lock = Lock()
        self._events: dict[str, list[AnyEvent]] = {}
        self._runs: dict[str, Summary] = {}
        self._held = _Held({}, {}, {})
        self._approvals: list[Approval] = []
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
            locks = self._held.locks.values()
            return sorted(locks, key=lambda lock: (lock.target, lock.at, lock.lease))

    def standing(
        self, run: str, names: Sequence[str], targets: Sequence[str], digest: str = ""
    ) -> Standing:
        with self._lock:
            claims = {
                name: frozenset(
                    claim.item
                    for (holder, claim) in self._held.claims
                    if claim.name == name and holder != run
                )
                for name in names
            }
            hits = self._held.hits
            locks = [lock for lock in self._held.locks.values() if lock.run != run]
            return Standing(
                claims={name: items for name, items in claims.items() if items},
                hits={t: hits[t] for t in targets if t in hits and hits[t].run != run},
                held={lock.target: lock.run for lock in locks if lock.target in targets},
                approvals=tuple(one for one in self._approvals if digest and one.digest == digest),
            )

    def approve(self, approval: Approval) -> None:
        with self._lock:
            self._approvals.append(approval)

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
            holders = {lock.run for lock in self._held.locks.values()}
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
            self._held = self._held.without(old, before - REMEMBERED)
            self._approvals = [one for one in self._approvals if one.expires >= before]
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
        if any(moves_locks(event) or ends_run(event) for event in events):
            self._held = self._moved(run, [*history, *events], len(history))
        if summary is not None:
            self._runs[run] = summary
            self._events.setdefault(run, []).extend(events)

    def _moved(self, run: str, events: Sequence[AnyEvent], since: int) -> _Held:
        """What is held after the events from `since` on. Raises TargetLocked, TermExceeded."""
        held = _Held(dict(self._held.locks), dict(self._held.claims), dict(self._held.hits))
        leases: dict[str, Leased] = {}
        for sequence, event in enumerate(events):
            if isinstance(event, Leased):
                leases[event.lease] = event
            if sequence < since:
                continue
            if isinstance(event, Restored):
                held.give_up(run, event.lease, event.at)
            elif isinstance(event, Leased) or takes_again(event):
                lease = leases.get(event.lease)
                if lease is not None:
                    held.take(run, lease, event.at, again=lease is not event)
                if isinstance(event, Leased):
                    held.check(run, event)
            elif ends_run(event):
                held.end(run)
        return held


class _Held:
    """Target locks, claims, and the last fault on each target."""

    def __init__(
        self,
        locks: dict[_Key, TargetLock],
        claims: dict[tuple[str, Claim], None],
        hits: dict[str, Hit],
    ) -> None:
        self.locks, self.claims, self.hits = locks, claims, hits

    def take(self, run: str, lease: Leased, at: float, *, again: bool) -> None:
        others = {lock.target: lock.run for lock in self.locks.values() if lock.run != run}
        for target in lock_keys(lease.hold):
            if target not in others:
                lock = TargetLock(target=target, run=run, lease=lease.lease, at=at)
                self.locks.setdefault((run, lease.lease, target), lock)
            elif not again:
                raise TargetLocked(target, others[target])
        self.claims.update(dict.fromkeys((run, claim) for claim in claims_of(run, lease)))

    def check(self, run: str, event: Leased) -> None:
        keys = lock_keys(event.hold)
        for term in event.terms:
            if term.key:
                items = {claim.item for _, claim in self.claims if claim.name == term.key}
                check_claimed(event.lease, term, len(items))
            else:
                hits = [(key, self.hits[key]) for key in keys if key in self.hits]
                check_gap(event, term, [(key, hit) for key, hit in hits if hit.run != run])
        self.hits.update((key, Hit(run, event.lease, event.at)) for key in keys)

    def give_up(self, run: str, lease: str, at: float) -> None:
        self.locks = {k: v for k, v in self.locks.items() if k[:2] != (run, lease)}
        self._drop(run, lease)
        for target, hit in self.hits.items():
            if (hit.run, hit.lease) == (run, lease):
                self.hits[target] = Hit(run, lease, at)

    def end(self, run: str) -> None:
        self._drop(run, "")

    def _drop(self, run: str, lease: str) -> None:
        kept = (one for one in self.claims if (one[0], one[1].lease) != (run, lease))
        self.claims = dict.fromkeys(kept)

    def without(self, runs: set[str], before: float) -> _Held:
        claims = dict.fromkeys(one for one in self.claims if one[0] not in runs)
        hits = {target: hit for target, hit in self.hits.items() if hit.at >= before}
        return _Held(self.locks, claims, hits)
