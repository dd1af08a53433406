"""The journal in PostgreSQL: for drivers on several machines.

Law (L1, L9): an append has returned only when the server has committed it to its disk. No
wait is without end: a server that hangs is JournalUnavailable like one that is gone, and the
next use connects again. No error holds the URL's password.
"""

from __future__ import annotations

import hashlib
import os
import re
import select
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import Any, Final, Self
from weakref import WeakSet

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from chaosrun.errors import JournalUnavailable, Rejected
from chaosrun.journal.schema import (
    POSTGRES,
    Connection,
    Cursor,
    check_version,
    create_meta,
    migrate,
    read_version,
)
from chaosrun.journal.sql import Raced, SqlJournal
from chaosrun.units import Secret

ANSWER_SECONDS: Final = 10.0
"""How long a connected server may take to answer one statement."""

# A password with a bare @ or / would be taken for a part of the host or the database, and shown.
_URL: Final = re.compile(r"postgres(ql)?://([^@/?]*@)?[^@/?]*([/?][^@]*)?")
_DEFAULTS: Final = {
    "application_name": "chaosrun",
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
    "target_session_attrs": "read-write",
}
# The server's own keepalives tell it that a driver's machine is gone, which frees its lock.
# A stronger synchronous_commit than `on` stays as the database has it.
_SESSION: Final = """
    SET search_path = chaosrun;
    SET statement_timeout = '8s';
    SET lock_timeout = '5s';
    SET idle_in_transaction_session_timeout = '30s';
    SET idle_session_timeout = 0;
    SET tcp_keepalives_idle = 10;
    SET tcp_keepalives_interval = 5;
    SET tcp_keepalives_count = 3;
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') IN ('off', 'local');
"""
_HELD_LOCKS: Final = """
    SELECT key FROM (
        SELECT (classid::bigint << 32) | objid::bigint AS key FROM pg_locks
        WHERE locktype = 'advisory' AND objsubid = 1 AND granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ) AS held WHERE key = ANY(?::bigint[])
"""
_HARMLESS: Final = (
    errors.UniqueViolation,
    errors.DeadlockDetected,
    errors.SerializationFailure,
    errors.LockNotAvailable,
)
_HINTS: Final[dict[type[psycopg.Error], str]] = {
    errors.InvalidPassword: "look at the user and the password of the journal's URL",
    errors.InvalidCatalogName: "create it with `createdb`, or name another one in the URL",
    errors.InsufficientPrivilege: "grant it: CREATE on the database, or all on schema chaosrun",
    errors.DiskFull: "free some space on the server's disk",
    errors.ReadOnlySqlTransaction: "the server is a standby: name the primary in the URL",
    errors.LockNotAvailable: "another process holds a lock: look at pg_locks, and try again",
    errors.UndefinedTable: "the journal's tables are gone: was the database replaced?",
}


class PostgresJournal(SqlJournal):
    """A journal for the processes of many machines."""

    blink = 1.0
    _for_update = " FOR UPDATE"

    def __init__(self, parameters: dict[str, Any]) -> None:
        super().__init__(f"the journal {_shown(parameters)}")
        self._password = Secret(str(parameters.get("password") or ""))
        address = Secret(make_conninfo(**{**_DEFAULTS, **parameters}))
        self._writer, self._reader = _Line(address), _Line(address)
        # A driver's lock lives and dies with a connection of its own, which runs no statement
        # that could fail.
        self._presence = _Line(address)
        self._drivers: dict[str, psycopg.Connection | None] = {}

    @classmethod
    def open(cls, url: str) -> Self:
        """The journal at that URL, migrated as needed. Raises Rejected and JournalUnavailable."""
        try:
            if not _URL.fullmatch(url):
                raise psycopg.ProgrammingError
            journal = cls(dict(conninfo_to_dict(url)))
        except psycopg.Error:  # whose text may quote a part of the password
            raise Rejected(
                "the journal's URL is not one that PostgreSQL knows",
                hint="postgresql://USER:PASSWORD@HOST:5432/DATABASE, with %40 for an @ and %2F for"
                " a / in the password",
            ) from None
        try:
            journal._write(journal._migrate)
        except BaseException:
            journal.close()
            raise
        return journal

    def register(self, driver: str) -> None:
        with self._translated():
            self._drivers.setdefault(driver, None)
            self._keep_registered()
            if self._drivers[driver] is None:
                del self._drivers[driver]
                raise JournalUnavailable(
                    f"another process is registered as driver {driver}",
                    hint="each process needs a driver name of its own",
                )

    def now(self) -> float:
        with self._reading() as connection:
            rows = connection.execute("SELECT extract(epoch FROM clock_timestamp())").fetchall()
        return float(rows[0][0])

    def close(self) -> None:
        self._drivers.clear()
        for line in (self._reader, self._writer, self._presence):
            line.close()

    def _living(self, drivers: Iterable[str]) -> set[str]:
        keys = {_key(f"driver {driver}"): driver for driver in drivers}
        with self._reading() as connection:
            held = connection.execute(_HELD_LOCKS, (list(keys),)).fetchall()
        return {keys[key] for (key,) in held}

    def _one_at_a_time(self, connection: Connection) -> None:
        connection.execute("SELECT pg_advisory_xact_lock(?)", (_key("one at a time"),))

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._translated():
            self._keep_registered()
            with self._writer.use() as connection, connection.transaction():
                yield _Statements(connection)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        with self._translated():
            self._keep_registered()
            with self._reader.use() as connection:
                yield _Statements(connection)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Turn the server's errors into Raced or JournalUnavailable."""
        try:
            yield
        except (errors.UniqueViolation, errors.DeadlockDetected, errors.SerializationFailure):
            raise Raced from None
        except psycopg.Error as error:
            said = error.diag.message_primary or " ".join(str(error).split()) or "no answer"
            if password := self._password.reveal():
                said = said.replace(password, "***")
            kinds = [kind for kind in _HINTS if isinstance(error, kind)]
            hint = _HINTS[kinds[0]] if kinds else "is the server up, and reachable from here?"
            raise JournalUnavailable(f"{self.where} cannot be used: {said}", hint=hint) from None

    def _keep_registered(self) -> None:
        """Take the drivers' locks, again where the connection that had them was lost."""
        if not self._drivers:
            return
        with self._presence.use() as connection:
            for driver, holder in list(self._drivers.items()):
                if holder is not connection:
                    # Not given when the server still takes our lost connection for alive: then
                    # that one stands for us, and this is tried again.
                    key = _key(f"driver {driver}")
                    row = connection.execute("SELECT pg_try_advisory_lock(%s)", (key,)).fetchone()
                    self._drivers[driver] = connection if row == (True,) else None

    def _migrate(self, connection: Connection) -> None:
        there = _there(connection, "to_regclass('meta')")
        if there and not check_version(read_version(connection), self.where):
            return
        connection.execute("SELECT pg_advisory_xact_lock(?)", (_key("migrate"),))
        if not _there(connection, "to_regnamespace('chaosrun')"):
            connection.execute("CREATE SCHEMA chaosrun")
        if not _there(connection, "to_regclass('meta')"):
            create_meta(connection)
        if check_version(version := read_version(connection), self.where):
            migrate(connection, POSTGRES, version)


class _Line:
    """A connection that one thread at a time uses, and that is opened again when it was lost."""

    def __init__(self, address: Secret) -> None:
        self._address = address
        self._lock = Lock()
        self._connection: psycopg.Connection | None = None

    @contextmanager
    def use(self) -> Iterator[psycopg.Connection]:
        """The connection. After an error it is dropped: nobody knows what state it is in."""
        with self._lock:
            if self._connection is None or _broken(self._connection):
                self._disconnect()
                self._connection = self._connect()
            try:
                yield self._connection
            except psycopg.Error as error:
                if not isinstance(error, _HARMLESS):
                    self._disconnect()
                raise

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    def _connect(self) -> psycopg.Connection:
        connection = _Bounded.connect(self._address.reveal(), autocommit=True)
        _open.add(connection)
        try:
            connection.isolation_level = psycopg.IsolationLevel.READ_COMMITTED
            connection.execute(_SESSION)
        except BaseException:
            connection.close()
            raise
        return connection

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Bounded(psycopg.Connection[tuple[Any, ...]]):
    """A connection that does not wait for an answer without end.

    The server's own statement_timeout says nothing when the server hangs.
    """

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        return super().wait(self._with_deadline(gen), *args, **kwargs)

    def _with_deadline(self, gen: Any) -> Any:
        deadline = time.monotonic() + ANSWER_SECONDS
        try:
            state = next(gen)
            while True:
                ready = yield state  # nothing ready, ten times a second, while we wait
                if not ready and time.monotonic() > deadline:
                    self.close()  # so that no rollback is tried on it
                    raise psycopg.OperationalError(f"no answer within {ANSWER_SECONDS:g}s")
                state = gen.send(ready)
        except StopIteration as done:
            return done.value


class _Statements:
    """A PostgreSQL connection that takes the shared statements, with `?` for each parameter."""

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Cursor:
        return self._connection.execute(_percent(statement), parameters)

    def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> Cursor:
        cursor = self._connection.cursor()
        cursor.executemany(_percent(statement), rows)
        return cursor


def _broken(connection: psycopg.Connection) -> bool:
    """Whether the connection was lost, found out without asking the server where nothing is."""
    if connection.closed:
        return True
    idle = select.poll()
    idle.register(connection.fileno(), select.POLLIN)
    if not idle.poll(0):
        return False
    try:
        connection.execute("SELECT 1")  # what came in is a notice, or the end
    except psycopg.Error:
        return True
    return False


def _there(connection: Connection, lookup: str) -> bool:
    return bool(connection.execute(f"SELECT {lookup} IS NOT NULL").fetchall()[0][0])


def _shown(parameters: dict[str, Any]) -> str:
    """The address without its password."""
    user, host, port, name = (parameters.get(k) for k in ("user", "host", "port", "dbname"))
    return (
        f"postgresql://{f'{user}@' if user else ''}{host or ''}{f':{port}' if port else ''}"
        f"/{name or user or ''}"
    )


@cache
def _percent(statement: str) -> str:
    return statement.replace("?", "%s")


def _key(name: str) -> int:
    """The number of an advisory lock."""
    digest = hashlib.blake2b(f"chaosrun {name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)


_open: WeakSet[psycopg.Connection] = WeakSet()


def _let_go() -> None:
    # A forked child shares the sockets, and would keep a dead driver alive. Its numbers must
    # stay taken: libpq still knows them.
    with open(os.devnull, "r+b", buffering=0) as nothing:
        for connection in _open:
            if not connection.closed:
                os.dup2(nothing.fileno(), connection.fileno(), inheritable=False)


os.register_at_fork(after_in_child=_let_go)
