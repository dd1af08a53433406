"""The contract catches faults that break it, and says what they break."""

from __future__ import annotations

import pytest

from chaosrun.discovery import Provider
from chaosrun.testing import PROMISES, BrokenPromise, check, contract, without_lab
from tests.contract import lamps

ALL_BUT_SWEEP = [promise for promise in PROMISES if promise is not contract.a_sweep_finds_it]

WRONG = [
    (lamps.Unexplained, contract.it_explains_itself, "no docstring"),
    (lamps.BadExample, contract.it_explains_itself, "example is not valid.*count"),
    (lamps.PlanTouches, contract.planning_changes_nothing, "planning changed the world"),
    (lamps.Undeclared, contract.planning_changes_nothing, "CAP_KILL.* not declared"),
    (lamps.PlanGuesses, contract.the_same_seed_gives_the_same_plan, "gave another plan"),
    (lamps.PlanFollowsOrder, contract.the_same_seed_gives_the_same_plan, "another order"),
    (lamps.NotPlain, contract.the_hold_survives_json, "cannot be written as JSON"),
    (lamps.NoEffect, contract.it_takes_effect_and_is_restored, "does not see it after"),
    (lamps.SaysItWorked, contract.it_takes_effect_and_is_restored, "sees it before"),
    (lamps.NoRevert, contract.it_takes_effect_and_is_restored, "restored says no"),
    (lamps.NoRevert, contract.reverting_twice_is_once, "restored says no"),
    (lamps.SaysItIsBack, contract.it_takes_effect_and_is_restored, "while the fault is there"),
    (lamps.SaysItIsBack, contract.reverting_twice_is_once, "though restored says so"),
    (lamps.Toggles, contract.injecting_twice_is_once, "second injection changed"),
    (lamps.RevertsByToggling, contract.reverting_twice_is_once, "restored says no"),
    (lamps.RevertsByToggling, contract.reverting_what_was_not_injected_is_harmless, "changed"),
    (lamps.RevertsWhatItSaw, contract.another_process_can_revert, "restored says no"),
    (lamps.RevertsByNotes, contract.a_failure_at_any_call_can_be_reverted, "failure at call"),
    (lamps.NeverExpires, contract.it_ends_though_the_runner_is_killed, "restored says no"),
]


@pytest.mark.parametrize("promise", ALL_BUT_SWEEP, ids=lambda promise: promise.__name__)
def test_a_right_fault_keeps_every_promise(promise: contract.Promise) -> None:
    check(promise, lamps.LampLab)


@pytest.mark.parametrize(
    ("kind", "promise", "said"),
    WRONG,
    ids=[f"{kind.__name__}-{promise.__name__}" for kind, promise, _ in WRONG],
)
def test_a_wrong_fault_is_caught(
    kind: type[lamps.Dark], promise: contract.Promise, said: str
) -> None:
    with pytest.raises(BrokenPromise, match=said):
        check(promise, lamps.lab_of(kind))


def test_a_fault_that_a_sweep_does_not_find_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    lab = lamps.lab_of(lamps.Dark)
    lab.found_by_sweep = True
    blind = Provider(name="test", package=__name__, sweep="marks:find")
    monkeypatch.setattr("chaosrun.discovery.provider_of", lambda *_: blind)
    monkeypatch.setattr(Provider, "marks", lambda *_: ())
    with pytest.raises(BrokenPromise, match="finds it 0 times"):
        check(contract.a_sweep_finds_it, lab)


def test_a_fault_without_a_lab_is_named() -> None:
    provider = Provider(
        name="test", package=__name__, faults={"test.dark": "x:X", "test.cold": "x:Y"}
    )
    assert without_lab([lamps.LampLab], provider) == ["test.cold"]
    assert "host.command" in without_lab([lamps.LampLab])
