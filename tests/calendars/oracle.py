"""A calendar told minute by minute, from the words a person wrote: slow, and hard to get wrong.

Nothing of `chaosrun.calendars` is used but the struct that carries the words.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

import holidays

from chaosrun.calendars import Calendar

MINUTE = timedelta(minutes=1)
WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Freezes = Callable[[datetime], bool]
"""What the events of an iCalendar say of a wall time, in words of its own."""


def minutes(start: datetime, end: datetime) -> list[datetime]:
    """Every whole minute from `start` to before `end`, in UTC."""
    count = int((end - start) / MINUTE)
    return [start + index * MINUTE for index in range(count)]


def told(
    calendar: Calendar, instants: list[datetime], events: Freezes = lambda wall: False
) -> list[bool]:
    """Whether it is open at each of these minutes, which follow each other."""
    zone = ZoneInfo(calendar.timezone)
    walls = [instant.astimezone(zone).replace(tzinfo=None) for instant in instants]
    rules = _Rules(calendar)
    closed = _in_closures(calendar, walls)
    return [
        rules.open(wall) and not shut and not events(wall)
        for wall, shut in zip(walls, closed, strict=True)
    ]


def spans(instants: Iterable[datetime], opens: Iterable[bool]) -> list[tuple[datetime, bool]]:
    """Where it changes: the first minute of each stretch, and whether it is open."""
    found: list[tuple[datetime, bool]] = []
    for instant, is_open in zip(instants, opens, strict=True):
        if not found or found[-1][1] is not is_open:
            found.append((instant, is_open))
    return found


def transitions(zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Every minute at which the zone's clocks change, found by looking at each of them."""
    found, there = [], ZoneInfo(zone)
    before = start
    while before < end:
        after = before + timedelta(hours=1)
        if before.astimezone(there).utcoffset() != after.astimezone(there).utcoffset():
            inside = [before + index * MINUTE for index in range(1, 61)]
            old = before.astimezone(there).utcoffset()
            found.append(next(m for m in inside if m.astimezone(there).utcoffset() != old))
        before = after
    return found


class _Rules:
    def __init__(self, calendar: Calendar) -> None:
        self._hours: dict[int, list[tuple[str, str]]] = {}
        for text in calendar.days:
            ends = text.split("-")
            day = WEEK.index(ends[0])
            while True:
                written = calendar.hours_of.get(WEEK[day], calendar.hours)
                self._hours[day] = [(hours[:5], hours[6:]) for hours in written]
                if WEEK[day] == ends[-1]:
                    break
                day = (day + 1) % 7
        self._holidays = [(some.country, some.subdivision) for some in calendar.holidays]

    def open(self, wall: datetime) -> bool:
        clock = f"{wall.hour:02}:{wall.minute:02}"
        hours = self._hours.get(wall.weekday(), [])
        if not any(start <= clock < end for start, end in hours):
            return False
        return not any(wall.date() in _holidays(*some, wall.year) for some in self._holidays)


def _in_closures(calendar: Calendar, walls: list[datetime]) -> list[bool]:
    closed = [False] * len(walls)
    for closure in (*calendar.freezes, *calendar.company_days):
        start, _, end = closure.dates.partition("..")
        end = end or start
        if len(start) == len("12-24"):
            for index, wall in enumerate(walls):
                day = f"{wall.month:02}-{wall.day:02}"
                within = start <= day <= end if start <= end else day >= start or day <= end
                closed[index] |= within
            continue
        begins = datetime.fromisoformat(start)
        ends = datetime.fromisoformat(end) + timedelta(days=0 if "T" in end else 1)
        # From the first minute that shows its beginning to the last that shows less than its end.
        first = next((i for i, wall in enumerate(walls) if wall >= begins), len(walls))
        last = next((i for i in reversed(range(len(walls))) if walls[i] < ends), -1)
        for index in range(first, last + 1):
            closed[index] = True
    return closed


@cache
def _holidays(country: str, subdivision: str, year: int) -> frozenset[date]:
    return frozenset(holidays.country_holidays(country, subdivision or None, years=year).keys())


def at(text: str) -> datetime:
    """The instant of `2026-11-24T10:00`, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)
