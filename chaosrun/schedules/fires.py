"""When a schedule fires, and why it does not on the days on which it does not. Pure.

Law: the same schedule gives the same fires to whoever asks, whenever and from wherever: a fire
is known by its schedule and its `due`, to the millisecond. Nothing here reads a clock or a file.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from hashlib import blake2b

import msgspec

from chaosrun.calendars.zones import first
from chaosrun.schedules import triggers
from chaosrun.schedules.chance import Chance
from chaosrun.schedules.days import days_of
from chaosrun.schedules.spec import Schedule, wall

_DAY = timedelta(days=1)
_YEAR = 366 * _DAY
_MILLISECOND = timedelta(milliseconds=1)
_ANCHOR = datetime(2000, 1, 1)
AHEAD = 731 * _DAY
"""How far is looked for the next fire."""


class Fire(msgspec.Struct, frozen=True):
    """The schedule fires: `due` is its name, `at` when it starts: later by the jitter."""

    schedule: str
    due: datetime
    at: datetime

    @property
    def key(self) -> int:
        """`due` in milliseconds since the epoch."""
        return key_of(self.due)


class NoFire(msgspec.Struct, frozen=True):
    """A day without a fire, and why."""

    day: date
    reason: str


class Timetable:
    """A schedule made ready to be asked. `icalendars` are the texts of `calendar.files`."""

    def __init__(self, schedule: Schedule, icalendars: tuple[str, ...] = ()) -> None:
        spec = schedule.spec
        self.schedule = schedule
        self.name = schedule.metadata.name
        self.days = days_of(spec.timezone, spec.open_hours(icalendars))
        self.zone = self.days.zone
        start, end = wall(spec.starting, "starting"), wall(spec.until, "until")
        self.begins = first(start, self.zone) if start else None
        self.ends = first(end, self.zone) if end else None
        self._anchor = first(start or _ANCHOR, self.zone)
        self._seed = f"{spec.seed}/{self.name}"
        self._jitter = timedelta(seconds=spec.jitter.seconds)
        chance = spec.random
        self.chance = (
            Chance(self._seed, chance.mean_days, chance.gap_days, self.days) if chance else None
        )

    def may_fire(self, instant: datetime) -> bool:
        """Whether its window and calendar are open; random times are inside them already."""
        return self.chance is not None or self.days.calendar is None or self.days.open_at(instant)

    def closed_by(self, instant: datetime) -> str:
        """The rule of its window or calendar that closes it at that instant."""
        return self.days.closed_by(instant)

    def ever_fires(self, since: datetime) -> bool:
        """Whether there is a fire within a year from `since`, or from when it starts."""
        start = self.begins or since
        end = min(self.ends, start + _YEAR) if self.ends else start + _YEAR
        day, last = start.astimezone(self.zone).date(), end.astimezone(self.zone).date()
        while day <= last:
            for begin, close in self.days.spans(day):
                if next(self.candidates(max(begin, start), min(close, end)), None) is not None:
                    return True
            day += _DAY
        return False

    def candidates(self, start: datetime, end: datetime) -> Iterator[Fire]:
        """What the trigger alone would fire with `at` from `start` to before `end`, by `at`."""
        if self.begins is not None:
            start = max(start, self.begins)
        if self.ends is not None:
            end = min(end, self.ends)
        waiting: list[tuple[datetime, datetime]] = []
        for due in self._dues(start - self._jitter, end):
            while waiting and waiting[0][0] <= due:
                yield self._fire(*heapq.heappop(waiting))
            at = due + self._late(due)
            if start <= at < end:
                heapq.heappush(waiting, (at, due))
        while waiting:
            yield self._fire(*heapq.heappop(waiting))

    def _fire(self, at: datetime, due: datetime) -> Fire:
        return Fire(self.name, due, at)

    def _dues(self, start: datetime, end: datetime) -> Iterator[datetime]:
        spec = self.schedule.spec
        if spec.cron:
            found = triggers.cron_times(spec.cron, self.zone, start)
        elif spec.interval is not None:
            found = triggers.interval_times(int(spec.interval.seconds), self._anchor, start)
        else:
            found = self._random_times(start, end)
        for due in found:
            if due >= end:
                return
            if self.begins is None or due >= self.begins:
                yield due

    def _random_times(self, start: datetime, end: datetime) -> Iterator[datetime]:
        assert self.chance is not None
        day, last = start.astimezone(self.zone).date(), end.astimezone(self.zone).date()
        while day <= last:
            for draw in self.chance.draws(day):
                if draw.fires and (at := self.days.at(day, draw.share)) >= start:
                    yield at
            day += _DAY

    def _late(self, due: datetime) -> timedelta:
        if not self._jitter:
            return self._jitter
        drawn = blake2b(f"{self._seed}/jitter/{key_of(due)}".encode(), digest_size=8).digest()
        share = int.from_bytes(drawn, "big") / 2**64
        return int(share * (self._jitter / _MILLISECOND)) * _MILLISECOND


def fires(table: Timetable, start: datetime, end: datetime) -> Iterator[Fire | NoFire]:
    """Every fire from `start` to before `end`, in order; each day without one says why."""
    start, end = start.astimezone(UTC), end.astimezone(UTC)
    day = start.astimezone(table.zone).date()
    last = (end - _MILLISECOND).astimezone(table.zone).date()
    fired, held = False, ""
    for fire in table.candidates(start, end):
        of_fire = fire.at.astimezone(table.zone).date()
        while day < of_fire:
            if not fired:
                yield NoFire(day, held or _why(table, day))
            day, fired, held = day + _DAY, False, ""
        if table.may_fire(fire.at):
            fired = True
            yield fire
        elif not held:
            local = fire.at.astimezone(table.zone)
            held = f"{local:%H:%M} is closed: {table.closed_by(fire.at)}"
    while day <= last:
        if not fired:
            yield NoFire(day, held or _why(table, day))
        day, fired, held = day + _DAY, False, ""


def next_fire(table: Timetable, after: datetime) -> Fire | None:
    """The first fire whose `at` is after that instant; None when there is none in two years."""
    start = after + _MILLISECOND
    for fire in table.candidates(start, start + AHEAD):
        if table.may_fire(fire.at):
            return fire
    return None


def key_of(instant: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(instant.timestamp() * 1000)


def _why(table: Timetable, day: date) -> str:
    """Why the trigger alone has nothing on that day."""
    start, end = table.days.bounds(day)
    spec = table.schedule.spec
    if start >= end:
        return "the time zone skipped this day"
    if table.begins is not None and end <= table.begins:
        return f"it starts on {spec.starting}"
    if table.ends is not None and start >= table.ends:
        return f"it expired: until {spec.until}"
    if not table.days.open_on(day):
        return f"closed: {table.closed_by(start + (end - start) / 2) or 'all day'}"
    if spec.cron:
        return f"cron {spec.cron} has no time on this day"
    if spec.interval is not None:
        return f"every {spec.interval} has no time on this day"
    assert table.chance is not None
    assert spec.random is not None
    drawn = [table.days.at(day, draw.share) for draw in table.chance.draws(day)]
    if drawn:
        at = drawn[0].astimezone(table.zone)
        gap = f"{spec.random.gap_days:g} open day{'' if spec.random.gap_days == 1 else 's'}"
        return f"drawn for {at:%H:%M}, within {gap} of the last fire"
    return f"not drawn: one fire in {spec.random.mean_days:g} open days is the mean"
