"""A lab of this test session, on ports that nobody uses."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosrun.lab import control
from chaosrun.lab.world import World
from chaosrun.providers.host import runtime
from chaosrun.units import Duration
from tests.lab.ports import free_first_port


@pytest.fixture(scope="session", autouse=True)
def _own_runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No proxy of these tests is where this machine's are."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(runtime.VARIABLE, str(tmp_path_factory.mktemp("run") / "chaosrun"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _patient() -> Iterator[None]:
    """A part may take its time on a machine that stands still for seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(control, "_START_SECONDS", 90.0)
        patch.setattr(control, "_ANSWER_SECONDS", 10.0)
        yield


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A lab that is up and healthy."""
    directory = tmp_path_factory.mktemp("lab")
    up = control.up(directory, first_port=free_first_port(), lasts=Duration(900))
    assert up.world is not None
    yield up.world
    control.down(directory)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A place for a lab of the test's own, of which nothing is left after it."""
    monkeypatch.setenv(runtime.VARIABLE, str(tmp_path / "run"))
    yield tmp_path / "lab"
    control.down(tmp_path / "lab")
