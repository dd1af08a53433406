"""Fires and the days without: the same for every replica, inside every window, each explained."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosrun.schedules.fires import Fire, NoFire, Timetable, fires, next_fire
from tests.schedules.making import DAY, MINUTE, ZONES, at, minutes, schedule, table, times

TRIGGERS: tuple[dict[str, Any], ...] = (
    {"cron": "*/47 * * * *"},
    {"cron": "15 8-18 * * 1-5", "jitter": "40m"},
    {"interval": "7h"},
    {"interval": "90m", "jitter": "15m"},
    {"random": {"meanDays": 1.5, "gapDays": 0.5}},
    {"random": {"meanDays": 0.2}},
)
WINDOWS: tuple[dict[str, Any], ...] = (
    {},
    {"window": {}},
    {"window": {"days": ["sun-thu"], "hours": ["01:30-02:30", "22:00-24:00"]}},
    {
        "window": {"hoursOf": {"fri": ["09:00-11:00"]}},
        "calendar": {"holidays": [{"country": "DE"}]},
    },
    {"calendar": {"freezes": [{"dates": "12-20..01-02"}], "companyDays": [{"dates": "03-29"}]}},
)
starts = st.integers(0, 20 * 365 * 24 * 60).map(
    lambda minute: datetime(2010, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
)
specs = st.builds(
    lambda zone, trigger, window, seed: {**trigger, **window, "timezone": zone, "seed": seed},
    st.sampled_from(ZONES),
    st.sampled_from(TRIGGERS),
    st.sampled_from(WINDOWS),
    st.integers(0, 5),
)


@given(specs, starts, st.integers(1, 9 * 24 * 60))
@settings(max_examples=80)
def test_whoever_asks_from_wherever_gets_the_same_fires(
    spec: dict[str, Any], start: datetime, split: int
) -> None:
    """One replica asks for ten days at once, another came later, a third asks one by one."""
    whole = times(table(**spec), start, start + 10 * DAY)
    middle = start + split * MINUTE
    another, third = table(**spec), table(**spec)
    assert times(another, start, middle) + times(another, middle, start + 10 * DAY) == whole
    one_by_one, after = [], start - timedelta(milliseconds=1)
    while (fire := next_fire(third, after)) and fire.at < start + 10 * DAY:
        one_by_one.append(fire.at)
        after = fire.at
    assert one_by_one == sorted(set(whole))


@given(specs, starts)
@settings(max_examples=60)
def test_every_fire_is_in_the_window_and_every_other_day_says_why(
    spec: dict[str, Any], start: datetime
) -> None:
    made = table(**spec)
    told = list(fires(made, start, start + 10 * DAY))
    calendar = made.days.calendar
    days = {start.astimezone(made.zone).date() + n * DAY for n in range(11)}
    for each in told:
        if isinstance(each, Fire):
            assert calendar is None or calendar.opening(each.at).open
            days.discard(each.at.astimezone(made.zone).date())
        else:
            assert each.reason
            assert each.day in days  # each day once, and no day that has a fire
            days.discard(each.day)
    last = (start + 10 * DAY - timedelta(milliseconds=1)).astimezone(made.zone).date()
    assert not {day for day in days if day <= last}


@given(st.sampled_from(ZONES), st.sampled_from(WINDOWS[1:]), starts)
@settings(max_examples=40)
def test_the_open_time_of_days_is_that_of_the_calendar_minute_by_minute(
    zone: str, window: dict[str, Any], start: datetime
) -> None:
    made = table(cron="@daily", timezone=zone, **window)
    calendar, days = made.days.calendar, made.days
    assert calendar is not None
    for instant in minutes(start, start + 2 * DAY):
        spans = days.spans(instant.astimezone(made.zone).date())
        within = any(begin <= instant < end for begin, end in spans)
        assert within == calendar.opening(instant).open, instant


@given(st.sampled_from(ZONES), starts, st.integers(1, 300))
@settings(max_examples=40)
def test_an_interval_never_drifts(zone: str, start: datetime, interval: int) -> None:
    anchor = at("2009-06-01T09:00", zone)
    found = times(
        table(interval=f"{interval}m", timezone=zone, starting="2009-06-01T09:00"),
        start,
        start + DAY,
    )
    expected = [
        instant for instant in minutes(start, start + DAY)
        if (instant - anchor) % timedelta(minutes=interval) == timedelta(0)
    ]  # fmt: skip
    assert found == expected


def test_jitter_is_bounded_and_belongs_to_the_fire() -> None:
    made = table(cron="0 * * * *", jitter="20m")
    found = [f for f in fires(made, at("2026-11-01"), at("2026-11-08")) if isinstance(f, Fire)]
    late = [(fire.at - fire.due).total_seconds() for fire in found]
    assert len(found) == 7 * 24
    assert all(0 <= seconds < 1200 for seconds in late)
    assert max(late) - min(late) > 900
    other = Timetable(schedule("another", cron="0 * * * *", jitter="20m"))
    assert times(other, at("2026-11-01"), at("2026-11-02")) != [f.at for f in found[:24]]


def test_each_kind_of_day_without_a_fire_has_its_reason() -> None:
    made = table(
        cron="0 10 * * 1,3,5,6", timezone="Europe/Berlin", window={},
        calendar={"holidays": [{"country": "DE"}], "freezes": [{"dates": "2026-12-28..2026-12-29",
                                                                "name": "year end"}]},
        starting="2026-12-22", until="2027-01-05",
    )  # fmt: skip
    told = {
        each.day: each.reason
        for each in fires(made, at("2026-12-21T12:00"), at("2027-01-06"))
        if isinstance(each, NoFire)
    }
    assert told[date(2026, 12, 21)] == "it starts on 2026-12-22"
    assert told[date(2026, 12, 22)] == "cron 0 10 * * 1,3,5,6 has no time on this day"
    assert date(2026, 12, 23) not in told
    assert told[date(2026, 12, 25)] == ("10:00 is closed: public holiday of DE: Christmas Day")
    assert told[date(2026, 12, 26)].startswith("10:00 is closed: public holiday of DE: Second")
    assert told[date(2026, 12, 27)] == "closed: Sunday is not a working day"
    assert told[date(2026, 12, 28)].startswith("10:00 is closed: freeze year end")
    assert told[date(2027, 1, 5)] == "it expired: until 2027-01-05"


def test_a_schedule_that_can_never_fire_again_has_no_next_fire() -> None:
    assert next_fire(table(cron="@daily", until="2026-01-01"), at("2026-06-01")) is None
    assert next_fire(table(cron="0 4 * * *", window={}), at("2026-06-01")) is None


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({}, "one of `cron`, `interval` and `random`"),
        ({"cron": "@daily", "interval": "1h"}, "one of `cron`, `interval` and `random`"),
        ({"cron": "@daily", "timezone": "Berlin"}, "is not a time zone such as"),
        ({"interval": "1500ms"}, "whole seconds"),
        ({"interval": "1m", "jitter": "1m"}, "shorter than `interval`"),
        ({"random": {"meanDays": 2}, "jitter": "1m"}, "takes no `jitter`"),
        ({"random": {"meanDays": 2, "gapDays": 1.9}}, "at most 80%"),
        ({"cron": "@daily", "starting": "2026-02-01", "until": "2026-01-01"}, "never fire"),
        ({"cron": "@daily", "until": "tomorrow"}, "is not of the form 2026-12-01"),
        ({"cron": "@daily", "window": {"days": ["someday"]}}, "not of the form fri"),
        ({"cron": "@daily", "experiment": None}, "either `experiment` or `suite`"),
        ({"cron": "@daily", "suite": "suite.yaml"}, "either `experiment` or `suite`"),
    ],
)
def test_a_schedule_that_is_wrong_says_what_to_write(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        schedule(**spec)
