"""Walls and instants: what a clock on the wall of a time zone shows, and when it does.

Law: an instant is an aware datetime in UTC, a wall time is a naive one. A wall time that a
change of the clocks skips or repeats has a first and a last instant, and callers must choose.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

WEEK = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_SAMPLE = timedelta(hours=4)
"""No zone has changed its clocks twice within it."""
_SECOND = timedelta(seconds=1)


def zone_of(name: str) -> ZoneInfo:
    """The time zone of that name. Raises ValueError with what to write instead."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):  # the last for `Europe`, a folder
        raise ValueError(
            f"{name!r} is not a time zone such as Europe/Berlin, America/New_York or UTC"
        ) from None


def utc(instant: datetime) -> datetime:
    """The same instant in UTC. Raises ValueError for a time without a zone."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs its time zone")
    return instant.astimezone(UTC)


def first(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first instant at which the wall shows `wall` or later."""
    early, late = _folds(wall, zone)
    return early if early <= late else next(changes(late, early, zone))


def last(wall: datetime, zone: ZoneInfo) -> datetime:
    """The instant from which on the wall never shows less than `wall` again."""
    early, late = _folds(wall, zone)
    return late if early <= late else next(changes(late, early, zone))


def changes(start: datetime, end: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The instants after `start`, up to `end`, at which the clocks change, to the second."""
    before = start
    while before < end:
        after = min(before + _SAMPLE, end)
        if _offset(before, zone) != _offset(after, zone):
            yield _change(before, after, zone)
        before = after


def shown(instant: datetime, zone: ZoneInfo) -> str:
    """`Tue 2026-11-24 14:03 in Asia/Jerusalem`, the same in every language."""
    local = instant.astimezone(zone)
    day = _NAMES[local.weekday()][:3]
    return f"{day} {local:%Y-%m-%d %H:%M} in {zone.key}"


def day_name(day: int) -> str:
    """`Friday` of 4."""
    return _NAMES[day]


def _folds(wall: datetime, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """The instants of a wall time by the offset before a change and by that after it (PEP 495).

    They are in this order where clocks are put back, and in the other where put forward.
    """
    aware = wall.replace(tzinfo=zone)
    return aware.replace(fold=0).astimezone(UTC), aware.replace(fold=1).astimezone(UTC)


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    old = _offset(before, zone)
    while after - before > _SECOND:
        middle = (before + (after - before) / 2).replace(microsecond=0)
        if middle <= before:
            middle = before.replace(microsecond=0) + _SECOND
        if _offset(middle, zone) == old:
            before = middle
        else:
            after = middle
    return after.replace(microsecond=0)


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()
