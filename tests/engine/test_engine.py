"""The real engine, with real threads, on real files."""

from __future__ import annotations

import contextlib
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue

import msgspec
import pytest

from chaosrun import commands
from chaosrun import events as e
from chaosrun.engine import Engine
from chaosrun.errors import JournalUnavailable
from chaosrun.events import Verdict
from chaosrun.inbox import Message
from chaosrun.journal import Halt, Journal, open_journal
from chaosrun.recovery import dead_runs, recover
from chaosrun.run import fold
from chaosrun.units import Duration, Share
from chaosrun.workers import Job, Lane, Workers
from tests.engine.conftest import Driven, World, wait

PROMPT = 15.0
"""Generous bound, in seconds, for what takes milliseconds: these machines are noisy."""


def test_a_run_passes_and_leaves_nothing(world: World, driven: Driven) -> None:
    driven.start(world.experiment())
    assert driven.end().verdict is Verdict.PASSED
    assert world.marks == []


def test_a_deviation_stops_the_run_at_once(world: World, driven: Driven) -> None:
    driven.start(world.experiment(hold=Duration(120)))
    driven.wait_for(e.EffectSeen)
    world.says("ill")
    hurt = time.time()
    assert driven.end().verdict is Verdict.DEVIATED
    assert world.reverted_at() - hurt < PROMPT
    assert world.marks == []


@pytest.mark.parametrize("trouble", ["ill", "raise", "bug", "hang"])
def test_a_guard_that_trips_raises_or_hangs_aborts(
    world: World, driven: Driven, trouble: str
) -> None:
    driven.start(world.experiment(guarded=True, hold=Duration(120)))
    driven.wait_for(e.EffectSeen)
    world.says(trouble)
    hurt = time.time()
    finished = driven.end()
    assert finished.verdict is Verdict.ABORTED, finished.reason
    assert world.reverted_at() - hurt < PROMPT
    assert world.marks == []


def test_reverts_do_not_wait_for_any_number_of_hanging_probes(
    world: World, journal: Journal
) -> None:
    engine = Engine(journal)
    worlds = []
    for number in range(80):
        root = world.faults.parent / f"world-{number}"
        root.mkdir()
        worlds.append(World(root))
        engine.start(
            worlds[-1].experiment(
                hold=Duration(0.5),
                with_={"directory": str(worlds[-1].faults), "thing": str(number)},
            ),
            seed=1,
        )
    for one in worlds:
        one.says("well")
    began = time.monotonic()
    engine.stop_all(Verdict.CANCELLED, "test", "enough")
    results = engine.loop()
    engine.close()
    assert {f.verdict for f in results.values()} == {Verdict.CANCELLED}
    assert time.monotonic() - began < 20
    assert all(one.marks == [] for one in worlds)


def test_an_injection_that_hangs_is_given_up_and_what_it_does_later_is_reverted(
    world: World, driven: Driven
) -> None:
    with_ = {"directory": str(world.faults), "hang": "1.5s"}
    driven.start(world.experiment(with_=with_, timeout=Duration(0.3)))
    finished = driven.end()
    assert finished.verdict is Verdict.INCONCLUSIVE
    assert any(isinstance(x, e.Injected) and x.late for x in driven.events)
    assert world.marks == []


def test_an_abort_asked_for_in_another_process_reverts(
    world: World, driven: Driven, journal: Journal
) -> None:
    run = driven.start(world.experiment(hold=Duration(30)))
    driven.wait_for(e.EffectSeen)
    journal.request_abort(run, "a person", "enough", time.time())
    finished = driven.end()
    assert finished.verdict is Verdict.CANCELLED
    assert "enough" in finished.reason
    assert world.marks == []


def test_the_halt_switch_stops_a_run_and_refuses_the_next(
    world: World, driven: Driven, journal: Journal
) -> None:
    driven.start(world.experiment(hold=Duration(30)))
    driven.wait_for(e.EffectSeen)
    journal.set_halt(Halt(by="a person", reason="an incident", at=time.time()))
    asked = time.time()
    assert driven.end().verdict is Verdict.CANCELLED
    assert world.reverted_at() - asked < PROMPT
    assert world.marks == []
    again = Driven(journal)
    again.start(world.experiment())
    assert again.end().verdict is Verdict.REFUSED
    assert not any(isinstance(x, e.Leased) for x in again.events)
    again.engine.close()


def test_two_runs_never_hold_the_same_target(
    world: World, driven: Driven, journal: Journal
) -> None:
    driven.start(world.experiment(hold=Duration(3)))
    driven.wait_for(e.EffectSeen)
    second = Driven(journal)
    second.start(world.experiment())
    finished = second.end()
    second.engine.close()
    assert finished.verdict is Verdict.REFUSED
    assert "is held by run" in finished.reason
    assert driven.end().verdict is Verdict.PASSED


def test_a_plan_that_is_no_longer_what_was_seen_is_refused(world: World, driven: Driven) -> None:
    driven.start(world.experiment(), targets={"break": ("file:something-else",)})
    finished = driven.end()
    assert finished.verdict is Verdict.REFUSED
    assert "not as it was planned" in finished.reason
    assert world.marks == []


def test_many_runs_share_one_engine(world: World, journal: Journal) -> None:
    engine = Engine(journal)
    for number in range(20):
        with_ = {"directory": str(world.faults), "thing": str(number)}
        engine.start(world.experiment(with_=with_), seed=number)
    results = engine.loop()
    engine.close()
    assert {f.verdict for f in results.values()} == {Verdict.PASSED}
    assert world.marks == []


_DRIVE = """
import sys
from chaosrun import discovery
from chaosrun.codec import from_json
from chaosrun.engine import Engine
from chaosrun.journal import open_journal
from chaosrun.spec import Experiment
from tests.engine.provider import provider
real = discovery.builtin_providers
discovery.builtin_providers = lambda: (*real(), provider)
journal = open_journal(sys.argv[1])
engine = Engine(journal, observers=[lambda run, n, x: print(type(x).__name__, flush=True)])
engine.start(from_json(sys.stdin.read(), Experiment), seed=1)
engine.loop()
"""


def test_a_killed_driver_is_seen_dead_and_its_run_is_reverted_by_another(
    world: World, tmp_path: Path
) -> None:
    from chaosrun.codec import to_json

    url = f"sqlite:///{tmp_path}/state/journal.db"
    driver = subprocess.Popen(
        [sys.executable, "-c", _DRIVE, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert driver.stdin
    assert driver.stdout
    driver.stdin.write(to_json(world.experiment(hold=Duration(60))).decode())
    driver.stdin.close()
    while driver.stdout.readline().strip() != "EffectSeen":
        assert driver.poll() is None
    journal = open_journal(url)
    assert dead_runs(journal) == []
    driver.kill()
    driver.wait()
    driver.stdout.close()
    assert len(world.marks) == 1
    (dead,) = wait(lambda: dead_runs(journal) or None)
    results = recover(journal, [dead.run])
    assert results[dead.run].verdict is Verdict.CANCELLED
    assert world.marks == []
    assert fold(journal.events(dead.run)).owed == ()
    assert dead_runs(journal) == []
    journal.close()


def test_a_thread_that_did_an_effect_is_no_longer_under_its_cancellation(
    world: World, journal: Journal
) -> None:
    """Else what it does next, a look at a halt switch, would be cancelled with it."""
    under: set[object] = set()

    class Watched(Workers):
        def submit(self, work: Callable[[], None], lane: Lane) -> Job:
            def watched() -> None:
                work()
                under.add(commands.current.get())

            return super().submit(watched, lane)

    engine = Engine(journal, workers=Watched())
    engine.start(world.experiment(), seed=1)
    engine.loop()
    engine.close()
    assert under == {None}


def test_what_was_looked_at_before_a_late_injection_does_not_close_its_lease(
    world: World, driven: Driven
) -> None:
    """It hangs past its time, and acts after the revert, while a look at that is on its way."""
    with_ = {"directory": str(world.faults), "hang": "1.4s", "lag": "200ms"}
    driven.start(world.experiment(with_=with_, timeout=Duration(1)))
    driven.end()
    told = [x for x in driven.events if isinstance(x, e.Injected | e.Reverted | e.Restored)]
    kinds = [type(x).__name__ for x in told]
    assert kinds == ["Reverted", "Injected", "Reverted", "Restored"], "it went another way"
    reverted, restored = told[2:]
    assert isinstance(reverted, e.Reverted)
    assert isinstance(restored, e.Restored)
    assert restored.measured["looked_at"] >= reverted.began
    assert world.marks == []


def test_an_engine_that_lost_its_run_sees_what_becomes_of_its_injection(
    world: World, driven: Driven, journal: Journal
) -> None:
    with_ = {"directory": str(world.faults), "hang": "2s"}
    run = driven.start(world.experiment(with_=with_, timeout=Duration(20)))
    driven.wait_for(e.Leased)
    other = Engine(journal)
    other.resume(run, "its driver looked dead")
    assert other.loop()[run].verdict is Verdict.CANCELLED
    assert world.marks == [], "the injection was quicker than the other driver"
    other.close()
    driven.end()
    assert any(isinstance(x, e.Injected) and x.late for x in journal.events(run))
    assert world.marks == []
    assert fold(journal.events(run)).owed == ()


def test_samples_from_before_the_fault_was_in_place_do_not_outvote_those_while_it_was(
    world: World, driven: Driven
) -> None:
    with_ = {"directory": str(world.faults), "hang": "3s"}
    experiment = world.experiment(with_=with_, hold=Duration(0.5), timeout=Duration(20))
    checks = tuple(
        msgspec.structs.replace(check, tolerate=Share.parse("50%"))
        for check in experiment.spec.steady_state
    )
    spec = msgspec.structs.replace(
        experiment.spec, steady_state=checks, recover_within=Duration(20)
    )
    driven.start(msgspec.structs.replace(experiment, spec=spec))
    driven.wait_for(e.Injected)
    world.says("ill")
    driven.wait_for(e.Restored)
    world.says("well")
    finished = driven.end()
    assert finished.verdict is Verdict.DEVIATED, finished.reason


def test_a_machine_that_stood_still_does_not_count_as_a_journal_that_does_not_answer(
    world: World, journal: Journal
) -> None:
    """Nobody answers while nobody runs: who asks waits a moment more."""
    stood = 0.0

    class StandsStill(SimpleQueue[Message]):
        def get(self, block: bool = True, timeout: float | None = None) -> Message:
            nonlocal stood
            if engine._listening and not stood:
                stood = 30.0  # between the engine's question and the answer to it
                raise Empty
            return super().get(block, timeout)

    engine = Engine(journal, clock=lambda: time.time() + stood, inbox=StandsStill())
    engine.start(world.experiment(), seed=1)
    (finished,) = engine.loop().values()
    engine.close()
    assert stood
    assert "halt" not in finished.reason


def test_a_run_that_cannot_be_read_keeps_no_other_from_being_recovered(
    world: World, tmp_path: Path
) -> None:
    journal = open_journal(f"sqlite:///{tmp_path}/state/journal.db")
    left = Engine(journal, driver="gone")
    readable = left.start(world.experiment(), seed=1)
    left.close()
    unreadable = "20200101-000000-unreadable"
    with contextlib.closing(sqlite3.connect(tmp_path / "state" / "journal.db")) as beside:
        beside.execute(
            "INSERT INTO events SELECT ?, sequence, type, at, '{}' FROM events", [unreadable]
        )
        beside.commit()
    with pytest.raises(JournalUnavailable, match=unreadable):
        recover(journal, [unreadable, readable])
    assert fold(journal.events(readable)).finished is not None
    journal.close()
