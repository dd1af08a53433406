"""A world of files, a journal on disk, and an experiment about them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from chaosrun import discovery
from chaosrun import events as e
from chaosrun.engine import Engine
from chaosrun.events import AnyEvent
from chaosrun.journal import Journal, open_journal
from chaosrun.spec import Check, Experiment, ExperimentSpec, Guard, Metadata, Step
from chaosrun.units import Duration
from tests.engine.provider import provider


@pytest.fixture(autouse=True, scope="package")
def file_provider() -> Iterator[None]:
    """Let discovery find the provider `file` while these tests run."""
    real = discovery.builtin_providers
    discovery.builtin_providers = lambda: (*real(), provider)  # type: ignore[assignment]
    yield
    discovery.builtin_providers = real
    for cached in (discovery.fault, discovery.probe, discovery.gate):
        cached.cache_clear()


class World:
    """A directory of marks and a file that says how the system is."""

    def __init__(self, root: Path) -> None:
        self.faults = root / "faults"
        self.faults.mkdir()
        self.system = root / "system"
        self.says("well")

    def says(self, text: str) -> None:
        partial = self.system.with_suffix(".new")
        partial.write_text(text, encoding="utf-8")
        partial.replace(self.system)

    @property
    def marks(self) -> list[str]:
        return [p.name for p in self.faults.iterdir() if p.suffix != ".reverted"]

    def reverted_at(self) -> float:
        """When the first revert began, by the wall clock."""
        files = [p for p in self.faults.iterdir() if p.suffix == ".reverted"]
        return min(float(p.read_text(encoding="utf-8")) for p in files)

    def experiment(self, *, guarded: bool = False, **step: object) -> Experiment:
        probe = {"path": str(self.system)}
        guard = Guard(
            name="not well",
            probe="file.probe",
            with_={**probe, "timeout": "300ms"},
            every=Duration(0.05),
            when='text != "well"',
        )
        method = Step(
            name="break",
            fault="file.fault",
            with_={"directory": str(self.faults)},
            hold=Duration(0.2),
        )
        return Experiment(
            api_version="chaosrun.dev/v1",
            kind="Experiment",
            metadata=Metadata(name="files"),
            spec=ExperimentSpec(
                title="files",
                steady_state=(
                    Check(
                        name="is well",
                        probe="file.probe",
                        with_=probe,
                        every=Duration(0.05),
                        expect='text == "well"' if not guarded else "text.size() > 0",
                    ),
                ),
                method=(msgspec.structs.replace(method, **step),),
                abort_when=(guard,) if guarded else (),
                revert_within=Duration(2),
                recover_within=Duration(0.5),
            ),
        )


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = open_journal(f"sqlite:///{tmp_path}/state/journal.db")
    yield opened
    opened.close()


class Driven:
    """An engine whose loop runs on a thread, and the events it has made durable."""

    def __init__(self, journal: Journal) -> None:
        self.events: list[AnyEvent] = []
        self.engine = Engine(journal, observers=[lambda run, sequence, x: self.events.append(x)])
        self.results: dict[str, e.Finished] = {}
        self._thread = threading.Thread(target=self._drive, daemon=True)

    def start(self, experiment: Experiment, **more: object) -> str:
        run = self.engine.start(experiment, seed=1, **more)  # type: ignore[arg-type]
        self._thread.start()
        return run

    def _drive(self) -> None:
        self.results = self.engine.loop()

    def wait_for(self, kind: type[e.Event], timeout: float = 60.0) -> e.Event:
        return wait(lambda: next((x for x in self.events if isinstance(x, kind)), None), timeout)

    def end(self, timeout: float = 60.0) -> e.Finished:
        self._thread.join(timeout)
        assert not self._thread.is_alive(), "the run did not end"
        (finished,) = self.results.values()
        return finished


T = TypeVar("T")


def wait(look: Callable[[], T | None], timeout: float = 60.0) -> T:
    """What `look` gives once it gives something; fails after `timeout` seconds."""
    end = time.monotonic() + timeout
    while (found := look()) is None:
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)
    return found


@pytest.fixture
def driven(journal: Journal) -> Iterator[Driven]:
    driven = Driven(journal)
    yield driven
    driven.engine.close()
