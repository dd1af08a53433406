"""The laws hold in every simulated story.

The default suite tells more than 10,000 stories, `make simulate-long` 200,000 more. A failure
names the seed and the trouble that repeat it.
"""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest
from msgspec.structs import replace

from chaosrun import events as e
from chaosrun.events import Verdict
from chaosrun.spec import Check, Experiment, ExperimentSpec, Guard, Limits, Metadata, Step
from chaosrun.units import Duration, Share
from tests.simulation.laws import LawBroken
from tests.simulation.simulate import Story, Trouble

RANDOM_STORIES = 7000
LONG_STORIES = 200_000
PARTS = 7


def two_steps(parallel: bool) -> Experiment:
    """Two faults, one after the other or at once, with a guard and a check."""
    return Experiment(
        api_version="chaosrun.dev/v1",
        kind="Experiment",
        metadata=Metadata(name="two-steps"),
        spec=ExperimentSpec(
            title="two steps",
            steady_state=(Check(name="fine", probe="sim.probe", expect="fine"),),
            method=(
                Step(name="a", fault="sim.fault", target={"names": ["t0"]}, hold=Duration(0.3)),
                Step(
                    name="b",
                    fault="sim.fault",
                    target={"names": ["t1"]},
                    hold=Duration(0.3),
                    after=() if parallel else None,
                ),
            ),
            abort_when=(Guard(name="hurts", probe="sim.probe", when="!fine"),),
            gates=({"sim.gate": {}},),
            limits=Limits(share=Share(1.0)),
        ),
    )


def tell(seed: int, trouble: Trouble, experiment: Experiment | None = None) -> Story:
    story = Story(seed, trouble, experiment)
    try:
        story.tell()
    except LawBroken as broken:
        pytest.fail(f"Story({seed}, {trouble}): {broken}")
    return story


@pytest.mark.parametrize("parallel", [False, True])
def test_no_crash_at_any_crossing_leaves_a_fault_behind(parallel: bool) -> None:
    experiment = two_steps(parallel)
    whole = tell(1, Trouble(), experiment).crossings
    assert whole > 60, "the story is too short to prove anything"
    for crash in range(1, whole + 1):
        tell(1, Trouble(crashes=(crash,)), experiment)


@pytest.mark.parametrize("parallel", [False, True])
def test_no_crash_at_any_crossing_of_a_run_under_policies_leaves_a_fault_behind(
    parallel: bool,
) -> None:
    experiment = two_steps(parallel)
    whole = tell(1, Trouble(policy=True), experiment).crossings
    for crash in range(1, whole + 1):
        tell(1, Trouble(policy=True, crashes=(crash,)), experiment)


def test_another_run_that_takes_the_last_place_is_noticed_whenever_it_comes() -> None:
    verdicts = set()
    for moment in range(120):
        story = tell(3, Trouble(policy=True, other_run_after=moment * 0.005), two_steps(False))
        (finished,) = [x for x in story.events() if isinstance(x, e.Finished)]
        verdicts.add(finished.verdict)
    assert {Verdict.PASSED, Verdict.REFUSED} <= verdicts


def test_a_halt_source_stops_a_run_whenever_it_is_turned_on() -> None:
    verdicts = set()
    for moment in range(60):
        story = tell(3, Trouble(policy=True, source_on_after=moment * 0.02), two_steps(False))
        (finished,) = [x for x in story.events() if isinstance(x, e.Finished)]
        verdicts.add(finished.verdict)
    assert {Verdict.REFUSED, Verdict.PASSED} <= verdicts


def test_a_fault_that_somebody_ends_long_before_its_end_is_no_pass() -> None:
    first = two_steps(False)
    long = replace(first.spec.method[0], hold=Duration(6.0))
    experiment = replace(first, spec=replace(first.spec, method=(long,)))
    told = Counter[tuple[bool, Verdict]]()
    for moment in range(80):
        story = tell(3, Trouble(set_back_after=moment * 0.1), experiment)
        (injected,) = [x for x in story.events() if isinstance(x, e.Injected)]
        (finished,) = [x for x in story.events() if isinstance(x, e.Finished)]
        at = story.world.set_back_at
        in_time = at is not None and injected.at < at < injected.at + 4.0  # two more until its end
        if in_time:
            assert finished.verdict is Verdict.INCONCLUSIVE, at
            assert "lost its effect before its end: not marked" in finished.reason
        told[in_time, finished.verdict] += 1
    assert told[True, Verdict.INCONCLUSIVE] > 30
    assert told[False, Verdict.PASSED] > 10


@pytest.mark.parametrize("parallel", [False, True])
def test_no_crash_at_any_pair_of_crossings_leaves_a_fault_behind(parallel: bool) -> None:
    experiment = two_steps(parallel)
    whole = tell(1, Trouble(), experiment).crossings
    pairs = 0
    for first in range(1, whole + 1):
        after = tell(1, Trouble(crashes=(first,)), experiment).crossings
        for second in range(first + 1, after + 1):
            tell(1, Trouble(crashes=(first, second)), experiment)
            pairs += 1
    assert pairs > whole, "a recovery has crossings of its own"


def takeover(seed: int) -> Trouble:
    """Another driver takes the run up while an injection has begun and not yet landed."""
    return Trouble(stall=1.0, second_driver_after=0.05 + seed * 0.0002)


@pytest.mark.parametrize("parallel", [False, True])
def test_an_injection_that_lands_after_a_takeover_is_taken_back(parallel: bool) -> None:
    for seed in range(1000):
        tell(seed, takeover(seed), two_steps(parallel))


def any_trouble(rng: random.Random) -> Trouble:
    """Any mixture of what can go wrong."""

    def sometimes(share: float, *values: float) -> float:
        return rng.choice(values) if rng.random() < share else 0.0

    def maybe(share: float, longest: float) -> float | None:
        return rng.uniform(0.0, longest) if rng.random() < share else None

    return Trouble(
        misbehave=sometimes(0.5, 0.05, 0.2, 0.5),
        stall=sometimes(0.1, 0.3),
        slow=sometimes(0.3, 0.05, 0.2),
        hurt=sometimes(0.3, 0.1, 0.5),
        journal=sometimes(0.15, 0.02, 0.1),
        crashes=tuple(rng.sample(range(1, 150), rng.choice([0, 0, 0, 1, 1, 2, 4]))),
        stop_after=maybe(0.2, 4.0),
        halt_after=maybe(0.1, 4.0),
        gate_shuts_after=maybe(0.1, 3.0),
        set_back_after=maybe(0.1, 4.0),
        second_driver_after=maybe(0.2, rng.choice([0.3, 3.0])),
        **any_policy(random.Random(f"policy {rng.random()}")),
    )


def any_policy(rng: random.Random) -> dict[str, Any]:
    """Half of the stories are under a policy, some with a halt source or another run."""
    if rng.random() < 0.5:
        return {}
    return {
        "policy": True,
        "source_on_after": rng.uniform(0.0, 4.0) if rng.random() < 0.2 else None,
        "other_run_after": rng.uniform(0.0, 2.0) if rng.random() < 0.2 else None,
    }


@pytest.mark.parametrize("part", range(PARTS))
def test_no_mixture_of_troubles_breaks_a_law(part: int) -> None:
    for seed in range(part, RANDOM_STORIES, PARTS):
        tell(seed, any_trouble(random.Random(f"trouble {seed}")))


@pytest.mark.long
@pytest.mark.parametrize("part", range(20))
def test_no_mixture_of_troubles_breaks_a_law_however_long_one_looks(part: int) -> None:
    first = RANDOM_STORIES + part * (LONG_STORIES // 20)
    for seed in range(first, first + LONG_STORIES // 20):
        tell(seed, any_trouble(random.Random(f"trouble {seed}")))
