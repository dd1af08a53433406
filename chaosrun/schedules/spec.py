"""What a person writes about a schedule: the typed, frozen form of `kind: Schedule`.

Law (L4): a value of these types came through validation whole: its trigger can fire, its zone is
known, its window can open. schemas/schedule.schema.json is derived from these types.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

from chaosrun.calendars import Calendar, Closure, PublicHolidays
from chaosrun.calendars.zones import zone_of
from chaosrun.schedules import triggers
from chaosrun.spec import Metadata, Spec
from chaosrun.units import JSON, Duration

ALL_WEEK = ("mon-sun",)
ALL_DAY = ("00:00-24:00",)

Wall = Annotated[
    str,
    Meta(
        description="A day or a time of the clock on the wall, in the schedule's time zone",
        examples=["2026-12-01", "2026-12-01T09:00"],
    ),
]


class Random(Spec, frozen=True, kw_only=True):
    """Fires at random times, as Chaos Monkey does, with exactly the mean that was asked for.

    Days are days on which the schedule is open, each counted as one however long it is open.
    """

    mean_days: Annotated[
        float,
        Meta(
            ge=0.01, le=366, description="Mean time between fires, in open days", examples=[3, 0.5]
        ),
    ]
    gap_days: Annotated[
        float,
        Meta(ge=0, description="Shortest time between fires, in open days", examples=[1]),
    ] = 0.0

    def __post_init__(self) -> None:
        if self.gap_days > 0.8 * self.mean_days:
            raise ValueError(
                "`gapDays` is at most 80% of `meanDays`: else nothing is left to chance"
            )


class Window(Spec, frozen=True, kw_only=True):
    """The hours in which it may fire."""

    days: Annotated[
        tuple[str, ...],
        Meta(description="The working days", examples=[["mon-fri"], ["sun-thu"]]),
    ] = ("mon-fri",)
    hours: Annotated[
        tuple[str, ...],
        Meta(
            description="The working hours, by the clock on the wall; the end is not in it",
            examples=[["09:00-17:00"]],
        ),
    ] = ("09:00-17:00",)
    hours_of: Annotated[
        dict[str, tuple[str, ...]],
        Meta(description="The hours of single days", examples=[{"fri": ["09:00-12:00"]}]),
    ] = {}


class DaysOff(Spec, frozen=True, kw_only=True):
    """The days on which it does not fire: public holidays, company days, freezes."""

    holidays: Annotated[
        tuple[PublicHolidays, ...], Meta(description="Whose public holidays are closed")
    ] = ()
    company_days: Annotated[tuple[Closure, ...], Meta(description="Our own days off")] = ()
    freezes: Annotated[tuple[Closure, ...], Meta(description="When nothing may be touched")] = ()
    files: Annotated[
        tuple[str, ...],
        Meta(
            description="iCalendar files beside this one; it is closed during each of their events",
            examples=[["freezes.ics"]],
        ),
    ] = ()


class Misfire(Spec, frozen=True, kw_only=True):
    """What becomes of a fire for which nobody was there in time."""

    policy: Annotated[
        Literal["skip", "once"],
        Meta(
            description="skip: it is left out. once: the newest of a day's missed ones is made up"
        ),
    ] = "skip"
    within: Annotated[
        Duration, Meta(description="How late a fire may start and still be in time")
    ] = Duration(60)


class ScheduleSpec(Spec, frozen=True, kw_only=True):
    """When to ask which question."""

    title: str = ""
    owner: str = ""
    experiment: Annotated[
        str | dict[str, JSON] | None,
        Meta(description="The experiment: a file beside this one, or the document itself"),
    ] = None
    suite: Annotated[
        str | dict[str, JSON] | None,
        Meta(description="A suite instead: a file beside this one, or the document itself"),
    ] = None
    parameters: Annotated[
        dict[str, JSON], Meta(description="Values for parameters of the experiment or suite")
    ] = {}
    timezone: Annotated[
        str,
        Meta(
            description="The time zone of days and hours",
            examples=["Europe/Berlin", "Asia/Jerusalem", "UTC"],
        ),
    ] = "UTC"
    cron: Annotated[
        str,
        Meta(
            description="Minute, hour, day, month, weekday, as cron has them; each time of the"
            " clock on the wall comes once, also when clocks change",
            examples=["30 10 * * mon-fri", "*/20 9-16 * * *", "@daily"],
        ),
    ] = ""
    interval: Annotated[
        Duration | None,
        Meta(description="Whole seconds between fires, counted from `starting`", examples=["6h"]),
    ] = None
    random: Random | None = None
    jitter: Annotated[
        Duration, Meta(description="Each fire is later by a random part of this, always the same")
    ] = Duration(0)
    window: Window | None = None
    calendar: DaysOff | None = None
    starting: Wall = ""
    until: Annotated[Wall, Meta(description="When the schedule expires: no fire from then on")] = ""
    misfire: Misfire = Misfire()
    concurrency: Annotated[
        Literal["forbid", "replace", "allow"],
        Meta(
            description="When its last run still goes on. forbid: this fire is left out. replace:"
            " the last run is stopped and reverts first. allow: both run"
        ),
    ] = "forbid"
    seed: Annotated[
        int, Meta(description="Another seed, other random times; the same on every replica")
    ] = 0
    paused: bool = False

    def __post_init__(self) -> None:
        if (self.experiment is None) == (self.suite is None):
            raise ValueError("a schedule needs either `experiment` or `suite`")
        given = [bool(self.cron), self.interval is not None, self.random is not None]
        if sum(given) != 1:
            raise ValueError("a schedule needs one of `cron`, `interval` and `random`")
        zone_of(self.timezone)
        if self.cron:
            triggers.check_cron(self.cron)
        if self.interval is not None:
            self._check_interval(self.interval)
        if self.random is not None and self.jitter:
            raise ValueError("`random` takes no `jitter`: its times are random already")
        if self.jitter.seconds > 86400:
            raise ValueError("`jitter` is at most 1d")
        start, end = wall(self.starting, "starting"), wall(self.until, "until")
        if start and end and end <= start:
            raise ValueError("`until` is not after `starting`: it would never fire")
        self.open_hours()

    def _check_interval(self, interval: Duration) -> None:
        if interval.seconds < 1 or interval.seconds % 1:
            raise ValueError(f"`interval` is in whole seconds, at least 1s, not {interval}")
        if self.jitter.seconds >= interval.seconds:
            raise ValueError("`jitter` is shorter than `interval`: else fires overtake each other")

    def open_hours(self, icalendars: tuple[str, ...] = ()) -> Calendar | None:
        """When it may fire; None for always. `icalendars` are the texts of `calendar.files`."""
        if self.window is None and self.calendar is None:
            return None
        hours = self.window or Window(days=ALL_WEEK, hours=ALL_DAY)
        off = self.calendar or DaysOff()
        return Calendar(
            timezone=self.timezone, days=hours.days, hours=hours.hours, hours_of=hours.hours_of,
            holidays=off.holidays, company_days=off.company_days, freezes=off.freezes,
            icalendars=icalendars,
        )  # fmt: skip


class Schedule(Spec, frozen=True, kw_only=True):
    """When to run an experiment or a suite by itself."""

    api_version: Literal["chaosrun.dev/v1"]
    kind: Literal["Schedule"]
    metadata: Metadata
    spec: ScheduleSpec


def wall(text: str, key: str) -> datetime | None:
    """A wall time as it is written; None when nothing is. Raises ValueError."""
    if not text:
        return None
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None:
        raise ValueError(f"`{key}` {text!r} is not of the form 2026-12-01 or 2026-12-01T09:00")
    return found
