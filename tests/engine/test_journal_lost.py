"""A journal that is lost in the middle of a run: nothing more is injected, all is reverted."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosrun import engine
from chaosrun import events as e
from chaosrun.errors import JournalUnavailable
from chaosrun.events import Verdict
from chaosrun.journal import Journal, open_journal
from chaosrun.recovery import dead_runs, recover
from chaosrun.run import fold
from chaosrun.units import Duration
from tests.engine.conftest import Driven, World, wait
from tests.journal.test_sqlite import on_a_disk_of_its_own
from tests.postgres import PostgresServer, postgres_server

__all__ = ["postgres_server"]

_PROMPT = 40.0
"""Longer than any journal waits for a lock or a connection, in seconds."""

_FULL_DISK = """
import pathlib, sys
from chaosrun import discovery, engine, events as e
from chaosrun.journal import open_journal
from chaosrun.units import Duration
from tests.engine.conftest import Driven, World
from tests.engine.provider import provider

engine._JOURNAL_PATIENCE = 3.0
real = discovery.builtin_providers
discovery.builtin_providers = lambda: (*real(), provider)
disk = pathlib.Path(sys.argv[1])
world = World(pathlib.Path(sys.argv[1]).parent / "world")
driven = Driven(open_journal(f"sqlite:///{disk}/journal.db"))
driven.start(world.experiment(hold=Duration(60)))
driven.wait_for(e.EffectSeen)
assert world.marks
with (disk / "filler").open("wb", buffering=0) as filler:
    try:
        while True:
            filler.write(b"x" * 512)
    except OSError:
        pass
finished = driven.end(60)
assert finished.verdict == "error", finished
assert world.marks == [], world.marks
print("as promised")
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a lost journal up after three seconds instead of fifteen."""
    monkeypatch.setattr(engine, "_JOURNAL_PATIENCE", 3.0)


@pytest.fixture
def driven(journal: Journal) -> Iterator[Driven]:
    driven = Driven(journal)
    yield driven
    driven.engine.close()


def test_a_full_disk_ends_the_run_and_the_fault(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "world").mkdir()
    assert on_a_disk_of_its_own(_FULL_DISK, tmp_path / "disk").endswith("as promised\n")


def test_a_journal_locked_by_another_ends_the_run_and_the_fault(
    world: World, driven: Driven, tmp_path: Path
) -> None:
    driven.start(world.experiment(hold=Duration(60)))
    driven.wait_for(e.EffectSeen)
    other = sqlite3.connect(tmp_path / "state" / "journal.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    locked = time.time()
    wait(lambda: None if world.marks else True, _PROMPT)
    assert world.reverted_at() - locked < _PROMPT
    other.execute("ROLLBACK")
    other.close()
    assert driven.end().verdict is Verdict.ERROR


def test_a_deleted_journal_ends_the_run_and_the_fault(
    world: World, driven: Driven, tmp_path: Path
) -> None:
    driven.start(world.experiment(hold=Duration(60)))
    driven.wait_for(e.EffectSeen)
    (tmp_path / "state").rename(tmp_path / "elsewhere")
    wait(lambda: None if world.marks else True, _PROMPT)
    finished = driven.end(60)
    assert finished.verdict is Verdict.ERROR
    (tmp_path / "elsewhere").rename(tmp_path / "state")
    journal = open_journal(f"sqlite:///{tmp_path}/state/journal.db")
    (run,) = journal.runs()
    assert fold(journal.events(run.run)).owed != (), "what it holds is still owed"
    driven.engine.close()
    results = recover(journal, [run.run])
    assert results[run.run].verdict is not Verdict.PASSED
    assert journal.locks() == []
    journal.close()


@pytest.mark.postgres
def test_a_killed_database_ends_the_run_and_the_fault(
    world: World, postgres_server: PostgresServer
) -> None:
    with postgres_server.database() as url:
        journal = open_journal(url)
        driven = Driven(journal)
        driven.start(world.experiment(hold=Duration(60)))
        driven.wait_for(e.EffectSeen)
        postgres_server.kill()
        wait(lambda: None if world.marks else True, _PROMPT)
        finished = driven.end(90)
        driven.engine.close()
        journal.close()
        postgres_server.start()
        assert finished.verdict is Verdict.ERROR
        after = open_journal(url)
        recover(after, [row.run for row in dead_runs(after)])
        assert after.locks() == []
        assert all(fold(after.events(row.run)).owed == () for row in after.runs())
        after.close()


def test_without_a_journal_there_is_no_run(world: World, tmp_path: Path) -> None:
    journal = open_journal(f"sqlite:///{tmp_path}/state/journal.db")
    (tmp_path / "state").rename(tmp_path / "elsewhere")
    driven = Driven(journal)
    with pytest.raises(Exception, match="journal"):
        driven.start(world.experiment())
    assert world.marks == []
    driven.engine.close()
    journal.close()


def test_a_journal_that_never_answers_ends_the_run_and_the_fault(
    world: World, driven: Driven, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_NO_ANSWER_FROM_DISK", 0.5)
    driven.start(world.experiment(hold=Duration(60)))
    driven.wait_for(e.EffectSeen)
    answer = threading.Event()

    def hang(batches: object) -> list[Exception | None]:
        answer.wait(60)
        raise JournalUnavailable("too late")

    monkeypatch.setattr(journal, "append_many", hang)
    wait(lambda: None if world.marks else True, _PROMPT)
    finished = driven.end(60)
    assert finished.verdict is Verdict.ERROR
    assert "does not answer" in finished.reason
    answer.set()
