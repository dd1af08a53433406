"""Real kills: whenever and however a runner is ended, nothing is left on the target.

A real `chaosrun run` is killed at random moments; then the machine itself is looked at.
CHAOSRUN_KILLS is how many, CHAOSRUN_KILLS_SEED repeats a sequence of moments.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import SimpleQueue

import pytest

from chaosrun.errors import JournalUnavailable
from chaosrun.events import Leased
from tests.kills.conftest import WORLDS
from tests.kills.runner import Moment, Runner, chaosrun, newest, run, runs, where_hit
from tests.kills.world import ENDED_BY_TARGET, VARIANTS, World, owed

pytestmark = pytest.mark.kills

KILLS = int(os.environ.get("CHAOSRUN_KILLS", "40"))
SEED = int(os.environ.get("CHAOSRUN_KILLS_SEED") or random.SystemRandom().randrange(10**6))
ASKING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)

Case = Callable[[World, random.Random], str]
"""Kills once, checks, and returns the phase that was hit."""


@pytest.fixture
def repeat(worlds: SimpleQueue[World], counted: Counter[str]) -> Callable[[Case, float], None]:
    """Does a case for its share of all kills, a few at a time, each on a world of its own."""

    def one(case: Case, number: int) -> str:
        world = worlds.get()
        try:
            return case(world, random.Random(f"{SEED}-{case.__name__}-{number}"))
        except Exception as error:
            world = world.renewed()
            where = f"case {number} of {case.__name__}, CHAOSRUN_KILLS_SEED={SEED}"
            raise AssertionError(f"{where}: {error}") from error
        finally:
            worlds.put(world)

    def repeat(case: Case, share: float) -> None:
        with ThreadPoolExecutor(WORLDS) as pool:
            kills = [pool.submit(one, case, n) for n in range(max(2, round(KILLS * share)))]
        errors = [error for kill in kills if (error := kill.exception())]
        counted.update(kill.result() for kill in kills if not kill.exception())
        if errors:
            raise ExceptionGroup(f"{len(errors)} of {len(kills)} kills", errors)  # type: ignore[type-var]

    return repeat


Repeat = Callable[[Case, float], None]


def test_after_kill_9_a_recovery_leaves_nothing(repeat: Repeat) -> None:
    repeat(_kill_and_recover, 0.3)


def test_a_signal_reverts_everything_before_the_process_ends(repeat: Repeat) -> None:
    repeat(_ask_to_stop, 0.18)


def test_more_signals_never_abandon_a_revert(repeat: Repeat) -> None:
    repeat(_ask_again_and_again, 0.12)


def test_kill_9_in_the_middle_of_a_revert_leaves_it_to_recovery(repeat: Repeat) -> None:
    repeat(_kill_while_reverting, 0.1)


def test_a_recovery_that_is_killed_is_recovered(repeat: Repeat) -> None:
    repeat(_kill_the_recovery, 0.08)


def test_two_recoveries_at_once_do_not_harm_each_other(repeat: Repeat) -> None:
    repeat(_kill_and_recover_twice_at_once, 0.04)


def test_a_runner_that_stood_still_past_its_deadlines_leaves_nothing(repeat: Repeat) -> None:
    repeat(_stop_and_continue, 0.06)


def test_the_next_run_recovers_before_it_does_anything_else(repeat: Repeat) -> None:
    repeat(_kill_and_run_again, 0.05)


def test_what_the_target_ends_is_over_at_the_deadline_without_recovery(repeat: Repeat) -> None:
    repeat(_kill_and_never_recover, 0.07)


def test_kills_hit_every_part_of_a_run(counted: Counter[str]) -> None:
    said = f"{counted}; CHAOSRUN_KILLS_SEED={SEED}"
    if counted.total() >= 200:
        wanted = {"start-up", "injecting", "holding", "gates", "baseline", "between leases"}
        assert not (wanted | {"reverting", "finished"}) - set(counted), said
    elif counted.total() >= 30:  # too few to hit each part for certain; not all may be in one
        assert len(counted) >= 4, said


def _kill_and_recover(world: World, rng: random.Random) -> str:
    phase = _kill(world, rng)
    _recover(world)
    return phase


def _ask_to_stop(world: World, rng: random.Random) -> str:
    return _ask(world, rng, [])


def _ask_again_and_again(world: World, rng: random.Random) -> str:
    waits = [rng.choice((0.0, rng.uniform(0, 0.02), rng.uniform(0, 0.15)))]
    return _ask(world, rng, waits * rng.choice((1, 1, 2, 5)))


def _kill_while_reverting(world: World, rng: random.Random) -> str:
    known, variant, moment = runs(world), rng.choice(VARIANTS), Moment.any(rng)
    with run(world, world.experiment(variant)) as runner:
        runner.wait_for(moment)
        runner.send(rng.choice(ASKING))
        runner.wait_for(Moment("stop-requested", rng.uniform(0, 0.08)))
        runner.send(signal.SIGKILL)
        runner.end()
    phase, _ = where_hit(world, newest(world, known), killed=True)
    _no_harm_without_lease(world)
    _recover(world)
    return phase


def _kill_the_recovery(world: World, rng: random.Random) -> str:
    phase = _kill(world, rng)
    for _ in range(rng.choice((1, 1, 3))):
        with Runner(world, "recover") as recovery:
            recovery.wait_for(Moment("", rng.uniform(0.05, 0.3)))
            recovery.send(signal.SIGKILL)
            recovery.end()
    _recover(world)
    return phase


def _kill_and_recover_twice_at_once(world: World, rng: random.Random) -> str:
    phase = _kill(world, rng)
    with Runner(world, "recover") as one, Runner(world, "recover") as other:
        codes = [one.end(), other.end()]
        said = f"{one.said}\n---\n{other.said}"
    assert 0 in codes, said
    assert set(codes) <= {0, 7}, said  # 7: it saw what the other was still about to revert
    _nothing_is_left(world, said)
    return phase


def _stop_and_continue(world: World, rng: random.Random) -> str:
    """As when a laptop sleeps. A recovery meanwhile leaves the run to its driver, which lives."""
    known, variant, moment = runs(world), rng.choice(VARIANTS), Moment.any(rng)
    with run(world, world.experiment(variant, timeout=0.7)) as runner:
        runner.wait_for(moment)
        runner.send(signal.SIGSTOP)
        began = time.monotonic()
        try:
            phase, _ = where_hit(world, newest(world, known), killed=True)
            assert chaosrun(world, "recover")[0] == 0
        except JournalUnavailable:
            phase = "writing the journal"  # it stands still with SQLite's lock: nobody gets in
        time.sleep(max(0.0, began + rng.uniform(0, 1.5) - time.monotonic()))
        runner.send(signal.SIGCONT)
        code = runner.end()
    assert code in (0, 1, 3, 5), f"{variant} {moment}: exit code {code}\n{runner.said}"
    _nothing_is_left(world, runner.said)
    return phase


def _kill_and_run_again(world: World, rng: random.Random) -> str:
    phase = _kill(world, rng)
    code, said = chaosrun(world, "run", str(world.experiment(rng.choice(VARIANTS))))
    assert code == 0, said
    _nothing_is_left(world, said)
    return phase


def _kill_and_never_recover(world: World, rng: random.Random) -> str:
    known, variant = runs(world), rng.choice(ENDED_BY_TARGET)
    with run(world, world.experiment(variant, timeout=0.7)) as runner:
        runner.wait_for(
            Moment(rng.choice(("leased", "injected", "effect-seen")), rng.random() / 10)
        )
        runner.send(signal.SIGKILL)
        runner.end()
    name = newest(world, known)
    phase, _ = where_hit(world, name, killed=True)
    with closing(world.journal()) as journal:
        leases = [event for event in journal.events(name) if isinstance(event, Leased)]
    deadline = max((lease.hold.deadline for lease in leases), default=0.0)
    # Before the deadline a watchdog may only be starting, and the harm be still to come. After
    # it, one that is held up by a machine that stands still gets half a minute.
    while (now := time.time()) < deadline or (now < deadline + 30 and world.harm()):
        time.sleep(0.02)
    assert world.harm() == [], f"{variant}: after the deadline"
    _recover(world)
    return phase


def _kill(world: World, rng: random.Random) -> str:
    """Start a run, and kill it with -9 at any moment."""
    known, variant, moment = runs(world), rng.choice(VARIANTS), Moment.any(rng)
    with run(world, world.experiment(variant)) as runner:
        runner.wait_for(moment)
        runner.send(signal.SIGKILL)
        runner.end()
    phase, _ = where_hit(world, newest(world, known), killed=True)
    _no_harm_without_lease(world)
    return phase


def _ask(world: World, rng: random.Random, waits: list[float]) -> str:
    """Start a run, and ask it to stop at any moment, and again after each of `waits`."""
    known, variant, moment = runs(world), rng.choice(VARIANTS), Moment.any(rng)
    with run(world, world.experiment(variant)) as runner:
        runner.wait_for(moment)
        sent = [rng.choice(ASKING) for _ in range(1 + len(waits))]
        runner.send(sent[0], to_group=rng.random() < 0.3)
        for wait, number in zip(waits, sent[1:], strict=True):
            runner.wait_for(Moment("", time.monotonic() - runner.began + wait))
            runner.send(number, to_group=rng.random() < 0.3)
        code = runner.end()
    name = newest(world, known)
    phase, before = where_hit(world, name)
    said = f"{variant}, {sent} {moment}: hit {phase}, exit code {code}\n{runner.said}"
    codes = {128 + number for number in sent}  # the kernel delivers two at once in any order
    if not name or before.finished is not None:
        # Before anything or after everything, when our handlers are not there to answer. Python
        # itself ends with 1 when INT comes before it runs a line of ours.
        codes |= {0, *(-number for number in sent)} | ({1} if not name else set())
    assert code in codes, said
    _nothing_is_left(world, said)
    return phase


def _recover(world: World) -> None:
    code, said = chaosrun(world, "recover")
    assert code == 0, said
    _nothing_is_left(world, said)


def _no_harm_without_lease(world: World) -> None:
    """Law L1: what is on the target now, the journal knows."""
    if harm := world.harm():
        assert owed(world), f"no lease knows of {harm}"


def _nothing_is_left(world: World, said: str) -> None:
    assert owed(world) == [], said
    assert world.remains() == [], said
    code, status = chaosrun(world, "status")
    assert (code, status) == (0, "nothing is owed; no run is running\n"), said
