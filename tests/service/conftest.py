"""Stores with an agenda, and a place with schedules and an experiment that leaves a mark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosrun.journal import Store, open_journal
from tests.postgres import postgres_server, postgres_url
from tests.service.place import Place

__all__ = ["postgres_server", "postgres_url"]


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    """An empty journal on a disk, of each kind."""
    if request.param == "postgres":
        url = str(request.getfixturevalue("postgres_url"))
    else:
        url = f"sqlite:///{tmp_path}/state/journal.db"
    opened = open_journal(url)
    yield opened
    opened.close()


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    opened = open_journal(f"sqlite:///{tmp_path}/state/journal.db")
    yield opened
    opened.close()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.close()
