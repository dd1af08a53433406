"""An engine that serves: any thread brings it runs, and it ends when it may and all have ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from chaosrun import events as e
from chaosrun.engine import Engine
from chaosrun.errors import SequenceTaken
from chaosrun.events import Verdict
from chaosrun.journal import Journal
from chaosrun.policy.policies import Policies
from tests.engine.conftest import World, wait


class Serving:
    """An engine that serves on a thread, and what it told."""

    def __init__(self, journal: Journal) -> None:
        self.engine = Engine(journal)
        self.engine.register()
        self.told: dict[str, e.Finished] = {}
        self.thread = threading.Thread(
            target=lambda: self.engine.serve(self.told.__setitem__), daemon=True
        )
        self.thread.start()

    def started(self, world: World, run: str) -> e.Started:
        return e.Started(
            at=1.0, run=run, experiment=world.experiment(), digest="", seed=1,
            driver=self.engine.driver, version="1",
        )  # fmt: skip

    def end(self) -> None:
        self.engine.leave()
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def serving(journal: Journal) -> Iterator[Serving]:
    made = Serving(journal)
    yield made
    made.engine.leave()
    made.thread.join(30)
    made.engine.close()


def test_runs_come_from_any_thread_and_each_end_is_told(world: World, serving: Serving) -> None:
    for run in ("first", "second"):
        serving.engine.take_on(serving.started(world, run), Policies())
        wait(lambda run=run: serving.told.get(run))  # type: ignore[misc]
    assert {run: ended.verdict for run, ended in serving.told.items()} == {
        "first": Verdict.PASSED, "second": Verdict.PASSED,
    }  # fmt: skip
    assert serving.engine.running == ()
    assert world.marks == []


def test_it_ends_only_once_the_last_run_has(world: World, serving: Serving) -> None:
    serving.engine.take_on(serving.started(world, "run"), Policies())
    serving.end()
    assert serving.told["run"].verdict is Verdict.PASSED


def test_a_run_that_another_has_started_is_refused_and_not_driven(
    world: World, serving: Serving, journal: Journal
) -> None:
    journal.append("run", 0, [serving.started(world, "run")])
    with pytest.raises(SequenceTaken):
        serving.engine.take_on(serving.started(world, "run"), Policies())
    serving.end()
    assert serving.told == {}


def test_a_run_of_the_dead_is_taken_up_and_injects_nothing(
    world: World, serving: Serving, journal: Journal
) -> None:
    journal.append("run", 0, [serving.started(world, "run")])
    serving.engine.take_up("run", "its driver is gone")
    wait(lambda: serving.told.get("run"))
    assert serving.told["run"].verdict is not Verdict.PASSED
    assert not any(isinstance(event, e.Leased) for event in journal.events("run"))
