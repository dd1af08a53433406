"""Freezes out of iCalendar text (RFC 5545), such as a shared calendar exports.

Law (L4): every event closes, and what cannot be read raises. Only a cancelled event does not
close: one that is marked free does, since calendars mark whole days so by themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from threading import Lock
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from chaosrun.calendars.zones import first, last, utc
from chaosrun.errors import Refused

if TYPE_CHECKING:
    from icalendar import Calendar, Component

_LONGEST = 4 * 1024 * 1024
_CHUNK = 32
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MARGIN = timedelta(days=2)
"""More than any zone is away from UTC: times without a zone are looked up as if in UTC."""
_TOO_OFTEN = ("SECONDLY", "MINUTELY")
_expanding = Lock()


class Event(NamedTuple):
    """One occurrence: closed from `start` to before `end`."""

    start: datetime
    end: datetime
    name: str


def check(text: str) -> None:
    """Raises Refused for text that is not a whole iCalendar."""
    _parsed(text)


def events_near(text: str, instant: datetime, zone: ZoneInfo) -> tuple[Event, ...]:
    """The occurrences in some weeks around an instant, those that touch them included.

    Times without a zone, and whole days, are those of `zone`. Raises Refused.
    """
    return _events(text, zone, chunk_of(instant))


def chunk_of(instant: datetime) -> int:
    """Which of the stretches of time, that are looked up at once, an instant is in."""
    return (instant - _EPOCH).days // _CHUNK


@lru_cache(256)
def _events(text: str, zone: ZoneInfo, chunk: int) -> tuple[Event, ...]:
    start = _EPOCH + timedelta(days=chunk * _CHUNK)
    end = start + timedelta(days=_CHUNK)
    found = []
    for calendar in _parsed(text):
        for component in _occurrences(calendar, start - _MARGIN, end + _MARGIN):
            if str(component.get("STATUS", "")).upper() == "CANCELLED":
                continue
            event = _event(component, zone)
            if event.start < end and event.end > start:
                found.append(event)
    return tuple(sorted(found))


def _occurrences(calendar: Calendar, start: datetime, end: datetime) -> list[Component]:
    import recurring_ical_events

    try:
        with _expanding:  # it works on the calendar itself
            return list(recurring_ical_events.of(calendar).between(start, end))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
        # All that the library raises for events that contradict themselves.
        raise Refused(f"the iCalendar has an event that cannot be understood: {error}") from None


@lru_cache(16)
def _parsed(text: str) -> tuple[Calendar, ...]:
    try:
        import icalendar
        import recurring_ical_events  # noqa: F401 - both are needed
    except ImportError:
        raise Refused(
            "iCalendars need the libraries `icalendar` and `recurring-ical-events`",
            hint="pip install 'chaosrun[calendars]'",
        ) from None
    if len(text) > _LONGEST:
        raise Refused(f"the iCalendar is longer than {_LONGEST} characters")
    try:
        calendars = icalendar.Calendar.from_ical(text, multiple=True)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise Refused(f"not an iCalendar: {str(error)[:200]}") from None
    if not text.rstrip().upper().endswith("END:VCALENDAR"):
        raise Refused("not a whole iCalendar: it does not end with END:VCALENDAR")
    if not calendars or any(calendar.name != "VCALENDAR" for calendar in calendars):
        raise Refused("not an iCalendar: it has no VCALENDAR")
    for calendar in calendars:
        for part in calendar.walk():
            _check(part)
    return tuple(calendars)


def _check(part: Component) -> None:
    """Refuse what the libraries would leave out in silence."""
    if part.errors and part.name in ("VCALENDAR", "VEVENT", "VTIMEZONE", "STANDARD", "DAYLIGHT"):
        name, why = part.errors[0]
        raise Refused(f"the iCalendar has a {part.name} with a wrong {name}: {why}")
    if part.name != "VEVENT":
        return
    shown = str(part.get("SUMMARY", part.get("UID", "")))[:80]
    if "DTSTART" not in part:
        raise Refused(f"the iCalendar's event {shown!r} has no DTSTART")
    for name in ("DTSTART", "DTEND"):
        point = getattr(part.get(name), "dt", None)
        if isinstance(point, datetime) and _floats(point) and "TZID" in part[name].params:
            zone = part[name].params["TZID"]
            raise Refused(f"the iCalendar's event {shown!r} is in an unknown time zone, {zone}")
    rules = part.get("RRULE", [])
    for rule in rules if isinstance(rules, list) else [rules]:
        if any(often in _TOO_OFTEN for often in rule.get("FREQ", [])):
            raise Refused(f"the iCalendar's event {shown!r} repeats more often than every hour")


def _event(component: Component, zone: ZoneInfo) -> Event:
    start = _point(component, "DTSTART")
    end = _point(component, "DTEND") if "DTEND" in component else start
    began = first(_wall(start), zone) if _floats(start) else utc(_wall(start))
    ended = last(_wall(end), zone) if _floats(end) else utc(_wall(end))
    if ended <= began:  # an event without an end closes the rest of its day
        day = began.astimezone(zone).date() + timedelta(days=1)
        ended = last(datetime.combine(day, time()), zone)
    return Event(began, ended, str(component.get("SUMMARY", "")).strip() or "without a title")


def _point(component: Component, name: str) -> date:
    """A day, or a time with or without a zone. A datetime is a date, too."""
    point = getattr(component[name], "dt", None)
    if not isinstance(point, date):
        raise Refused(f"the iCalendar has an event whose {name} is neither a day nor a time")
    return point


def _floats(point: date) -> bool:
    return not isinstance(point, datetime) or point.tzinfo is None


def _wall(point: date) -> datetime:
    return point if isinstance(point, datetime) else datetime.combine(point, time())


def edges(text: str, start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """When events begin and end, near the time from `start` to `end`. Raises Refused."""
    for chunk in range(chunk_of(start), chunk_of(end) + 1):
        for event in _events(text, zone, chunk):
            yield event.start
            yield event.end
