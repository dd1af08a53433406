"""The times of `cron` and `interval`: APScheduler computes them, and has its home here.

Law: pure, and the same for whoever asks. Cron is computed on the wall and not in a zone: each
matching time of the clock on the wall comes once. One that the clocks skip comes when they change;
one that they repeat comes the first time.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

from chaosrun.calendars.zones import first
from chaosrun.errors import Rejected

_SHORT = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_FIELDS = ("minute", "hour", "day", "month", "weekday")
_WEEK = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_FIELD = re.compile(r"[0-9a-z*/,-]{1,100}", re.IGNORECASE)
_WEEKDAYS = re.compile(r"(\*|[a-z0-9]+)(?:-([a-z0-9]+))?(?:/([0-9]+))?", re.IGNORECASE)
_MARGIN = timedelta(hours=26)
"""More than any zone has ever put its clocks forward."""
_SECOND = timedelta(seconds=1)


def check_cron(text: str) -> None:
    """Raises ValueError, which says what to write instead, for a cron that can never fire too."""
    trigger = _cron(text)
    if trigger.get_next_fire_time(None, datetime(2024, 1, 1, tzinfo=UTC)) is None:
        raise ValueError(f"`cron` {text!r} never fires: no month has such a day")


def cron_times(text: str, zone: ZoneInfo, start: datetime) -> Iterator[datetime]:
    """The instants of a cron in a zone, from `start` on, in order."""
    trigger = _cron(text)
    local = start.astimezone(zone)
    before = (start - _SECOND).astimezone(zone).utcoffset()
    wall = local.replace(tzinfo=UTC, fold=0)
    if before != local.utcoffset():  # what was skipped just now is due now
        wall -= _MARGIN
    last: datetime | None = None
    while (found := trigger.get_next_fire_time(None, wall)) is not None:
        wall = found + _SECOND
        at = first(found.replace(tzinfo=None), zone)
        if at >= start and at != last:
            yield at
            last = at


def interval_times(seconds: int, anchor: datetime, start: datetime) -> Iterator[datetime]:
    """The instants every so many seconds from `anchor` on, those from `start` on, in order."""
    trigger = _apscheduler("interval:IntervalTrigger")(
        seconds=seconds, start_date=anchor.astimezone(UTC), timezone=UTC
    )
    found = trigger.get_next_fire_time(None, start.astimezone(UTC))
    while found is not None:
        yield (found + timedelta(milliseconds=500)).replace(microsecond=0)  # it counts in floats
        found = trigger.get_next_fire_time(found, found)


@lru_cache(4096)
def _cron(text: str) -> Any:
    """The trigger of a cron, in UTC: it stands for the clock on the wall. Raises ValueError."""
    fields = _SHORT.get(text.strip().lower(), text).split()
    if len(fields) != 5:
        raise ValueError(
            f"`cron` has five parts, {', '.join(_FIELDS)}, as in 30 10 * * mon-fri; {text!r} has"
            f" {len(fields)}"
        )
    for name, field in zip(_FIELDS, fields, strict=True):
        if not _FIELD.fullmatch(field):
            raise ValueError(f"`cron`: the {name} {field!r} is not like 5, 1-5, 1,3 or */10")
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        raise ValueError(
            "`cron` names days and weekdays, which some crons take as either and some as both:"
            " write * for one of them, and use `window` for the other"
        )
    try:
        return _apscheduler("cron:CronTrigger")(
            minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday),
            second=0, timezone=UTC, end_date=datetime(2199, 12, 31, tzinfo=UTC),
        )  # fmt: skip
    except (ValueError, TypeError) as error:
        raise ValueError(f"`cron` {text!r}: {_said(str(error))}") from None


def _said(error: str) -> str:
    return error[:1].lower() + error[1:]


def _weekdays(field: str) -> str:
    """Names for cron's weekdays: to cron 0 and 7 are Sunday, to APScheduler 0 is Monday.

    Ranges may go over the end of the week, as in fri-mon.
    """
    if field == "*":
        return "*"
    found: set[int] = set()
    for part in field.lower().split(","):
        match = _WEEKDAYS.fullmatch(part)
        if match is None:
            raise ValueError(f"the weekday {part!r} is not like 1, mon, 1-5, sun-thu or */2")
        begin, end, step = match.groups()
        day = 0 if begin == "*" else _weekday(begin)
        last = 6 if begin == "*" or (step and not end) else _weekday(end or begin)
        count = (last - day) % 7
        if end == "7" and day == 0:
            count = 7
        if step == "0":
            raise ValueError("a step is at least 1")
        found.update((day + ahead) % 7 for ahead in range(0, count + 1, int(step or 1)))
    return ",".join(_WEEK[day] for day in sorted(found))


def _weekday(text: str) -> int:
    if text in _WEEK:
        return _WEEK.index(text)
    if text.isdigit() and int(text) <= 7:
        return int(text) % 7
    raise ValueError(f"{text!r} is no weekday: sun to sat, or 0 to 7")


def _apscheduler(path: str) -> Any:
    from importlib import import_module

    module, _, name = path.partition(":")
    try:
        return getattr(import_module(f"apscheduler.triggers.{module}"), name)
    except ImportError as error:
        raise Rejected(
            f"schedules need APScheduler: {error}",
            hint="pip install 'chaosrun[service]'",
            code="missing-extra",
        ) from None
