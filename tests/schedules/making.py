"""Schedules for tests, and the brute-force oracle: minute by minute, with nothing of ours."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from chaosrun.codec import from_plain
from chaosrun.schedules.fires import Fire, Timetable, fires
from chaosrun.schedules.spec import Schedule
from chaosrun.units import JSON

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)
ZONES = (
    "UTC", "Europe/Berlin", "America/New_York", "Asia/Jerusalem", "Australia/Lord_Howe",
    "America/St_Johns", "Africa/Casablanca", "Pacific/Apia", "Asia/Kathmandu",
)  # fmt: skip


def schedule(name: str = "nightly", **spec: JSON) -> Schedule:
    plain = {
        "apiVersion": "chaosrun.dev/v1",
        "kind": "Schedule",
        "metadata": {"name": name},
        "spec": {"experiment": "experiment.yaml", **spec},
    }
    return from_plain(plain, Schedule)


def table(name: str = "nightly", **spec: JSON) -> Timetable:
    return Timetable(schedule(name, **spec))


def times(found: Timetable, start: datetime, end: datetime) -> list[datetime]:
    """When it fires, without the days on which it does not."""
    return [each.at for each in fires(found, start, end) if isinstance(each, Fire)]


def at(text: str, zone: str = "UTC") -> datetime:
    """The instant of a wall time, the first where there are two."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def minutes(start: datetime, end: datetime) -> Iterator[datetime]:
    while start < end:
        yield start
        start += MINUTE


def cron_oracle(cron: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    """Each matching minute of the wall once: when the wall first shows it, or something later."""
    matches, tz = _matcher(cron), ZoneInfo(zone)
    begin = start - 2 * DAY
    highest = begin.astimezone(tz).replace(tzinfo=None)
    found = []
    for instant in minutes(begin, end):
        wall = instant.astimezone(tz).replace(tzinfo=None)
        due = instant == begin and matches(wall)
        while highest < wall:
            highest += MINUTE
            due = due or matches(highest)
        if due and instant >= start:
            found.append(instant)
    return found


class _Matcher:
    def __init__(self, cron: str) -> None:
        minute, hour, day, month, weekday = cron.split()
        self.fields = [
            _numbers(minute, 0, 59), _numbers(hour, 0, 23), _numbers(day, 1, 31),
            _numbers(month, 1, 12), {number % 7 for number in _numbers(weekday, 0, 7)},
        ]  # fmt: skip

    def __call__(self, wall: datetime) -> bool:
        shown = (wall.minute, wall.hour, wall.day, wall.month, wall.isoweekday() % 7)
        return all(number in field for number, field in zip(shown, self.fields, strict=True))


def _matcher(cron: str) -> _Matcher:
    return _Matcher(cron)


def _numbers(field: str, lowest: int, highest: int) -> set[int]:
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        begin, _, end = span.partition("-")
        first = lowest if begin == "*" else int(begin)
        last = highest if begin == "*" else int(end or begin)
        found.update(range(first, last + 1, int(step or 1)))
    return found
