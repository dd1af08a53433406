"""A closure as a person writes it: a day, a range of days or of times, or a day of every year."""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Meta

from chaosrun.calendars.zones import first, last

_POINT = re.compile(r"\d{4}-\d\d-\d\d(T\d\d:\d\d)?")
_YEARLY = re.compile(r"\d\d-\d\d")
_LEAP = 2000
_FORMS = "2026-12-24, 2026-12-24..2027-01-01, 2026-12-24T18:00..2026-12-27T08:00 or 12-24..12-26"


class Part(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """A part of what a person writes about a calendar."""


class Closure(Part, frozen=True, kw_only=True):
    """Days on which it is closed, and why."""

    dates: Annotated[
        str,
        Meta(
            description="A day, a range of days with both ends, a range of times, or the same "
            "days of every year, in the calendar's time zone",
            examples=["2026-12-24", "2026-11-25T12:00..2026-11-30T08:00", "12-24..01-01"],
        ),
    ]
    name: Annotated[str, Meta(description="Why, for who finds it closed")] = ""

    def __post_init__(self) -> None:
        _parse(self.dates)

    def __str__(self) -> str:
        return f"{self.name} ({self.dates})" if self.name else self.dates

    def covers(self, instant: datetime, zone: ZoneInfo) -> bool:
        """Whether it is closed at that instant."""
        dates = _parse(self.dates)
        if isinstance(dates, _EveryYear):
            local = instant.astimezone(zone)
            return dates.covers((local.month, local.day))
        start, end = _instants(dates, zone)
        return start <= instant < end

    def edges(self, zone: ZoneInfo) -> tuple[datetime, ...]:
        """When it begins and ends, but for what happens at midnight each year."""
        dates = _parse(self.dates)
        return () if isinstance(dates, _EveryYear) else _instants(dates, zone)


class _Once(NamedTuple):
    """From one wall time to another."""

    start: datetime
    end: datetime


class _EveryYear(NamedTuple):
    """From a month and day to another, both included; over the new year where `end` is less."""

    start: tuple[int, int]
    end: tuple[int, int]

    def covers(self, day: tuple[int, int]) -> bool:
        if self.start <= self.end:
            return self.start <= day <= self.end
        return day >= self.start or day <= self.end


@lru_cache(4096)
def _parse(text: str) -> _Once | _EveryYear:
    """Raises ValueError with what to write instead."""
    start, dots, end = (part.strip() for part in text.partition(".."))
    end = end if dots else start
    try:
        if _YEARLY.fullmatch(start) and _YEARLY.fullmatch(end):
            return _EveryYear(_month_and_day(start), _month_and_day(end))
        if not (_POINT.fullmatch(start) and _POINT.fullmatch(end)):
            raise ValueError(f"not of the form {_FORMS}")
        once = _Once(datetime.fromisoformat(start), _end(end))
    except (ValueError, OverflowError) as error:
        raise ValueError(f"`dates` {text!r}: {error}") from None
    if not dots and "T" in start:
        raise ValueError(f"`dates` {text!r}: a time needs an end: {start}..{start[:10]}T23:00?")
    if once.end <= once.start:
        raise ValueError(f"`dates` {text!r}: it ends before it begins")
    return once


def _end(text: str) -> datetime:
    """Where a range ends; a day is closed to its midnight."""
    end = datetime.fromisoformat(text)
    return end if "T" in text else end + timedelta(days=1)


def _month_and_day(text: str) -> tuple[int, int]:
    day = date.fromisoformat(f"{_LEAP}-{text}")
    return day.month, day.day


@lru_cache(4096)
def _instants(once: _Once, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """From the first instant that could be meant to the last."""
    return first(once.start, zone), last(once.end, zone)
