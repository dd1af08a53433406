"""What the SQLite and the PostgreSQL journal have in common: every statement but the opening.

Law (L1, L7): what is derived is written in the transaction of the event that implies it.
A batch is written whole or not at all, whatever becomes of the others in its group.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from chaosrun.errors import (
    ChaosrunError,
    JournalUnavailable,
    SequenceTaken,
    TargetLocked,
    TermExceeded,
)
from chaosrun.events import AnyEvent, Leased, Restored, Verdict
from chaosrun.journal import Halt, Request, RunRow, TargetLock
from chaosrun.journal import statements as q
from chaosrun.journal.claims import (
    REMEMBERED,
    Approval,
    Hit,
    Standing,
    check_claimed,
    check_gap,
    claims_of,
)
from chaosrun.journal.derive import (
    Body,
    Summary,
    choose,
    decode,
    encode,
    ends_run,
    lock_keys,
    lost,
    moves_locks,
    summarise,
    takes_again,
)
from chaosrun.journal.schema import Connection
from chaosrun.journal.sql_agenda import SqlAgenda

T = TypeVar("T")
Batch = tuple[str, int, Sequence[AnyEvent]]

_ATTEMPTS: Final = 5


class Raced(Exception):
    """Another process changed the same rows at the same time: the transaction must be repeated."""


@dataclass
class _History:
    """How far a run has come: its line, and the sequence of its last event."""

    summary: Summary | None = None
    last: int = -1


class SqlJournal(ABC):
    """The journal over SQL connections that the subclass opens, guards and repairs.

    Reading has a connection of its own: whether to halt is known though an append waits.
    """

    where: str
    """How errors name this journal; never with a password."""
    blink = 0.0
    _for_update = ""

    def __init__(self, where: str) -> None:
        self.where = where
        # Runs whose last append failed and may yet be in the journal: the answer to a commit
        # can be lost. Writing the same events again is then no conflict.
        self._unsure: set[str] = set()
        self.agenda = SqlAgenda(self._write, self._reading, self._one_at_a_time, self._living)

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[Connection]:
        """A write transaction, durable when it ends well. Raises Raced, JournalUnavailable."""

    @abstractmethod
    def _reading(self) -> AbstractContextManager[Connection]:
        """The connection, for one statement that only reads."""

    @abstractmethod
    def _one_at_a_time(self, connection: Connection) -> None:
        """Let no other process take locks or add requests until this transaction ends."""

    @abstractmethod
    def now(self) -> float:
        """The time, by the one clock that all who share this journal have."""

    @abstractmethod
    def _living(self, drivers: Iterable[str]) -> set[str]:
        """Those of the drivers whose process still runs."""

    def alive(self, driver: str) -> bool:
        return driver in self._living([driver])

    def append(self, run: str, sequence: int, events: Sequence[AnyEvent]) -> None:
        (error,) = self.append_many([(run, sequence, events)])
        if error is not None:
            raise error

    def append_many(self, batches: Sequence[Batch]) -> list[Exception | None]:
        if not batches:
            return []
        bodies = [_encoded(events) for _, _, events in batches]
        try:
            errors = self._write(lambda connection: self._append(connection, batches, bodies))
        except JournalUnavailable:
            self._unsure.update(run for run, _, _ in batches)
            raise
        for (run, _, _), error in zip(batches, errors, strict=True):
            if error is None:
                self._unsure.discard(run)
        return errors

    def events(self, run: str, since: int = 0) -> Iterator[AnyEvent]:
        expected = since
        while True:
            with self._reading() as connection:
                page = connection.execute(q.EVENTS, (run, expected)).fetchall()
            for sequence, text in page:
                if sequence != expected:
                    raise lost(run, sequence, expected - 1)
                yield decode(run, sequence, text)
                expected += 1
            if len(page) < q.PAGE:
                return

    def driver(self, run: str) -> str:
        with self._reading() as connection:
            rows = connection.execute("SELECT driver FROM runs WHERE run = ?", (run,)).fetchall()
        return str(rows[0][0]) if rows else ""

    def runs(self, *, limit: int = 0, unfinished: bool = False) -> list[RunRow]:
        statement = q.RUNS + (q.UNFINISHED if unfinished else "") + q.NEWEST_FIRST
        with self._reading() as connection:
            rows = connection.execute(f"{statement} LIMIT {limit}" if limit > 0 else statement)
            found = [(run, self._summary(run, rest), last) for run, *rest, last in rows.fetchall()]
        living = self._living({summary.driver for _, summary, _ in found})
        return [summary.row(run, last, living.__contains__) for run, summary, last in found]

    def find(self, prefix: str) -> str:
        with self._reading() as connection:
            rows = connection.execute("SELECT run FROM runs" + q.NEWEST_FIRST).fetchall()
        return choose(prefix, [run for (run,) in rows])

    def locks(self) -> list[TargetLock]:
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT target, run, lease, at FROM locks ORDER BY target, at, lease"
            ).fetchall()
        return [TargetLock(target=row[0], run=row[1], lease=row[2], at=row[3]) for row in rows]

    def standing(
        self, run: str, names: Sequence[str], targets: Sequence[str], digest: str = ""
    ) -> Standing:
        with self._reading() as connection:
            claims: dict[str, set[str]] = {}
            for name, item in _in_pages(connection, q.OTHERS_CLAIMS, run, names):
                claims.setdefault(name, set()).add(item)
            hits = _in_pages(connection, q.OTHERS_HITS, run, targets)
            held = _in_pages(connection, q.OTHERS_LOCKS, run, targets)
            approved = connection.execute(q.APPROVALS, (digest,)).fetchall() if digest else []
        return Standing(
            claims={name: frozenset(items) for name, items in claims.items()},
            hits={target: Hit(*hit) for target, *hit in hits},
            held={str(target): str(holder) for target, holder in held},
            approvals=tuple(
                Approval(
                    digest=r[0],
                    by=r[1],
                    names=tuple(str(r[2]).split("\n")),
                    reason=r[3],
                    at=r[4],
                    expires=r[5],
                )
                for r in approved
            ),
        )

    def approve(self, approval: Approval) -> None:
        names = "\n".join(approval.names)
        row = (
            approval.digest, approval.by, names, approval.reason, approval.at, approval.expires,
        )  # fmt: skip
        self._write(lambda connection: connection.execute(q.APPROVE, row))

    def request_abort(self, run: str, by: str, reason: str, at: float) -> None:
        def write(connection: Connection) -> None:
            # An id that shows up after a higher one would be missed by `requests(after)`.
            self._one_at_a_time(connection)
            connection.execute(
                "INSERT INTO requests (run, by_whom, reason, at) VALUES (?, ?, ?, ?)",
                (run, by, reason, at),
            )

        self._write(write)

    def requests(self, after: int) -> list[Request]:
        with self._reading() as connection:
            rows = connection.execute(
                "SELECT id, run, by_whom, reason, at FROM requests WHERE id > ? ORDER BY id",
                (after,),
            ).fetchall()
        return [Request(id=r[0], run=r[1], by=r[2], reason=r[3], at=r[4]) for r in rows]

    def halt(self) -> Halt | None:
        with self._reading() as connection:
            rows = connection.execute("SELECT state, by_whom, reason, at FROM halt").fetchall()
        match [tuple(row) for row in rows]:
            case [("off", *_)]:
                return None
            case [("on", str(by), str(reason), int() | float() as at)]:
                return Halt(by=by, reason=reason, at=at)
        raise JournalUnavailable(
            f"the halt switch in {self.where} cannot be read, so it counts as on",
            hint="set it anew with `chaosrun halt on` or `chaosrun halt off`",
            code="halt-unreadable",
        )

    def set_halt(self, halt: Halt | None) -> None:
        row = ("on", halt.by, halt.reason, halt.at) if halt else ("off", "", "", 0.0)

        def write(connection: Connection) -> None:
            connection.execute("DELETE FROM halt")
            connection.execute("INSERT INTO halt VALUES (1, ?, ?, ?, ?)", row)

        self._write(write)

    def prune(self, before: float) -> int:
        def write(connection: Connection) -> int:
            found = connection.execute(q.PRUNABLE + self._for_update, (before,)).fetchall()
            for table in ("events", "requests", "claims", "runs") if found else ():
                connection.executemany(f"DELETE FROM {table} WHERE run = ?", found)
            connection.execute("DELETE FROM hits WHERE at < ?", (before - REMEMBERED,))
            connection.execute("DELETE FROM approvals WHERE expires < ?", (before,))
            return len(found)

        self.agenda.prune(before)
        pruned = 0
        while count := self._write(write):  # a few at a time: others wait for the journal
            pruned += count
        return pruned

    def _write(self, work: Callable[[Connection], T]) -> T:
        for _ in range(_ATTEMPTS):
            try:
                with self._transaction() as connection:
                    return work(connection)
            except Raced:
                continue
        raise JournalUnavailable(f"{self.where} is too busy", hint="try again")

    def _append(
        self,
        connection: Connection,
        batches: Sequence[Batch],
        bodies: Sequence[Sequence[Body] | Exception],
    ) -> list[Exception | None]:
        leased = {
            (run, event.lease): event
            for run, _, events in batches
            for event in events
            if isinstance(event, Leased)
        }
        if any(moves_locks(event) for _, _, events in batches for event in events):
            self._one_at_a_time(connection)  # before anything else, so that nobody deadlocks
        histories = self._histories(connection, {run for run, _, _ in batches})
        rows: list[tuple[str, int, str, float, str]] = []
        errors: list[Exception | None] = []
        for (run, sequence, events), encoded in zip(batches, bodies, strict=True):
            try:
                if isinstance(encoded, Exception):
                    raise encoded
                history = histories.setdefault(run, _History())
                done = self._written_before(connection, run, sequence, encoded, history.last)
                self._derive(connection, run, events[done:], history, leased)
            except (ChaosrunError, TypeError, ValueError, NotImplementedError) as error:
                errors.append(error)
                continue
            fresh = enumerate(encoded[done:], sequence + done)
            rows += [(run, place, body.type, body.at, body.text) for place, body in fresh]
            history.last = max(history.last, sequence + len(encoded) - 1)
            errors.append(None)
        if rows:
            connection.executemany(q.INSERT_EVENT, rows)
        return errors

    def _histories(self, connection: Connection, runs: Iterable[str]) -> dict[str, _History]:
        wanted, found = sorted(runs), {}
        for start in range(0, len(wanted), 500):  # SQLite takes no more than 999 parameters
            some = wanted[start : start + 500]
            places = ", ".join("?" * len(some))
            rows = connection.execute(f"{q.RUNS} WHERE run IN ({places})", some).fetchall()
            for run, *rest, last in rows:
                found[run] = _History(self._summary(run, rest), -1 if last is None else last)
        return found

    def _summary(self, run: str, row: Sequence[object]) -> Summary:
        match row:
            case [str(name), float(started), str(driver), verdict, float() | None as ended]:
                if verdict is None or verdict in list(Verdict):
                    known = Verdict(verdict) if isinstance(verdict, str) else None
                    return Summary(name, started, driver, known, ended)
        raise JournalUnavailable(
            f"the line of run {run} in {self.where} cannot be read",
            hint="a newer chaosrun may have written it: use that one; else the journal is damaged",
            code="run-unreadable",
        )

    def _written_before(
        self, connection: Connection, run: str, sequence: int, bodies: Sequence[Body], last: int
    ) -> int:
        """How many of the events are there already, from an append whose answer was lost."""
        if not bodies or sequence == last + 1:
            return 0
        if sequence > last + 1:
            raise lost(run, sequence, last)
        if run in self._unsure:
            there = [row[1] for row in connection.execute(q.EVENTS, (run, sequence)).fetchall()]
            if there == [body.text for body in bodies[: len(there)]]:
                return len(there)
        raise SequenceTaken(
            f"run {run} has an event {sequence} from another driver",
            hint="this process stops driving it; the other one goes on",
        )

    def _derive(
        self,
        connection: Connection,
        run: str,
        events: Sequence[AnyEvent],
        history: _History,
        leased: Mapping[tuple[str, str], Leased],
    ) -> None:
        summary = history.summary
        for event in events:
            summary = summarise(summary, event)
        moves = [event for event in events if moves_locks(event) or ends_run(event)]
        if moves:
            connection.execute("SAVEPOINT batch")
            try:
                for event in moves:
                    self._move_locks(connection, run, event, leased)
            except (TargetLocked, TermExceeded):
                connection.execute("ROLLBACK TO SAVEPOINT batch")
                raise
        if summary is not None and summary != history.summary:
            verdict = summary.verdict.value if summary.verdict else None
            row = (summary.name, summary.started_at, summary.driver, verdict, summary.ended_at, run)
            if (
                connection.execute(q.UPDATE_RUN if history.summary else q.INSERT_RUN, row).rowcount
                < 1
            ):
                raise Raced  # it was pruned in this moment
            history.summary = summary

    def _move_locks(
        self,
        connection: Connection,
        run: str,
        event: AnyEvent,
        leased: Mapping[tuple[str, str], Leased],
    ) -> None:
        if isinstance(event, Leased):
            keys = lock_keys(event.hold)
            connection.executemany(q.TAKE_LOCK, [(run, event.lease, k, event.at) for k in keys])
            for target, holder in connection.execute(
                q.HELD_BY_ANOTHER, (run, event.lease)
            ).fetchall():
                raise TargetLocked(target, holder)
            self._claim(connection, run, event)
            self._check_terms(connection, run, event, keys)
            hits = [(key, run, event.lease, event.at) for key in keys]
            connection.executemany(q.HIT, hits)
        elif isinstance(event, Restored):
            for table in ("locks", "claims"):
                statement = f"DELETE FROM {table} WHERE run = ? AND lease = ?"
                connection.execute(statement, (run, event.lease))
            connection.execute(q.HIT_ENDED, (event.at, run, event.lease))
        elif takes_again(event):
            lease = leased.get((run, event.lease)) or self._lease(connection, run, event.lease)
            if lease is not None:
                keys = lock_keys(lease.hold)
                rows = [(run, event.lease, key, event.at, key, run) for key in keys]
                connection.executemany(q.TAKE_FREE_LOCK, rows)
                self._claim(connection, run, lease)
        elif ends_run(event):
            connection.execute("DELETE FROM claims WHERE run = ? AND lease = ''", (run,))

    def _claim(self, connection: Connection, run: str, event: Leased) -> None:
        rows = [(run, claim.lease, claim.name, claim.item) for claim in claims_of(run, event)]
        connection.executemany(q.TAKE_CLAIM, rows)

    def _check_terms(
        self, connection: Connection, run: str, event: Leased, keys: Sequence[str]
    ) -> None:
        """Raise TermExceeded for the first term that is not met, its own claims counted in."""
        for term in event.terms:
            if term.key:
                ((items,),) = connection.execute(q.CLAIMED, (term.key,)).fetchall()
                check_claimed(event.lease, term, int(items))
            else:
                rows = _in_pages(connection, q.OTHERS_HITS, run, keys)
                check_gap(event, term, sorted((target, Hit(*hit)) for target, *hit in rows))

    def _lease(self, connection: Connection, run: str, lease: str) -> Leased | None:
        """The lease's Leased event."""
        for sequence, text in connection.execute(q.LEASED, (run,)).fetchall():
            event = decode(run, sequence, text)
            if isinstance(event, Leased) and event.lease == lease:
                return event
        return None


def _in_pages(
    connection: Connection, statement: str, run: str, wanted: Sequence[str]
) -> list[Sequence[Any]]:
    """The rows of a statement with a list of values, which SQLite takes only so many of."""
    found: list[Sequence[Any]] = []
    for start in range(0, len(wanted), 500):
        some = wanted[start : start + 500]
        places = ", ".join("?" * len(some))
        found += connection.execute(statement.format(places), (run, *some)).fetchall()
    return found


def _encoded(events: Sequence[AnyEvent]) -> Sequence[Body] | Exception:
    try:
        return [encode(event) for event in events]
    except (TypeError, ValueError, NotImplementedError) as error:
        return error
