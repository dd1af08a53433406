"""What can happen to a file: a full, read-only or lost disk, other processes, damage."""

from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaosrun.errors import JournalUnavailable, Rejected
from chaosrun.journal import Journal, open_journal
from chaosrun.journal import sqlite as sqlite_module
from chaosrun.journal import statements as q
from chaosrun.journal.sqlite import SqliteJournal
from tests.journal.making import process, sampled, started, whole

_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
print("free", flush=True)
"""

_FULL_DISK = """
import os, sqlite3, sys
from chaosrun.errors import JournalUnavailable
from chaosrun.journal import open_journal
from tests.journal.making import sampled, started

directory = sys.argv[1]
with open(f"{directory}/ballast", "wb") as ballast:
    ballast.write(bytes(300_000))
journal = open_journal(f"sqlite:///{directory}/journal.db")
journal.append("r", 0, [started("r")])
written, failed = 1, None
while failed is None:
    group = [sampled(at=written + i, note="x" * 2000) for i in range(3)]
    try:
        journal.append("r", written, group)
        written += len(group)
    except JournalUnavailable as error:
        failed = error
assert "the disk is full" in str(failed), failed
assert "CHAOSRUN_JOURNAL" in failed.hint, failed.hint
assert [e.at for e in journal.events("r", since=1)] == list(range(1, written)), "half-written"
try:
    journal.append("r", written, group)
except JournalUnavailable:
    pass
else:
    raise AssertionError("the disk is still full")
os.unlink(f"{directory}/ballast")
journal.append("r", written, group)
written += len(group)
assert [e.at for e in journal.events("r", since=1)] == list(range(1, written))
journal.close()
again = sqlite3.connect(f"{directory}/journal.db")
assert again.execute("PRAGMA integrity_check").fetchone() == ("ok",)
assert again.execute("SELECT COUNT(*) FROM events").fetchone() == (written,)
print("as promised")
"""

_READ_ONLY = """
import subprocess, sys
from chaosrun.errors import JournalUnavailable
from chaosrun.journal import open_journal
from tests.journal.making import started

directory = sys.argv[1]
url = f"sqlite:///{directory}/journal.db"
journal = open_journal(url)
journal.append("r", 0, [started("r")])
journal.close()
subprocess.run(["mount", "-o", "remount,ro", directory], check=True)
for one in (url, f"sqlite:///{directory}/new/journal.db"):
    try:
        open_journal(one).append("r", 1, [started("r")])
    except JournalUnavailable as error:
        assert "read-only" in str(error).lower(), error
        assert "CHAOSRUN_JOURNAL" in error.hint
    else:
        raise AssertionError("read-only, and nobody noticed")
subprocess.run(["mount", "-o", "remount,rw", directory], check=True)
journal = open_journal(url)
assert len(list(journal.events("r"))) == 1
journal.close()
print("as promised")
"""

_FILE_LIMIT = """
import resource, sys
from chaosrun.errors import JournalUnavailable
from chaosrun.journal import open_journal
from tests.journal.making import sampled, started

journal = open_journal(f"sqlite:///{sys.argv[1]}/journal.db")
journal.append("r", 0, [started("r")])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
written, failed = 1, None
while failed is None:
    try:
        journal.append("r", written, [sampled(at=written, note="x" * 3000)])
        written += 1
    except JournalUnavailable as error:
        failed = error
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
assert [e.at for e in journal.events("r", since=1)] == list(range(1, written))
journal.append("r", written, [sampled(at=written)])
assert len(list(journal.events("r"))) == written + 1
journal.close()
print("as promised")
"""


def on_a_disk_of_its_own(program: str, directory: Path) -> str:
    """What the program says, run where `directory` is a small disk that nobody else sees."""
    words = ["unshare", "--mount", *(["--user", "--map-root-user"] if os.getuid() else [])]
    mount = 'mount -t tmpfs -o size=1m small "$1" && shift && exec "$@"'
    if subprocess.run([*words, "true"], capture_output=True, timeout=20).returncode:
        pytest.skip("needs a mount namespace: run as root, or in a container with --privileged")
    done = subprocess.run(
        [*words, "sh", "-c", mount, "sh", directory, sys.executable, "-c", program, directory],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return done.stdout + done.stderr


def reconnected(journal: Journal) -> bool:
    assert isinstance(journal, SqliteJournal)
    return journal._writer._connection is not None


def where(journal: Journal) -> Path:
    assert isinstance(journal, SqliteJournal)
    return journal.path


def test_only_its_owner_may_read_a_journal(sqlite: Journal) -> None:
    sqlite.append("r", 0, [started("r")])
    path = where(sqlite)
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    files = [path, Path(f"{path}-wal"), Path(f"{path}-shm")]
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_an_append_is_on_the_disk_when_it_returns(sqlite: Journal) -> None:
    assert isinstance(sqlite, SqliteJournal)
    assert sqlite._writer._connection is not None
    settings = [
        sqlite._writer._connection.execute(f"PRAGMA {name}").fetchone()[0]
        for name in ("journal_mode", "synchronous")
    ]
    assert settings == ["wal", 2], "2 is FULL: the log is synced at every commit"


def test_a_full_disk_tears_nothing_and_works_again_with_room(tmp_path: Path) -> None:
    assert on_a_disk_of_its_own(_FULL_DISK, tmp_path) == "as promised\n"


def test_a_read_only_disk_is_said_to_be_so(tmp_path: Path) -> None:
    assert on_a_disk_of_its_own(_READ_ONLY, tmp_path) == "as promised\n"


def test_a_write_that_fails_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with process(_FILE_LIMIT, str(tmp_path)) as child:
        assert child.communicate(timeout=30)[0] == "as promised\n"


def test_a_file_in_place_of_the_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("")
    with pytest.raises(
        JournalUnavailable, match=r"journal\.db cannot be used: Not a directory"
    ) as caught:
        open_journal(f"sqlite:///{tmp_path}/state/journal.db")
    assert "CHAOSRUN_JOURNAL" in caught.value.hint


def test_a_locked_journal_is_waited_for_and_not_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_module, "BUSY_SECONDS", 0.3)
    journal = open_journal(f"sqlite:///{tmp_path}/journal.db")
    journal.append("r", 0, [started("r")])
    with process(_LOCK, str(tmp_path / "journal.db")) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "locked\n"
        began = time.monotonic()
        with pytest.raises(JournalUnavailable, match="another process has kept it locked"):
            journal.append("r", 1, [sampled()])
        assert 0.2 < time.monotonic() - began < 20
        assert len(list(journal.events("r"))) == 1, "reading goes on beside a writer"
        assert journal.halt() is None
        child.stdin.write("\n")
        child.stdin.flush()
        assert child.stdout.readline() == "free\n"
    journal.append("r", 1, [sampled()])
    journal.close()


def test_a_journal_that_was_deleted_is_not_written_to(sqlite: Journal) -> None:
    sqlite.append("r", 0, [started("r")])
    for file in where(sqlite).parent.glob("journal.db*"):
        file.unlink()
    for use in (lambda: sqlite.append("r", 1, [sampled()]), sqlite.halt, sqlite.runs):
        with pytest.raises(JournalUnavailable):
            use()
    assert not where(sqlite).exists(), "an empty one would hide what is owed"


def test_a_journal_that_was_moved_away_works_again_when_it_is_back(sqlite: Journal) -> None:
    sqlite.append("r", 0, [started("r")])
    elsewhere = where(sqlite).with_name("elsewhere.db")
    where(sqlite).rename(elsewhere)
    with pytest.raises(JournalUnavailable, match="was removed or replaced"):
        sqlite.append("r", 1, [sampled()])
    with pytest.raises(JournalUnavailable, match="it is gone"):
        sqlite.halt()
    elsewhere.rename(where(sqlite))
    sqlite.append("r", 1, [sampled()])
    assert list(sqlite.events("r")) == [started("r"), sampled()]


def test_a_journal_that_was_replaced_does_not_take_up_half_a_run(sqlite: Journal) -> None:
    sqlite.append("r", 0, [started("r")])
    for file in where(sqlite).parent.glob("journal.db*"):
        file.unlink()
    other = open_journal(f"sqlite:///{where(sqlite)}")
    other.append("s", 0, whole("s"))
    with pytest.raises(JournalUnavailable, match="was removed or replaced"):
        sqlite.append("r", 1, [sampled()])
    with pytest.raises(JournalUnavailable) as caught:
        sqlite.append("r", 1, [sampled()])
    assert caught.value.code == "history-lost"
    assert len(list(sqlite.events("s"))) == 3
    other.append("t", 0, whole("t"))
    other.close()


def test_a_log_that_was_deleted_is_noticed(sqlite: Journal) -> None:
    sqlite.append("r", 0, [started("r")])
    Path(f"{where(sqlite)}-wal").unlink()
    with pytest.raises(JournalUnavailable, match="was removed or replaced"):
        sqlite.append("r", 1, [sampled()])


def test_a_damaged_file_is_said_to_be_so(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    url = f"sqlite:///{path}"
    journal = open_journal(url)
    journal.append_many([(f"r{i}", 0, whole(f"r{i}")) for i in range(50)])
    journal.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xaa" * (size - 4096))
    with pytest.raises(JournalUnavailable, match="it is damaged") as caught:
        open_journal(url).halt()
    assert "restore it" in caught.value.hint
    path.write_bytes(b"this is a letter to my aunt, and no database at all" * 100)
    with pytest.raises(JournalUnavailable, match="it is no SQLite file"):
        open_journal(url)


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "browser.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE events (id INTEGER)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(JournalUnavailable, match="is another program's database"):
        open_journal(f"sqlite:///{path}")
    assert path.read_bytes() == before


@pytest.mark.parametrize("path", ["", ":memory:", "/tmp/", "a\0b"])
def test_a_path_that_can_hold_no_journal_is_rejected(path: str) -> None:
    with pytest.raises(Rejected, match="a journal needs the path of a file"):
        open_journal(f"sqlite:///{path}")


def test_an_error_leaves_the_journal_usable(sqlite: Journal) -> None:
    assert isinstance(sqlite, SqliteJournal)
    sqlite.append("r", 0, [started("r")])
    assert sqlite._writer._connection is not None
    sqlite._writer._connection.close()
    with pytest.raises(JournalUnavailable):
        sqlite.append("r", 1, [sampled()])
    sqlite.append("r", 1, [sampled()])
    assert reconnected(sqlite)


def test_a_run_is_listed_without_reading_all_runs(sqlite: Journal) -> None:
    assert isinstance(sqlite, SqliteJournal)
    assert sqlite._writer._connection is not None
    plan = sqlite._writer._connection.execute(
        "EXPLAIN QUERY PLAN " + q.RUNS + q.UNFINISHED + q.NEWEST_FIRST
    ).fetchall()
    assert any("runs_unfinished" in row[3] for row in plan), plan
    assert not any("TEMP B-TREE" in row[3] for row in plan), plan
