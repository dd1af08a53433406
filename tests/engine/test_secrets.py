"""Secrets are used and never seen again (law L9)."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from chaosrun import events as e
from chaosrun.events import Verdict
from chaosrun.fault import Hold
from chaosrun.journal import Journal
from chaosrun.perform import Performer
from chaosrun.run import fold
from chaosrun.run.effects import Inject
from chaosrun.targeting import Target
from tests.engine.conftest import Driven, World
from tests.engine.provider import FileFault


@pytest.mark.parametrize("value", ["break", "targets", "type", "hunter2-hunter2"])
def test_a_secret_is_in_no_event_whatever_word_it_is(
    world: World, driven: Driven, tmp_path: Path, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("A_SECRET", value)
    (world.faults / value).mkdir()
    experiment = world.experiment(
        with_={"directory": f"{world.faults}/${{secrets.word}}", "thing": "${secrets.word}"}
    )
    spec = replace(experiment.spec, secrets={"word": {"env": "A_SECRET"}})
    driven.start(replace(experiment, spec=spec))
    finished = driven.end()
    assert finished.verdict is Verdict.PASSED, finished.reason
    holds = [x.hold for x in driven.events if isinstance(x, e.Leased)]
    assert all("${secrets.word}" in hold.targets[0].id for hold in holds)
    assert all(value not in hold.targets[0].id.replace(str(world.faults), "") for hold in holds)
    if value == "hunter2-hunter2":
        stored = (tmp_path / "state" / "journal.db").read_bytes()
        stored += (tmp_path / "state" / "journal.db-wal").read_bytes()
        assert value.encode() not in stored
    assert os.listdir(world.faults / value)[0].endswith(".reverted")


def test_what_fails_after_its_run_was_forgotten_tells_no_secret(
    world: World, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an injection that was given up and whose call times out long after the run."""
    monkeypatch.setenv("A_SECRET", "hunter2-hunter2")
    experiment = world.experiment(with_={"directory": "${secrets.word}"})
    spec = replace(experiment.spec, secrets={"word": {"env": "A_SECRET"}})
    started = e.Started(
        at=0, run="r", experiment=replace(experiment, spec=spec), digest="", seed=1, driver="",
        version="",
    )  # fmt: skip
    target = Target(kind="file", id="", undo={"directory": "${secrets.word}", "hang": 0})
    hold = Hold(fault="file.fault", targets=(target,), population=1, effect="", mark="m")
    run = fold([started, e.Leased(at=0, step="break", lease="r-0", hold=hold)])
    performer = Performer(journal, time.time)

    def forgotten_meanwhile(hold: Hold, client: None) -> None:
        performer.forget("r")
        raise OSError(f"GET https://{hold.targets[0].undo['directory']}/ timed out")

    monkeypatch.setattr(FileFault, "inject", forgotten_meanwhile)
    event = performer.perform(run, Inject("r-0"))
    assert isinstance(event, e.InjectFailed)
    assert event.error == "OSError: GET https://${secrets.word}/ timed out"


def test_a_run_is_forgotten_while_others_are_looked_at(journal: Journal) -> None:
    performer = Performer(journal, time.time)
    samplers: dict[object, object] = performer._samplers  # type: ignore[assignment]

    class Another(str):
        __slots__ = ()
        __hash__ = str.__hash__

        def __eq__(self, other: object) -> bool:
            samplers[len(samplers), "", ""] = None  # as a thread that samples for the first time
            return False

    samplers[Another("other"), "check", "a"] = None
    samplers["gone", "check", "a"] = None
    performer.forget("gone")
    assert ("gone", "check", "a") not in samplers


def test_a_deadline_is_by_the_clock_that_was_set_since(
    world: World, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The engine's own clock does not follow it, and targets go by it (law L3)."""
    target = Target(kind="file", id="", undo={"directory": str(world.faults), "hang": 0})
    hold = Hold(
        fault="file.fault", targets=(target,), population=1, effect="", mark="m", deadline=1060.0
    )
    started = e.Started(
        at=0, run="r", experiment=world.experiment(), digest="", seed=1, driver="", version=""
    )
    run = fold([started, e.Leased(at=0, step="break", lease="r-0", hold=hold)])
    deadlines: list[float] = []
    monkeypatch.setattr(FileFault, "inject", lambda hold, client: deadlines.append(hold.deadline))
    for wall in (1000.2, 400.0):
        performer = Performer(journal, lambda: 1000.0, wall=lambda wall=wall: wall)  # type: ignore[misc]
        assert isinstance(performer.perform(run, Inject("r-0")), e.Injected)
    assert deadlines == [1060.0, 460.0]
