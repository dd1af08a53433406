"""The stores that keep the journal's contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosrun.journal import Journal, open_journal
from chaosrun.journal.memory import MemoryJournal
from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]

_POSTGRES = pytest.param("postgres", marks=pytest.mark.postgres)


@pytest.fixture(params=["sqlite", _POSTGRES])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a durable journal that is not there yet."""
    if request.param == "postgres":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/state/journal.db"


@pytest.fixture(params=["sqlite", _POSTGRES, "memory"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    """An empty journal, of each kind."""
    opened: Journal
    if request.param == "memory":
        opened = MemoryJournal()
    elif request.param == "postgres":
        opened = open_journal(request.getfixturevalue("postgres_url"))
    else:
        opened = open_journal(f"sqlite:///{tmp_path}/state/journal.db")
    yield opened
    opened.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Journal]:
    opened = open_journal(f"sqlite:///{tmp_path}/state/journal.db")
    yield opened
    opened.close()
