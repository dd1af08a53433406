"""The journal in one SQLite file: the default.

Law (L1): an append has returned only when it is on the disk (WAL, `synchronous=FULL`). What
fails is rolled back whole, and the next use opens the file again, so a journal that comes
back works again. A file that was removed or replaced is noticed, never written to.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import Final, Self

from chaosrun.errors import JournalUnavailable, Rejected
from chaosrun.journal.liveness import DriverLocks
from chaosrun.journal.schema import (
    SQLITE,
    Connection,
    check_version,
    create_meta,
    migrate,
    read_version,
)
from chaosrun.journal.sql import SqlJournal

BUSY_SECONDS: Final = 5.0
"""How long an append waits for another process that is writing."""

_APPLICATION_ID: Final = 0x43484153  # "CHAS": tells our files from another program's
_NO_CHECKPOINT_ON_CLOSE: Final = 1006  # SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE in sqlite3.h
_ELSEWHERE: Final = "or use another journal: --journal or CHAOSRUN_JOURNAL"
_HINTS: Final = {
    sqlite3.SQLITE_FULL: ("the disk is full", f"free some space, {_ELSEWHERE}"),
    sqlite3.SQLITE_READONLY: ("it is read-only", f"make it writable, {_ELSEWHERE}"),
    sqlite3.SQLITE_PERM: ("no permission", f"change its owner or mode, {_ELSEWHERE}"),
    sqlite3.SQLITE_CANTOPEN: ("it is gone, or cannot be opened", f"put it back, {_ELSEWHERE}"),
    sqlite3.SQLITE_IOERR: ("the disk failed", f"look at the disk, {_ELSEWHERE}"),
    sqlite3.SQLITE_BUSY: (
        f"another process has kept it locked for {BUSY_SECONDS:g}s",
        "find it with `fuser` or `lsof`; try again when it is done",
    ),
    sqlite3.SQLITE_CORRUPT: ("it is damaged", f"restore it from a copy, {_ELSEWHERE}"),
    sqlite3.SQLITE_NOTADB: ("it is no SQLite file", f"look at the path, {_ELSEWHERE}"),
}


class SqliteJournal(SqlJournal):
    """A journal for the processes of one machine."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"the journal {path}")
        self.path = path
        self._writer, self._reader = _Line(path, self.where), _Line(path, self.where)
        self._drivers = DriverLocks(path.parent / "drivers")
        self._registering = Lock()

    @classmethod
    def open(cls, path: str) -> Self:
        """The journal at that path, created and migrated as needed.

        Raises Rejected for a path that can hold none, and JournalUnavailable.
        """
        if not path or path == ":memory:" or "\0" in path or path.endswith("/"):
            raise Rejected(
                f"a journal needs the path of a file, not {path!r}",
                hint="sqlite:////var/lib/chaosrun/journal.db",
            )
        journal = cls(Path(path).absolute())
        with _translated(journal.path, journal.where):
            if not journal.path.exists():
                journal.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.close(os.open(journal.path, os.O_RDWR | os.O_CREAT, 0o600))
        with journal._writer.use():
            return journal

    def register(self, driver: str) -> None:
        with self._registering, _translated(self.path, self.where):
            self._drivers.register(driver)

    def now(self) -> float:
        return time.time()

    def close(self) -> None:
        with self._registering:
            self._drivers.close()
        for line in (self._reader, self._writer):
            line.close()

    def _living(self, drivers: Iterable[str]) -> set[str]:
        with _translated(self.path, self.where):
            return {driver for driver in drivers if self._drivers.alive(driver)}

    def _one_at_a_time(self, connection: Connection) -> None:
        """SQLite has one writer at a time."""

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writer.use() as connection:
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):  # what made it fail says more
                        connection.rollback()
            self._writer.check_files()  # before anybody is told that it is durable

    def _reading(self) -> AbstractContextManager[sqlite3.Connection]:
        return self._reader.use()


class _Line:
    """A connection that one thread at a time uses, and that is opened again when it failed."""

    def __init__(self, path: Path, where: str) -> None:
        self._path, self._where = path, where
        self._lock = Lock()
        self._connection: sqlite3.Connection | None = None
        self._files: tuple[tuple[int, int], ...] = ()

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        """The connection, to the file that is at the path now. Raises JournalUnavailable."""
        with self._lock, _translated(self._path, self._where):
            try:
                if self._connection is None:
                    self._connect()
                else:
                    self.check_files()
                assert self._connection is not None
                yield self._connection
            except (sqlite3.Error, OSError) as error:
                if _kind(error, self._path) != sqlite3.SQLITE_BUSY:
                    self._disconnect()
                raise

    def check_files(self) -> None:
        """Raise JournalUnavailable when the path has come to name other files, or none."""
        try:
            same = self._identity() == self._files
        except FileNotFoundError:
            same = False
        if not same:
            self._disconnect()
            raise JournalUnavailable(
                f"{self._where} was removed or replaced while it was in use",
                hint="put it back; what is owed is still reverted, and nothing new is injected",
            )

    def close(self) -> None:
        with self._lock:
            self._disconnect()

    def _connect(self) -> None:
        connection = sqlite3.connect(
            f"{self._path.as_uri()}?mode=rw", uri=True, timeout=BUSY_SECONDS,
            isolation_level=None, check_same_thread=False,
        )  # fmt: skip
        try:
            _create(connection, self._where)
            connection.execute("PRAGMA synchronous = FULL")
            if check_version(read_version(connection), self._where):
                connection.execute("BEGIN IMMEDIATE")
                migrate(connection, SQLITE, read_version(connection))
                connection.execute("COMMIT")
            self._files = self._identity()
        except BaseException:
            connection.close()
            raise
        self._connection = connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            same = self._identity() == self._files
        except OSError:
            same = False
        setconfig = getattr(connection, "setconfig", None)  # from Python 3.12 on
        with suppress(sqlite3.Error):
            if not same and setconfig is not None:
                # The last to close a file removes the log beside its path: another file's log.
                setconfig(_NO_CHECKPOINT_ON_CLOSE, True)
        with suppress(sqlite3.Error):
            connection.close()

    def _identity(self) -> tuple[tuple[int, int], ...]:
        """Which files are at the journal's path and beside it: the database, and its log."""
        stats = (os.stat(self._path), os.stat(f"{self._path}-wal"))
        return tuple((stat.st_dev, stat.st_ino) for stat in stats)


@contextmanager
def _translated(path: Path, where: str) -> Iterator[None]:
    """Turn errors of the disk and of SQLite into JournalUnavailable."""
    try:
        yield
    except sqlite3.Error as error:
        said, hint = _HINTS.get(_kind(error, path), (str(error), _ELSEWHERE.removeprefix("or ")))
        raise JournalUnavailable(f"{where} cannot be used: {said}", hint=hint) from None
    except OSError as error:
        said = error.strerror or str(error)
        if isinstance(error, FileExistsError):  # what mkdir says of a file in its way
            said = os.strerror(errno.ENOTDIR)
        place = f" ({error.filename})" if error.filename not in (None, str(path)) else ""
        hint = f"look at its directory, {_ELSEWHERE}"
        raise JournalUnavailable(f"{where} cannot be used: {said}{place}", hint=hint) from None


def _kind(error: Exception, path: Path) -> int:
    """What went wrong, as one of `_HINTS`."""
    # Python's own sqlite3 errors have no code; a code's low byte is its kind.
    kind: int = getattr(error, "sqlite_errorcode", 0) & 0xFF
    there = kind == sqlite3.SQLITE_CANTOPEN and path.exists()
    if there and not all(os.access(place, os.W_OK) for place in (path, path.parent)):
        return sqlite3.SQLITE_READONLY
    return kind


def _create(connection: sqlite3.Connection, where: str) -> None:
    """Make an empty file a journal, at version 0. Safe when several processes do it."""
    if not _claim(connection, where):
        return
    deadline = time.monotonic() + BUSY_SECONDS
    while True:  # SQLite does not wait for the lock that changing the mode needs
        try:
            (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
            break
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
    if mode != "wal":
        raise JournalUnavailable(
            f"{where} is on a file system that cannot keep SQLite's log",
            hint=f"put it on a local disk, {_ELSEWHERE}",
        )
    connection.execute("BEGIN IMMEDIATE")
    if _claim(connection, where):
        connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
        create_meta(connection)
    connection.execute("COMMIT")


def _claim(connection: sqlite3.Connection, where: str) -> bool:
    """Whether the file is empty, and so may become a journal. Raises for another program's."""
    ours, tables = connection.execute(
        "SELECT (SELECT application_id FROM pragma_application_id),"
        " (SELECT COUNT(*) FROM sqlite_master)"
    ).fetchone()
    if ours == _APPLICATION_ID:
        return False
    if tables:
        raise JournalUnavailable(
            f"{where} is another program's database", hint=_ELSEWHERE.removeprefix("or ")
        )
    return True
