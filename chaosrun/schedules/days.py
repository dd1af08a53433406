"""The open time of each day: what a calendar says, as spans that can be counted and measured.

Law: the same as the calendar's own answer at every instant; what is quicker here is only how
plain days are found. A day is that of the calendar's time zone.
"""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from chaosrun.calendars import Calendar
from chaosrun.calendars.zones import WEEK, first, zone_of
from chaosrun.codec import from_json, to_json

Span = tuple[datetime, datetime]
_DAY = timedelta(days=1)
_MOST = 4000


class Days:
    """The days of a calendar, or of a zone whose days are all open. Remembers what it was asked."""

    def __init__(self, zone: ZoneInfo, calendar: Calendar | None) -> None:
        self.zone = zone
        self.calendar = calendar
        self._spans: dict[date, tuple[Span, ...]] = {}
        self._plain = calendar is not None and not (
            calendar.freezes or calendar.company_days or calendar.icalendars
        )

    def bounds(self, day: date) -> Span:
        """From the first instant of a day to the first of the next."""
        midnight = datetime.combine(day, time())
        return first(midnight, self.zone), first(midnight + _DAY, self.zone)

    def spans(self, day: date) -> tuple[Span, ...]:
        """When it is open on that day, in order. Raises Refused when that cannot be known."""
        found = self._spans.get(day)
        if found is None:
            if len(self._spans) > _MOST:
                self._spans.clear()
            found = self._spans[day] = self._find(day)
        return found

    def open_on(self, day: date) -> bool:
        """Whether it is open at all on that day."""
        return bool(self.spans(day))

    def open_at(self, instant: datetime) -> bool:
        """Whether it is open at that instant."""
        spans = self.spans(instant.astimezone(self.zone).date())
        return any(start <= instant < end for start, end in spans)

    def previous(self, day: date, limit: date) -> date | None:
        """The open day before that one, not before `limit`."""
        while (day := day - _DAY) >= limit:
            if self.open_on(day):
                return day
        return None

    def at(self, day: date, share: float) -> datetime:
        """The instant at which that share of the day's open time is over, to the second."""
        spans = self.spans(day)
        left = share * sum((end - start).total_seconds() for start, end in spans)
        for start, end in spans:
            seconds = (end - start).total_seconds()
            if left < seconds:
                return (start + timedelta(seconds=int(left))).replace(microsecond=0)
            left -= seconds
        return spans[-1][1] - timedelta(seconds=1)

    def closed_by(self, instant: datetime) -> str:
        """The rule that closes it at that instant; empty when it is open."""
        return self.calendar.opening(instant).closed_by if self.calendar else ""

    def _find(self, day: date) -> tuple[Span, ...]:
        start, end = self.bounds(day)
        calendar = self.calendar
        if start >= end:  # a day that the zone skipped
            return ()
        if calendar is None:
            return ((start, end),)
        if self._plain and end - start == _DAY:  # the clocks do not change
            return self._plain_spans(calendar, day, start)
        spans, at = [], start
        while at < end and (opens := calendar.next_open(at, end - at)) and opens < end:
            at = min(end, calendar.next_close(opens, end - opens) or end)
            spans.append((opens, at))
        return tuple(spans)

    def _plain_spans(self, calendar: Calendar, day: date, start: datetime) -> tuple[Span, ...]:
        if any(some.on(day) for some in calendar.holidays):
            return ()
        hours = _minutes(calendar.days, calendar.hours_of.get(WEEK[day.weekday()], calendar.hours))
        return tuple(
            (start + timedelta(minutes=begin), start + timedelta(minutes=end))
            for begin, end in hours.get(day.weekday(), ())
        )


@lru_cache(512)
def _days_of(timezone: str, calendar: bytes) -> Days:
    return Days(zone_of(timezone), from_json(calendar, Calendar) if calendar else None)


def days_of(timezone: str, calendar: Calendar | None) -> Days:
    """The days of a calendar, shared by all who ask for the same one."""
    return _days_of(timezone, to_json(calendar) if calendar is not None else b"")


@lru_cache(512)
def _minutes(
    days: tuple[str, ...], hours: tuple[str, ...]
) -> dict[int, tuple[tuple[int, int], ...]]:
    """For each working weekday its open minutes, joined where they touch or overlap."""
    spans: list[tuple[int, int]] = []
    for text in sorted(hours):
        begin, end = (int(part[:2]) * 60 + int(part[3:]) for part in text.split("-"))
        if spans and begin <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((begin, end))
    working: set[int] = set()
    for text in days:
        start, _, until = text.partition("-")
        day, last = WEEK.index(start), WEEK.index(until or start)
        working.add(day)
        while day != last:
            day = (day + 1) % 7
            working.add(day)
    return {day: tuple(spans) for day in working}
