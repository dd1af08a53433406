"""The journal's tables, as an ordered list of migrations that SQLite and PostgreSQL share.

Law: a migration that was released never changes; a new version is a new entry. Each runs
whole, in one transaction, or not at all. A journal from a newer chaosrun is refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from chaosrun.errors import JournalUnavailable

MIGRATIONS: Sequence[Sequence[str]] = (
    (
        "CREATE TABLE events (run TEXT NOT NULL, sequence BIGINT NOT NULL, type TEXT NOT NULL,"
        " at DOUBLE PRECISION NOT NULL, body TEXT NOT NULL,"
        " PRIMARY KEY (run, sequence)){clustered}",
        "CREATE TABLE runs (run TEXT PRIMARY KEY, name TEXT NOT NULL,"
        " started_at DOUBLE PRECISION NOT NULL, driver TEXT NOT NULL, verdict TEXT,"
        " ended_at DOUBLE PRECISION){clustered}",
        "CREATE INDEX runs_newest ON runs (started_at, run)",
        "CREATE INDEX runs_unfinished ON runs (started_at, run)"
        " WHERE verdict IS NULL OR verdict = 'stranded'",
        "CREATE TABLE locks (run TEXT NOT NULL, lease TEXT NOT NULL, target TEXT NOT NULL,"
        " at DOUBLE PRECISION NOT NULL, PRIMARY KEY (run, lease, target)){clustered}",
        "CREATE INDEX locks_target ON locks (target)",
        "CREATE TABLE requests (id {identity}, run TEXT NOT NULL, by_whom TEXT NOT NULL,"
        " reason TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)",
        "CREATE TABLE halt (id INTEGER PRIMARY KEY CHECK (id = 1), state TEXT NOT NULL,"
        " by_whom TEXT NOT NULL, reason TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)",
        "INSERT INTO halt VALUES (1, 'off', '', '', 0)",
    ),
    (
        "CREATE TABLE claims (run TEXT NOT NULL, lease TEXT NOT NULL, name TEXT NOT NULL,"
        " item TEXT NOT NULL, PRIMARY KEY (run, lease, name, item)){clustered}",
        "CREATE INDEX claims_name ON claims (name)",
        "INSERT INTO claims SELECT run, lease, 'all', target FROM locks",
        "INSERT INTO claims SELECT DISTINCT run, '', 'runs', run FROM locks",
        "CREATE TABLE hits (target TEXT PRIMARY KEY, run TEXT NOT NULL, lease TEXT NOT NULL,"
        " at DOUBLE PRECISION NOT NULL){clustered}",
        "CREATE INDEX hits_lease ON hits (run, lease)",
        "INSERT INTO hits SELECT target, MAX(run), MAX(lease), MAX(at) FROM locks GROUP BY target",
        "CREATE TABLE approvals (id {identity}, digest TEXT NOT NULL, by_whom TEXT NOT NULL,"
        " names TEXT NOT NULL, reason TEXT NOT NULL, at DOUBLE PRECISION NOT NULL,"
        " expires DOUBLE PRECISION NOT NULL)",
        "CREATE INDEX approvals_digest ON approvals (digest)",
    ),
    (
        "CREATE TABLE fires (schedule TEXT NOT NULL, due BIGINT NOT NULL,"
        " at DOUBLE PRECISION NOT NULL, start_by DOUBLE PRECISION NOT NULL,"
        " concurrency TEXT NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL, run TEXT NOT NULL,"
        " driver TEXT NOT NULL, reason TEXT NOT NULL, changed_at DOUBLE PRECISION NOT NULL,"
        " PRIMARY KEY (schedule, due)){clustered}",
        "CREATE INDEX fires_open ON fires (at) WHERE state IN ('due', 'claimed')",
        "CREATE INDEX fires_newest ON fires (at)",
        "CREATE TABLE schedule_facts (id {identity}, schedule TEXT NOT NULL, fact TEXT NOT NULL,"
        " by_whom TEXT NOT NULL, reason TEXT NOT NULL, at DOUBLE PRECISION NOT NULL)",
        "CREATE INDEX schedule_facts_newest ON schedule_facts (schedule, id)",
    ),
)
"""For each version, from 1 on, the statements that lead to it.

A target is locked by any number of leases of one run, so its locks have no unique key: two
leases of a run may hold it, and it is free when both gave it up. `locks` has its own order of
writing instead (`SqlJournal._one_at_a_time`).
"""

SQLITE: Mapping[str, str] = {
    "clustered": " WITHOUT ROWID",
    # Ids are never used twice, not even after a prune: `requests(after)` counts on it.
    "identity": "INTEGER PRIMARY KEY AUTOINCREMENT",
}
POSTGRES: Mapping[str, str] = {
    "clustered": "",
    "identity": "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
}


class Cursor(Protocol):
    """The part of a DB-API cursor that the journal uses."""

    @property
    def rowcount(self) -> int: ...

    def fetchall(self) -> list[Any]: ...


class Connection(Protocol):
    """A connection that takes the journal's statements, with `?` for each parameter."""

    def execute(self, statement: str, parameters: Sequence[Any] = ..., /) -> Cursor: ...

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]], /) -> Cursor: ...


def check_version(version: int, where: str) -> bool:
    """Whether a journal of that version needs migrating. Raises for one from the future."""
    if version > len(MIGRATIONS):
        raise JournalUnavailable(
            f"{where} was written by a newer chaosrun: it has schema version {version},"
            f" this one knows {len(MIGRATIONS)}",
            hint="use that chaosrun, or another journal",
            code="journal-too-new",
        )
    return version < len(MIGRATIONS)


def read_version(connection: Connection) -> int:
    """The schema version of a journal that has a `meta` table."""
    (row,) = connection.execute("SELECT value FROM meta WHERE name = 'schema'").fetchall()
    return int(row[0])


def create_meta(connection: Connection) -> None:
    """The table that is there before the first migration, at version 0."""
    connection.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    connection.execute("INSERT INTO meta VALUES ('schema', '0')")


def migrate(connection: Connection, words: Mapping[str, str], since: int) -> None:
    """Lead a journal from version `since` to this one's, within the caller's transaction."""
    for statements in MIGRATIONS[since:]:
        for statement in statements:
            connection.execute(statement.format_map(words))
    connection.execute("UPDATE meta SET value = ? WHERE name = 'schema'", (str(len(MIGRATIONS)),))
