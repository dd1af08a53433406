"""Calendars against an oracle that looks at each minute: over clocks that change, over years."""

from __future__ import annotations

import itertools
from datetime import datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosrun.calendars import Calendar, Closure, PublicHolidays
from tests.calendars.oracle import MINUTE, WEEK, Freezes, at, minutes, spans, told, transitions

ZONES = (
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",  # changes at midnight, south of the equator
    "Asia/Jerusalem",
    "Asia/Beirut",  # midnight does not exist once a year
    "Africa/Cairo",
    "Africa/Casablanca",  # around Ramadan
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Chatham",  # 45 minutes off the hour
    "Antarctica/Troll",  # by two hours
)
AROUND = timedelta(hours=16)
CHANGES = [
    *(
        (zone, point)
        for zone in ZONES
        for point in transitions(zone, at("2025-01-01"), at("2027-01-01"))
    ),
    ("Pacific/Apia", at("2011-12-30T10:00")),  # a day that did not exist
]
ICALENDAR = """BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//shop//freezes//EN
BEGIN:VEVENT
UID:1
SUMMARY:Weekly release
DTSTART;TZID=Europe/Berlin:20250107T130000
DTEND;TZID=Europe/Berlin:20250107T143000
RRULE:FREQ=WEEKLY;BYDAY=TU
END:VEVENT
BEGIN:VEVENT
UID:2
SUMMARY:Black Friday
TRANSP:TRANSPARENT
DTSTART;VALUE=DATE:20261126
DTEND;VALUE=DATE:20261201
END:VEVENT
BEGIN:VEVENT
UID:3
SUMMARY:Called off
STATUS:CANCELLED
DTSTART;VALUE=DATE:20260601
DTEND;VALUE=DATE:20260701
END:VEVENT
END:VCALENDAR
""".replace("\n", "\r\n")


def icalendar_in_words(wall: datetime) -> bool:
    weekly = wall.weekday() == 1 and 13 * 60 <= wall.hour * 60 + wall.minute < 14 * 60 + 30
    return weekly or datetime(2026, 11, 26) <= wall < datetime(2026, 12, 1)


def calendars_around(zone: str, change: datetime) -> list[Calendar]:
    """Calendars whose hours and freezes begin and end where the clocks change."""
    from zoneinfo import ZoneInfo

    wall = (change - MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None)
    early, late = wall - timedelta(minutes=20), wall + timedelta(minutes=25)
    freeze = f"{early:%Y-%m-%dT%H:%M}..{late:%Y-%m-%dT%H:%M}"
    every = ("mon-sun",)
    return [
        Calendar(timezone=zone, days=every, hours=("00:00-24:00",)),
        Calendar(timezone=zone, days=every, hours=("00:15-00:40", "01:30-02:30", "23:30-24:00")),
        Calendar(timezone=zone, days=("sun-thu",), hours=("00:00-03:10",)),
        Calendar(
            timezone=zone,
            days=every,
            hours=("00:00-24:00",),
            freezes=(Closure(dates=freeze),),
            company_days=(Closure(dates=f"{wall - timedelta(days=1):%Y-%m-%d}"),),
        ),
    ]


def check(calendar: Calendar, start: datetime, end: datetime) -> None:
    """Ask at each minute, and for the next change at each minute next to a change."""
    instants = minutes(start, end)
    expected = told(calendar, instants)
    assert [calendar.opening(instant).open for instant in instants] == expected
    changes = spans(instants, expected)
    asked = {point for point, _ in changes} | {point - MINUTE for point, _ in changes[1:]}
    for instant in sorted(asked | set(instants[::997])):
        check_next(calendar, instant, changes, end)


def check_next(
    calendar: Calendar, instant: datetime, changes: list[tuple[datetime, bool]], end: datetime
) -> None:
    now = [is_open for point, is_open in changes if point <= instant][-1]
    change = next((point for point, _ in changes if point > instant), None)
    stays, turns = (
        (calendar.next_open, calendar.next_close)
        if now
        else (calendar.next_close, calendar.next_open)
    )
    assert stays(instant) == instant
    found = turns(instant)
    if change is None:
        assert found is None or found >= end
    else:
        assert found == change


@pytest.mark.parametrize(
    ("zone", "change"), CHANGES, ids=[f"{zone} {change:%Y-%m-%d}" for zone, change in CHANGES]
)
def test_each_minute_is_right_around_a_change_of_the_clocks(zone: str, change: datetime) -> None:
    for calendar in calendars_around(zone, change):
        check(calendar, change - AROUND, change + AROUND)


YEAR: list[tuple[Calendar, Freezes]] = [
    (
        Calendar(
            timezone="Europe/Berlin",
            hours_of={"fri": ("09:00-12:00",)},
            holidays=(PublicHolidays(country="DE", subdivision="BY"),),
            company_days=(Closure(dates="12-24..01-02"),),
            icalendars=(ICALENDAR,),
        ),
        icalendar_in_words,
    ),
    (
        Calendar(
            timezone="Asia/Jerusalem",
            days=("sun-thu",),
            hours=("08:30-12:00", "13:00-18:00"),
            holidays=(PublicHolidays(country="IL"), PublicHolidays(country="US")),
            freezes=(Closure(dates="2026-06-01T12:00..2026-06-14T08:00", name="migration"),),
        ),
        lambda wall: False,
    ),
    (
        Calendar(
            timezone="America/New_York",
            days=("tue", "thu-sat"),
            hours=("00:00-24:00",),
            holidays=(PublicHolidays(country="US", subdivision="CA"),),
            company_days=(Closure(dates="2026-11-25..2026-11-30"), Closure(dates="02-29")),
        ),
        lambda wall: False,
    ),
]


@pytest.mark.parametrize(("calendar", "events"), YEAR, ids=["Berlin", "Jerusalem", "New York"])
def test_a_year_of_next_open_and_next_close_is_that_of_its_minutes(
    calendar: Calendar, events: Freezes
) -> None:
    start, end = at("2026-01-01"), at("2027-01-01")
    instants = minutes(start, end)
    expected = spans(instants, told(calendar, instants, events))
    found = [(start, calendar.opening(start).open)]
    while True:
        point, is_open = found[-1]
        change = calendar.next_close(point) if is_open else calendar.next_open(point)
        if change is None or change >= end:
            break
        found.append((change, not is_open))
    assert found == expected


def clock(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@st.composite
def some_calendars(draw: st.DrawFn) -> tuple[Calendar, datetime]:
    zone, change = draw(st.sampled_from(CHANGES))
    ends = draw(st.lists(st.integers(0, 24 * 60), min_size=2, max_size=6, unique=True))
    pairs = itertools.pairwise(sorted(ends))
    hours = tuple(f"{clock(start)}-{clock(end)}" for start, end in itertools.islice(pairs, 0, 5, 2))
    days = draw(st.lists(st.sampled_from(WEEK), min_size=1, max_size=7, unique=True))
    offsets = draw(st.lists(st.integers(-40 * 60, 40 * 60), max_size=4, unique=True))
    walls = [change.replace(tzinfo=None) + MINUTE * offset for offset in sorted(offsets)]
    freezes = [
        Closure(dates=f"{start:%Y-%m-%dT%H:%M}..{end:%Y-%m-%dT%H:%M}")
        for start, end in zip(walls[::2], walls[1::2], strict=False)
    ]
    part = draw(st.sampled_from(days))
    choices: list[dict[str, tuple[str, ...]]] = [{}, {part: ()}, {part: ("12:00-13:00",)}]
    own = draw(st.sampled_from(choices))
    return (
        Calendar(
            timezone=zone, days=tuple(days), hours=hours, hours_of=own, freezes=tuple(freezes)
        ),
        change,
    )


@settings(max_examples=30)
@given(some_calendars())
def test_any_calendar_is_right_around_a_change_of_the_clocks(
    drawn: tuple[Calendar, datetime],
) -> None:
    calendar, change = drawn
    # The oracle must see where freezes begin and end, so it looks further than they reach.
    check(calendar, change - 2 * AROUND, change + 2 * AROUND)
