"""The mean time between fires is the one asked for; the well-known implementations' is not.

Chaos Monkey's and kube-monkey's are simulated as their sources describe them, on working days:

- Chaos Monkey (schedule/schedule.go, mysql's checker): each working day a coin of 1 / mean; a kill
  that would come within the least time since the last one is refused when it is its turn.
- kube-monkey, as in its README and its first source: each weekday a coin of 1 / mean, no gap.
- kube-monkey, its present source (internal/pkg/calendar): each weekday at the run hour an offset is
  drawn evenly from twice the mean; a kill if it is before the end of the day's hours, and drawn on
  from there; what comes later is forgotten, and drawn anew on the next weekday.
"""

from __future__ import annotations

import math
import random
from datetime import timedelta
from itertools import pairwise
from typing import Any

import pytest

from tests.schedules.making import at, table, times

Mean = tuple[float, float]
"""A mean and three standard errors of it."""


def measured(gaps: list[float]) -> Mean:
    mean = sum(gaps) / len(gaps)
    deviation = math.sqrt(sum((gap - mean) ** 2 for gap in gaps) / (len(gaps) - 1))
    return mean, 3 * deviation / math.sqrt(len(gaps))


def gaps_of(places: list[float]) -> list[float]:
    return [b - a for a, b in pairwise(places)]


def ours(mean: float, gap: float, **spec: Any) -> list[float]:
    """The times between fires over forty years, in open days."""
    made = table(random={"meanDays": mean, "gapDays": gap}, **spec)
    start, end = at("2000-01-01"), at("2040-01-01")
    number, index = {}, 0
    day = start.astimezone(made.zone).date()
    while day <= end.astimezone(made.zone).date():
        if made.days.open_on(day):
            number[day] = index
            index += 1
        day += timedelta(days=1)
    places = []
    for instant in times(made, start, end):
        day = instant.astimezone(made.zone).date()
        spans = made.days.spans(day)
        whole = sum((e - s).total_seconds() for s, e in spans)
        passed = sum(max(0.0, (min(e, instant) - s).total_seconds()) for s, e in spans)
        places.append(number[day] + passed / whole)
    return gaps_of(places)


def chaos_monkey(mean: float, gap: float, days: int, chance: random.Random) -> list[float]:
    kills: list[float] = []
    for day in range(days):
        if chance.random() <= 1 / mean:
            time = day + chance.random()
            if not kills or int(time) - int(kills[-1]) >= gap:
                kills.append(time)
    return gaps_of(kills)


def kube_monkey(mean: float, days: int, chance: random.Random) -> list[float]:
    # Run before the hours begin, its source kills each day at their beginning: not held against it.
    run, begin, end = 10.0, 10.0, 16.0
    kills: list[float] = []
    for day in range(days):
        now = run
        while (now := now + chance.random() * 2 * mean * 24) < end:
            kills.append(day + (now - begin) / (end - begin))
    return gaps_of(kills)


@pytest.mark.parametrize(
    ("mean", "gap", "spec"),
    [
        (3, 0, {}),
        (3, 1, {"window": {}, "timezone": "Europe/Berlin",
                "calendar": {"holidays": [{"country": "DE"}]}}),
        (5, 3, {"window": {"hours": ["10:00-12:00"]}, "timezone": "America/New_York"}),
        (2, 1.6, {"window": {"days": ["sun-thu"]}, "timezone": "Asia/Jerusalem"}),
        (0.25, 0.1, {"window": {}}),
    ],
)  # fmt: skip
def test_the_realised_mean_is_the_one_asked_for_and_no_gap_is_shorter(
    mean: float, gap: float, spec: dict[str, Any]
) -> None:
    found = ours(mean, gap, **spec)
    realised, error = measured(found)
    assert abs(realised - mean) <= error
    assert error < 0.06 * mean  # the interval is narrow enough to mean something
    assert min(found) >= gap - 1e-3  # a fire is at a whole second of the open time


def test_the_well_known_implementations_miss_their_mean_and_by_how_much() -> None:
    chance = random.Random(1)
    days = 200_000
    monkey, error = measured(chaos_monkey(3, 0, days, chance))
    assert abs(monkey - 3) <= error  # without a gap the coin is right
    monkey, error = measured(chaos_monkey(5, 3, days, chance))
    assert monkey - 5 > 1.5  # with one, about 7 days in place of 5
    assert monkey == pytest.approx(3 + 4, rel=0.03)
    kube, error = measured(kube_monkey(3, days, chance))
    assert kube > 20  # an offset over 144 hours seldom falls into the day's 6
    ours_now, error = measured(ours(5, 3, window={}))
    assert abs(ours_now - 5) <= error
