"""Where the journal is, and how an older one becomes one of this version."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chaosrun.errors import JournalUnavailable, Rejected
from chaosrun.events import Verdict
from chaosrun.journal import default_url, open_journal, schema
from chaosrun.journal.claims import ALL, RUNS, Hit
from tests.journal.making import leased, started, whole

Execute = Callable[[str], None]


@pytest.fixture
def execute(url: str) -> Execute:
    """Runs a statement on the journal at `url`, beside it."""

    def on_sqlite(statement: str) -> None:
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        with connection:
            connection.execute(statement)
        connection.close()

    def on_postgres(statement: str) -> None:
        import psycopg

        with psycopg.connect(url, options="-csearch_path=chaosrun") as connection:
            connection.execute(statement.encode())

    return on_sqlite if url.startswith("sqlite") else on_postgres


def test_the_default_place_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CHAOSRUN_JOURNAL", "CHAOSRUN_STATE_DIR", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/ann")
    assert default_url() == "sqlite:////home/ann/.local/state/chaosrun/journal.db"
    monkeypatch.setenv("XDG_STATE_HOME", "not/absolute")
    assert default_url() == "sqlite:////home/ann/.local/state/chaosrun/journal.db"
    monkeypatch.setenv("XDG_STATE_HOME", "/var/state")
    assert default_url() == "sqlite:////var/state/chaosrun/journal.db"
    monkeypatch.setenv("CHAOSRUN_STATE_DIR", "here")
    assert default_url() == f"sqlite:///{os.getcwd()}/here/journal.db"
    monkeypatch.setenv("CHAOSRUN_JOURNAL", "postgresql://db/chaos")
    assert default_url() == "postgresql://db/chaos"


@pytest.mark.parametrize("url", ["", "journal.db", "mysql://db/x", "sqlite://x", "/var/x.db"])
def test_a_wrong_url_is_rejected_with_an_example(url: str) -> None:
    with pytest.raises(Rejected, match="starts with sqlite:/// or postgresql://") as caught:
        open_journal(url)
    assert caught.value.hint == "sqlite:////var/lib/chaosrun/journal.db"


def test_a_missing_driver_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['psycopg'] = None\n"
        "from chaosrun.errors import Rejected\n"
        "from chaosrun.journal import open_journal\n"
        "try: open_journal('postgresql://localhost/x')\n"
        "except Rejected as error: print(error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=30)
    assert done.stdout == b"pip install 'chaosrun[postgres]'\n"


def test_sqlite_needs_no_other_store(tmp_path: Path) -> None:
    program = (
        "import sys\n"
        "from chaosrun.journal import open_journal\n"
        "open_journal('sqlite:///' + sys.argv[1]).close()\n"
        "print([name for name in ('psycopg', 'sqlalchemy') if name in sys.modules])\n"
    )
    path = tmp_path / "journal.db"
    done = subprocess.run(
        [sys.executable, "-c", program, path], capture_output=True, timeout=30, check=True
    )
    assert done.stdout == b"[]\n"


def test_an_older_journal_is_migrated_and_keeps_its_events(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_journal(url)
    old.append("r", 0, whole("r", verdict=Verdict.DEVIATED))
    old.append("s", 0, [started("s", at=50.0), leased("l", "1")])
    events, runs, locks = list(old.events("r")), old.runs(), old.locks()
    old.close()
    newer = ("ALTER TABLE runs ADD COLUMN note TEXT NOT NULL DEFAULT ''",)
    monkeypatch.setattr(schema, "MIGRATIONS", [*schema.MIGRATIONS, newer])
    for _ in range(2):
        new = open_journal(url)
        assert (list(new.events("r")), new.runs(), new.locks()) == (events, runs, locks)
        new.close()


def test_what_was_in_place_before_claims_were_counted_is_counted(
    url: str, monkeypatch: pytest.MonkeyPatch, execute: Execute
) -> None:
    before = schema.MIGRATIONS
    monkeypatch.setattr(schema, "MIGRATIONS", before[:1])
    old = open_journal(url)
    old.append("r", 0, [started("r")])
    old.close()
    execute("INSERT INTO locks VALUES ('r', 'l', 'process:1', 3.0)")
    monkeypatch.setattr(schema, "MIGRATIONS", before)
    new = open_journal(url)
    standing = new.standing("another", [ALL, RUNS], ["process:1"])
    assert standing.claims == {ALL: {"process:1"}, RUNS: {"r"}}
    assert standing.hits == {"process:1": Hit("r", "l", 3.0)}
    new.close()


def test_a_migration_that_fails_leaves_the_journal_as_it_was(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = open_journal(url)
    old.append("r", 0, whole("r"))
    old.close()
    before = schema.MIGRATIONS
    broken = ("DELETE FROM events", "ALTER TABLE nowhere ADD COLUMN note TEXT")
    monkeypatch.setattr(schema, "MIGRATIONS", [*before, broken])
    with pytest.raises(JournalUnavailable, match="nowhere"):
        open_journal(url)
    monkeypatch.setattr(schema, "MIGRATIONS", before)
    again = open_journal(url)
    assert len(list(again.events("r"))) == 3
    again.close()


def test_a_newer_journal_is_refused(url: str, execute: Execute) -> None:
    open_journal(url).close()
    execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    with pytest.raises(JournalUnavailable, match="written by a newer chaosrun") as caught:
        open_journal(url)
    assert caught.value.code == "journal-too-new"
    assert "schema version 99" in str(caught.value)


@pytest.mark.parametrize(
    "damage",
    ["substr(body, 1, 20)", "replace(body, 'sampled', 'dreamt')", "'{}'", "''", "'null'"],
)
def test_an_event_that_cannot_be_read_is_named(url: str, execute: Execute, damage: str) -> None:
    journal = open_journal(url)
    journal.append("r", 0, whole("r"))
    execute(f"UPDATE events SET body = {damage} WHERE run = 'r' AND sequence = 1")
    events = journal.events("r")
    assert next(events) == started("r")
    with pytest.raises(JournalUnavailable, match="event 1 of run r cannot be read") as caught:
        next(events)
    assert caught.value.code == "event-unreadable"
    journal.close()


def test_a_hole_in_a_history_is_not_read_over(url: str, execute: Execute) -> None:
    journal = open_journal(url)
    journal.append("r", 0, whole("r"))
    execute("DELETE FROM events WHERE run = 'r' AND sequence = 1")
    with pytest.raises(JournalUnavailable, match="event 2 of run r does not follow"):
        list(journal.events("r"))
    journal.close()


@pytest.mark.parametrize(
    "damage",
    ["DELETE FROM halt", "UPDATE halt SET state = 'maybe'", "DROP TABLE halt"],
)
def test_a_halt_switch_that_cannot_be_read_is_an_error(
    url: str, execute: Execute, damage: str
) -> None:
    journal = open_journal(url)
    assert journal.halt() is None
    execute(damage)
    with pytest.raises(JournalUnavailable):
        journal.halt()
    if "DROP" not in damage:
        journal.set_halt(None)
        assert journal.halt() is None
    journal.close()


def test_a_line_of_a_newer_chaosrun_is_named(url: str, execute: Execute) -> None:
    journal = open_journal(url)
    journal.append("r", 0, whole("r"))
    execute("UPDATE runs SET verdict = 'splendid'")
    with pytest.raises(JournalUnavailable, match="the line of run r"):
        journal.runs()
    journal.close()
