"""The agenda in SQL, the same for SQLite and PostgreSQL.

Law: a claim looks and takes in one transaction, in which no other process claims.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

from chaosrun.journal.agenda import Claim, Fact, FireRow, FireState
from chaosrun.journal.schema import Connection

T = TypeVar("T")
_COLUMNS: Final = "schedule, due, at, start_by, concurrency, state, run, driver, reason, changed_at"
_INSERT: Final = (
    "INSERT INTO fires (schedule, due, at, start_by, concurrency, state, run, driver, reason,"
    " changed_at, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (schedule, due) DO NOTHING"
)
_OPEN: Final = "state IN ('due', 'claimed')"


class SqlAgenda:
    """The agenda over the transactions of a journal."""

    def __init__(
        self,
        write: Callable[[Callable[[Connection], Any]], Any],
        reading: Callable[[], AbstractContextManager[Connection]],
        one_at_a_time: Callable[[Connection], None],
        living: Callable[[Iterable[str]], set[str]],
    ) -> None:
        self._write = write
        self._reading = reading
        self._one_at_a_time = one_at_a_time
        self._living = living

    def add(self, fires: Sequence[FireRow]) -> list[FireRow]:
        def write(connection: Connection) -> list[FireRow]:
            return [
                fire for fire in fires if connection.execute(_INSERT, _values(fire)).rowcount > 0
            ]

        added: list[FireRow] = self._write(write) if fires else []
        return added

    def claim(self, schedule: str, due: int, run: str, driver: str, now: float) -> Claim:
        def write(connection: Connection) -> Claim:
            self._one_at_a_time(connection)
            found = connection.execute(
                f"SELECT {_COLUMNS}, body FROM fires WHERE schedule = ? AND due = ?",
                (schedule, due),
            ).fetchall()
            if not found or found[0][5] != FireState.DUE:
                return Claim()
            fire = _row(found[0])
            if now > fire.start_by:
                late = f"nobody started it within {fire.start_by - fire.at:g}s"
                _change(connection, fire, FireState.MISSED, late, now)
                return Claim()
            others = connection.execute(
                "SELECT run FROM fires WHERE schedule = ? AND state = 'claimed' ORDER BY due",
                (schedule,),
            ).fetchall()
            if others and fire.concurrency != "allow":
                if fire.concurrency == "replace":
                    return Claim(busy=str(others[0][0]))
                said = f"run {others[0][0]} of this schedule still goes on"
                _change(connection, fire, FireState.SKIPPED, said, now)
                return Claim()
            connection.execute(
                "UPDATE fires SET state = 'claimed', run = ?, driver = ?, changed_at = ?"
                " WHERE schedule = ? AND due = ?",
                (run, driver, now, schedule, due),
            )
            return Claim(fire)

        claim: Claim = self._write(write)
        return claim

    def settle(self, schedule: str, due: int, state: FireState, reason: str, now: float) -> None:
        self._write(
            lambda connection: connection.execute(
                "UPDATE fires SET state = ?, reason = ?, changed_at = ?"
                f" WHERE schedule = ? AND due = ? AND {_OPEN}",
                (state.value, reason, now, schedule, due),
            )
        )

    def give_back(self, schedule: str, due: int, driver: str, now: float) -> bool:
        def write(connection: Connection) -> bool:
            self._one_at_a_time(connection)
            given = connection.execute(
                "UPDATE fires SET state = 'due', run = '', driver = '', changed_at = ?"
                " WHERE schedule = ? AND due = ? AND state = 'claimed' AND driver = ?"
                " AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.run = fires.run"
                " OR runs.run = fires.run || '-01')",
                (now, schedule, due, driver),
            )
            return given.rowcount > 0

        given: bool = self._write(write)
        return given

    def claimed(self) -> list[tuple[FireRow, bool]]:
        with self._reading() as connection:
            found = connection.execute(
                f"SELECT {_COLUMNS} FROM fires WHERE state = 'claimed' ORDER BY at"
            ).fetchall()
        rows = [_row(each) for each in found]
        living = self._living({row.driver for row in rows}) if rows else set()
        return [(row, row.driver in living) for row in rows]

    def due(self, limit: int = 1000) -> list[FireRow]:
        return self._select(f"WHERE state = 'due' ORDER BY at LIMIT {limit}", ())

    def body(self, schedule: str, due: int) -> str:
        with self._reading() as connection:
            found = connection.execute(
                "SELECT body FROM fires WHERE schedule = ? AND due = ?", (schedule, due)
            ).fetchall()
        return str(found[0][0]) if found else ""

    def newest(self, *, limit: int, schedule: str = "") -> list[FireRow]:
        where = "WHERE schedule = ? " if schedule else ""
        most = f" LIMIT {limit}" if limit > 0 else ""
        return self._select(
            f"{where}ORDER BY at DESC, schedule{most}", (schedule,) if schedule else ()
        )

    def latest(self) -> Mapping[str, int]:
        with self._reading() as connection:
            found = connection.execute(
                "SELECT schedule, MAX(due) FROM fires GROUP BY schedule"
            ).fetchall()
        return {str(schedule): int(due) for schedule, due in found}

    def note(self, *facts: Fact) -> None:
        rows = [(fact.schedule, fact.fact, fact.by, fact.reason, fact.at) for fact in facts]
        if rows:
            self._write(
                lambda connection: connection.executemany(
                    "INSERT INTO schedule_facts (schedule, fact, by_whom, reason, at)"
                    " VALUES (?, ?, ?, ?, ?)",
                    rows,
                )
            )

    def facts(self, *, schedule: str = "") -> list[Fact]:
        where = " WHERE fact <> 'seen'" + (" AND schedule = ?" if schedule else "")
        with self._reading() as connection:
            found = connection.execute(
                f"SELECT schedule, fact, by_whom, reason, at FROM schedule_facts{where}"
                " ORDER BY id",
                (schedule,) if schedule else (),
            ).fetchall()
        return [Fact(schedule=f[0], fact=f[1], by=f[2], reason=f[3], at=f[4]) for f in found]

    def seen(self) -> Mapping[str, float]:
        with self._reading() as connection:
            found = connection.execute(
                "SELECT schedule, MIN(at) FROM schedule_facts WHERE fact = 'seen' GROUP BY schedule"
            ).fetchall()
        return {str(schedule): float(at) for schedule, at in found}

    def prune(self, before: float) -> None:
        self._write(
            lambda connection: connection.execute(
                f"DELETE FROM fires WHERE changed_at < ? AND NOT {_OPEN}", (before,)
            )
        )

    def _select(self, rest: str, parameters: tuple[Any, ...]) -> list[FireRow]:
        with self._reading() as connection:
            found = connection.execute(f"SELECT {_COLUMNS} FROM fires {rest}", parameters)
            return [_row(each) for each in found.fetchall()]


def _values(fire: FireRow) -> tuple[Any, ...]:
    return (
        fire.schedule, fire.due, fire.at, fire.start_by, fire.concurrency, fire.state.value,
        fire.run, fire.driver, fire.reason, fire.changed_at, fire.body,
    )  # fmt: skip


def _row(found: Sequence[Any]) -> FireRow:
    return FireRow(
        schedule=found[0], due=found[1], at=found[2], start_by=found[3], concurrency=found[4],
        state=FireState(found[5]), run=found[6], driver=found[7], reason=found[8],
        changed_at=found[9], body=found[10] if len(found) > 10 else "",
    )  # fmt: skip


def _change(
    connection: Connection, fire: FireRow, state: FireState, reason: str, now: float
) -> None:
    connection.execute(
        "UPDATE fires SET state = ?, reason = ?, changed_at = ? WHERE schedule = ? AND due = ?",
        (state.value, reason, now, fire.schedule, fire.due),
    )
