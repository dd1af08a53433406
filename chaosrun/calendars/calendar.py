"""A calendar: when it is open, which rule closed it, and when that changes.

Law: `opening` alone says what holds at an instant; `next_open` and `next_close` ask it at every
instant at which anything could change, so they cannot say otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import Annotated, NamedTuple
from zoneinfo import ZoneInfo

from msgspec import Meta

from chaosrun.calendars import icalendars
from chaosrun.calendars.closures import Closure, Part
from chaosrun.calendars.public_holidays import PublicHolidays
from chaosrun.calendars.zones import WEEK, changes, day_name, first, last, shown, utc, zone_of
from chaosrun.gate import Measured

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-(([01]\d|2[0-3]):([0-5]\d)|24:00)")
_DAY = timedelta(days=1)
_AHEAD = 731 * _DAY
"""How far is looked for the next change."""
_SHOWN = 32 * _DAY
"""How far is looked only to say when it closes: iCalendars take long to look through."""

Minutes = tuple[int, int]


class Opening(NamedTuple):
    """Whether it is open at an instant; `closed_by` is the rule that closed it."""

    open: bool
    closed_by: str


class Calendar(Part, frozen=True, kw_only=True):
    """A working week in a time zone, without holidays, company days and freezes."""

    timezone: Annotated[
        str,
        Meta(
            description="The time zone of all days and hours",
            examples=["Europe/Berlin", "Asia/Jerusalem", "UTC"],
        ),
    ]
    days: Annotated[
        tuple[str, ...],
        Meta(description="The working days", examples=[["mon-fri"], ["sun-thu"], ["mon", "wed"]]),
    ] = ("mon-fri",)
    hours: Annotated[
        tuple[str, ...],
        Meta(
            description="The working hours, by the clock on the wall; the end is not in it",
            examples=[["09:00-17:00"], ["09:00-12:00", "13:00-16:00"], ["00:00-24:00"]],
        ),
    ] = ("09:00-17:00",)
    hours_of: Annotated[
        dict[str, tuple[str, ...]],
        Meta(
            description="The hours of single working days, instead of `hours`",
            examples=[{"fri": ["09:00-12:00"]}],
        ),
    ] = {}
    holidays: Annotated[
        tuple[PublicHolidays, ...], Meta(description="Whose public holidays are closed")
    ] = ()
    company_days: Annotated[tuple[Closure, ...], Meta(description="Our own days off")] = ()
    freezes: Annotated[tuple[Closure, ...], Meta(description="When nothing may be touched")] = ()
    icalendars: Annotated[
        tuple[str, ...],
        Meta(description="Texts of iCalendars; it is closed during each of their events"),
    ] = ()

    def __post_init__(self) -> None:
        zone_of(self.timezone)
        working = _days(self.days)
        _hours(self.hours)
        for day, hours in self.hours_of.items():
            if day not in WEEK:
                raise ValueError(f"`hoursOf` {day!r} is not one of {', '.join(WEEK)}")
            if WEEK.index(day) not in working:
                raise ValueError(f"`hoursOf` {day!r} is not one of the working `days`")
            _hours(hours)

    @property
    def zone(self) -> ZoneInfo:
        return zone_of(self.timezone)

    def opening(self, instant: datetime) -> Opening:
        """What holds at an instant. Raises Refused when that cannot be known."""
        closed_by = next(self._closed_by(utc(instant), self.zone), "")
        return Opening(not closed_by, closed_by)

    def is_open(self, instant: datetime) -> Measured:
        """What holds at an instant, explained: what time it is there, the rule, what comes next.

        Raises Refused when that cannot be known.
        """
        found, zone = self.opening(instant), self.zone
        here, rule = shown(instant, zone), f"open {self}"
        if found.open:
            closes = self.next_close(instant, _SHOWN)
            until = f"; it closes {shown(closes, zone)}" if closes else ""
            return Measured(open=True, measured=f"it is {here}{until}", rule=rule)
        opens = self.next_open(instant)
        hint = f"it opens {shown(opens, zone)}" if opens else "it does not open within two years"
        return Measured(
            open=False, measured=f"it is {here}: {found.closed_by}", rule=rule, hint=hint
        )

    def next_open(self, instant: datetime, within: timedelta = _AHEAD) -> datetime | None:
        """The first instant, from this one on, at which it is open; None if not in that time."""
        return self._next(utc(instant), within, opened=True)

    def next_close(self, instant: datetime, within: timedelta = _AHEAD) -> datetime | None:
        """The first instant, from this one on, at which it is closed; None if not in that time."""
        return self._next(utc(instant), within, opened=False)

    def __str__(self) -> str:
        week = ", ".join(self.days) + " " + ", ".join(self.hours)
        for day, hours in self.hours_of.items():
            week += f", {day} {', '.join(hours) or 'closed'}"
        but = []
        if self.holidays:
            but.append("public holidays of " + ", ".join(str(some) for some in self.holidays))
        if self.company_days:
            but.append("company days")
        if self.freezes or self.icalendars:
            but.append("freezes")
        return f"{week} in {self.timezone}" + (f", but for {', '.join(but)}" if but else "")

    def _closed_by(self, instant: datetime, zone: ZoneInfo) -> Iterator[str]:
        """Every rule that closes it at an instant, the weightiest first."""
        for freeze in self.freezes:
            if freeze.covers(instant, zone):
                yield f"freeze {freeze}"
        for text in self.icalendars:
            for event in icalendars.events_near(text, instant, zone):
                if event.start <= instant < event.end:
                    yield f"freeze {event.name}, until {shown(event.end, zone)}"
        for day_off in self.company_days:
            if day_off.covers(instant, zone):
                yield f"company day {day_off}"
        local = instant.astimezone(zone)
        for some in self.holidays:
            if name := some.on(local.date()):
                yield f"public holiday of {some}: {name}"
        weekday = local.weekday()
        if weekday not in _days(self.days):
            yield f"{day_name(weekday)} is not a working day"
        minute = local.hour * 60 + local.minute
        hours = self._hours_of(weekday)
        if not any(start <= minute < end for start, end in _hours(hours)):
            yield f"outside of {', '.join(hours)}" if hours else f"no hours on {day_name(weekday)}"

    def _hours_of(self, weekday: int) -> tuple[str, ...]:
        return self.hours_of.get(WEEK[weekday], self.hours)

    def _next(self, instant: datetime, within: timedelta, *, opened: bool) -> datetime | None:
        if self.opening(instant).open is opened:
            return instant
        start, latest = instant, instant + within
        while start < latest:
            end = min(start + _DAY, latest)
            for point in self._points(start, end):
                if self.opening(point).open is opened:
                    return point
            start = end
        return None

    def _points(self, start: datetime, end: datetime) -> list[datetime]:
        """Every instant after `start`, up to `end`, at which anything could change, in order."""
        zone = self.zone
        points = set(changes(start, end, zone))
        for closure in (*self.freezes, *self.company_days):
            points.update(closure.edges(zone))
        for text in self.icalendars:
            points.update(icalendars.edges(text, start, end, zone))
        day = start.astimezone(zone).date() - _DAY
        for _ in range(4):  # a day before and one after, for days that a zone has skipped
            midnight = datetime.combine(day, time())
            for minutes in {
                0,
                *(m for span in _hours(self._hours_of(day.weekday())) for m in span),
            }:
                wall = midnight + timedelta(minutes=minutes)
                points.update((first(wall, zone), last(wall, zone)))
            day += _DAY
        return sorted(point for point in points if start < point <= end)


@lru_cache(1024)
def _days(written: tuple[str, ...]) -> frozenset[int]:
    """The numbers of `sun-thu`, Monday being 0. Raises ValueError."""
    found: set[int] = set()
    for text in written:
        start, dash, end = text.partition("-")
        if start not in WEEK or (dash and end not in WEEK):
            raise ValueError(f"`days` {text!r} is not of the form fri or sun-thu")
        day, until = WEEK.index(start), WEEK.index(end or start)
        found.add(day)
        while day != until:
            day = (day + 1) % 7
            found.add(day)
    if not found:
        raise ValueError("`days` is empty: it would never open")
    return frozenset(found)


@lru_cache(1024)
def _hours(written: tuple[str, ...]) -> tuple[Minutes, ...]:
    """The minutes of the day of `09:00-17:00`. Raises ValueError."""
    found = []
    for text in written:
        match = _HOURS.fullmatch(text)
        if match is None:
            raise ValueError(f"`hours` {text!r} is not of the form 09:00-17:00, up to 24:00")
        start = int(match[1]) * 60 + int(match[2])
        end = 24 * 60 if match[3] == "24:00" else int(match[4]) * 60 + int(match[5])
        if end <= start:
            raise ValueError(
                f"`hours` {text!r} end before they begin: write {text[:5]}-24:00 and 00:00-"
                f"{text[6:]} for hours over midnight"
            )
        found.append((start, end))
    return tuple(found)
