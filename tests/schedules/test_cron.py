"""Cron on the clock on the wall, against the oracle that looks at every minute of years."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.schedules.making import DAY, ZONES, at, cron_oracle, table, times

YEAR_2000 = datetime(2000, 1, 1, tzinfo=UTC)


def part(lowest: int, highest: int) -> st.SearchStrategy[str]:
    number = st.integers(lowest, highest)
    return st.one_of(
        st.just("*"),
        number.map(str),
        st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}"),
        st.integers(2, 20).map(lambda step: f"*/{step}"),
        st.lists(number, min_size=2, max_size=4).map(lambda many: ",".join(map(str, many))),
    )


@st.composite
def crons(draw: st.DrawFn) -> str:
    hour, minute = draw(part(0, 23)), draw(part(0, 59))
    days = draw(st.sampled_from(["weekday", "day"]))
    day = draw(part(1, 28)) if days == "day" else "*"
    weekday = draw(part(0, 6)) if days == "weekday" else "*"
    return f"{minute} {hour} {day} * {weekday}"


@given(crons(), st.sampled_from(ZONES), st.integers(0, 30 * 365 * 24 * 60))
@example("30 2 * * *", "Europe/Berlin", 11030880)  # 2020-12-21
@settings(max_examples=60)
def test_a_cron_fires_when_the_oracle_says(cron: str, zone: str, minute: int) -> None:
    start = YEAR_2000 + timedelta(minutes=minute)
    end = start + 3 * DAY
    assert times(table(cron=cron, timezone=zone), start, end) == cron_oracle(cron, zone, start, end)


@pytest.mark.parametrize("zone", ZONES)
def test_a_cron_fires_when_the_oracle_says_over_a_whole_year(zone: str) -> None:
    cron = "*/30 1-3 * * 0,6"
    start = at("2011-01-01") if zone == "Pacific/Apia" else at("2026-01-01")  # Apia lost a day
    end = start + 366 * DAY
    assert times(table(cron=cron, timezone=zone), start, end) == cron_oracle(cron, zone, start, end)


def test_a_time_that_the_clocks_skip_comes_when_they_change() -> None:
    found = times(
        table(cron="30 2 * * *", timezone="Europe/Berlin"), at("2026-03-28"), at("2026-03-31")
    )
    assert found == [at("2026-03-28T01:30"), at("2026-03-29T01:00"), at("2026-03-30T00:30")]


def test_a_time_that_the_clocks_repeat_comes_once() -> None:
    found = times(
        table(cron="30 2 * * *", timezone="Europe/Berlin"), at("2026-10-24"), at("2026-10-26")
    )
    assert found == [at("2026-10-24T00:30"), at("2026-10-25T00:30")]


def test_weekdays_are_those_of_cron_and_may_go_over_the_end_of_the_week() -> None:
    week = (at("2026-11-22"), at("2026-11-29"))  # from a Sunday on
    for text, days in (
        ("0", [22]), ("7", [22]), ("1-5", [23, 24, 25, 26, 27]), ("fri-mon", [22, 23, 27, 28]),
        ("0-7", [22, 23, 24, 25, 26, 27, 28]), ("5-7", [22, 27, 28]), ("*/3", [22, 25, 28]),
    ):  # fmt: skip
        found = times(table(cron=f"0 9 * * {text}"), *week)
        assert [each.day for each in found] == days, text


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("0 0 31 2 *", "never fires"),
        ("* * *", "five parts"),
        ("0 25 * * *", "cron"),
        ("0 0 1 * mon", "either and some as both"),
        ("0 9 * * funday", "no weekday"),
        ("0 9 * * 1-5/0", "step"),
        ("0 9; * * *", "five parts|not like"),
        ("x y z * *", "cron"),
    ],
)
def test_a_cron_that_is_wrong_says_what_to_write(cron: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        table(cron=cron)


def test_short_names_stand_for_crons() -> None:
    day = (at("2026-11-22"), at("2026-11-23"))
    assert len(times(table(cron="@hourly"), *day)) == 24
    assert times(table(cron="@daily"), *day) == [day[0]]
