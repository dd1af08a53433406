"""The simulator is tested too: each deliberate bug must be caught by the laws.

A mutant replaces one piece of the engine or of the fold by a wrong one, and stories are told
until a law breaks.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from chaosrun import events as e
from chaosrun.drive import Drive
from chaosrun.engine import Engine
from chaosrun.events import AnyEvent, Verdict
from chaosrun.run.effects import AnyEffect, Revert
from chaosrun.run.state import Run
from tests.simulation.laws import LawBroken
from tests.simulation.simulate import Story
from tests.simulation.test_laws import any_trouble, takeover, two_steps

conclude: Any = importlib.import_module("chaosrun.run.conclude")
evolve: Any = importlib.import_module("chaosrun.run.evolve")

MOST_STORIES = 2000


@contextmanager
def swapped(owner: Any, name: Any, wrong: Any) -> Iterator[None]:
    real = owner[name] if isinstance(owner, dict) else getattr(owner, name)
    put = owner.__setitem__ if isinstance(owner, dict) else lambda k, v: setattr(owner, k, v)
    put(name, wrong)
    try:
        yield
    finally:
        put(name, real)


def inject_before_the_lease_is_durable() -> Any:
    def may_start(engine: Engine, drive: Drive, effect: AnyEffect) -> bool:
        return True

    return swapped(Engine, "_may_start", may_start)


def revert_only_once() -> Any:
    def give_up(run: Run, step: Any, trouble: str) -> Any:
        return run if step is None else evolve._with_step(run, replace(step, restored_at=run.at))

    return swapped(evolve, "_try_again", give_up)


def trust_a_revert_without_looking() -> Any:
    def trust(run: Run, event: e.Reverted) -> Any:
        restored = e.Restored(at=event.at, lease=event.lease, detail="it said so")
        return evolve._restored(run, restored)

    return swapped(evolve._EVOLVE, e.Reverted, trust)


def inject_again_after_recovery() -> Any:
    def resumed(run: Run, event: e.Resumed) -> Any:
        return replace(run, driver=event.driver, finished=None)

    return swapped(evolve._EVOLVE, e.Resumed, resumed)


def pass_without_a_seen_effect() -> Any:
    def no_doubts(run: Run) -> Iterator[Any]:
        return iter(())

    real = evolve._EVOLVE[e.Injected]

    def seen(run: Run, event: e.Injected) -> Any:
        run = real(run, event)
        step = run.step_of(event.lease)
        return run if step is None else evolve._with_step(run, replace(step, effect_seen=True))

    return _both(swapped(conclude, "_doubts", no_doubts), swapped(evolve._EVOLVE, e.Injected, seen))


def take_a_silent_guard_for_a_good_one() -> Any:
    real = evolve._EVOLVE[e.Sampled]

    def sampled(run: Run, event: e.Sampled) -> Any:
        if event.subject == "guard" and event.outcome is e.Outcome.UNKNOWN:
            event = replace(event, outcome=e.Outcome.HELD)
        return real(run, event)

    return swapped(evolve._EVOLVE, e.Sampled, sampled)


def open_a_gate_that_cannot_be_measured() -> Any:
    real = evolve._EVOLVE[e.GateMeasured]

    def measured(run: Run, event: e.GateMeasured) -> Any:
        return real(run, replace(event, open=True))

    return swapped(evolve._EVOLVE, e.GateMeasured, measured)


def forget_what_is_owed_when_stopped() -> Any:
    def settle(run: Run) -> Run:
        return replace(run, stage=evolve.Phase.AFTER, after_since=run.at) if run.stop else run

    return swapped(evolve, "_settle", settle)


def revert_only_after_the_samples_in_flight() -> Any:
    real = Engine._may_start

    def may_start(engine: Engine, drive: Drive, effect: AnyEffect) -> bool:
        if isinstance(effect, Revert) and drive.flights:
            return False
        return real(engine, drive, effect)

    return swapped(Engine, "_may_start", may_start)


def go_on_injecting_without_the_journal() -> Any:
    def shrug(engine: Engine, name: str, drive: Drive, error: Exception) -> None:
        drive.pending.clear()
        drive.durable = drive.run

    return swapped(Engine, "_not_written", shrug)


def shrug_at_losing_the_run() -> Any:
    def drop(engine: Engine, name: str, drive: Drive) -> None:
        engine._abandon(drive)
        engine._drop(name, drive, Verdict.ERROR, "lost")

    return swapped(Engine, "_lost", drop)


def forget_an_injection_that_was_given_up() -> Any:
    def late(run: Run, event: AnyEvent) -> Any:
        return run

    return swapped(evolve, "_owed_again", late)


def believe_what_a_failed_injection_says() -> Any:
    real = evolve._EVOLVE[e.InjectFailed]

    def failed(run: Run, event: e.InjectFailed) -> Any:
        run = real(run, event)
        restored = e.Restored(
            at=event.at, lease=event.lease, detail="it failed, so nothing is there"
        )
        return evolve._restored(run, restored)

    return swapped(evolve._EVOLVE, e.InjectFailed, failed)


@contextmanager
def _both(first: Any, second: Any) -> Iterator[None]:
    with first, second:
        yield


MUTANTS: list[Callable[[], Any]] = [
    inject_before_the_lease_is_durable,
    revert_only_once,
    trust_a_revert_without_looking,
    inject_again_after_recovery,
    pass_without_a_seen_effect,
    take_a_silent_guard_for_a_good_one,
    open_a_gate_that_cannot_be_measured,
    forget_what_is_owed_when_stopped,
    revert_only_after_the_samples_in_flight,
    go_on_injecting_without_the_journal,
    shrug_at_losing_the_run,
    forget_an_injection_that_was_given_up,
    believe_what_a_failed_injection_says,
]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_deliberate_bug_is_caught(mutant: Callable[[], Any]) -> None:
    with mutant():
        for seed in range(MOST_STORIES):
            try:
                Story(seed, any_trouble(random.Random(f"trouble {seed}"))).tell()
                Story(seed, takeover(seed), two_steps(parallel=False)).tell()
            except LawBroken:
                return
            except (AssertionError, KeyError, RecursionError):
                continue  # the mutant broke more than it meant to; that is not a law
    pytest.fail(f"{mutant.__name__} was not caught in {MOST_STORIES} stories")
