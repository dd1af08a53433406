"""Schedules: how long next fires take to compute, how late fires are, how far off means are.

Ten thousand schedules of a mixed kind (cron, interval and random; windows, holidays, zones). For
lateness a whole day is simulated: the scheduler, its files and its SQLite journal are real; only
idle time is left out, and the time that its own work takes makes it late.
"""

from __future__ import annotations

import json
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.measure import percentile
from bench.results import Aim, Figure
from chaosrun.codec import from_plain
from chaosrun.journal import open_journal
from chaosrun.journal.agenda import FireRow
from chaosrun.schedules.fires import Timetable, next_fire
from chaosrun.schedules.spec import Schedule
from chaosrun.service import scheduler as scheduler_module
from chaosrun.service.metrics import Metrics
from chaosrun.service.scheduler import Scheduler
from chaosrun.units import JSON
from tests.schedules.test_mean_time_between import chaos_monkey, kube_monkey, measured, ours

SCHEDULES = 10_000
_ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Jerusalem", "Asia/Tokyo")
_NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def written(number: int) -> dict[str, JSON]:
    """One of the ten thousand, as a person writes it."""
    chance = random.Random(number)
    hour, minute = chance.randrange(10, 15), chance.randrange(60)
    trigger: dict[str, JSON] = chance.choice(
        (
            {"cron": f"{minute} {hour} * * 1-5", "jitter": "30m"},
            {"cron": f"{minute} */6 * * *"},
            {"interval": f"{chance.choice((5, 7, 11, 13, 19))}h", "jitter": "1h"},
            {"random": {"meanDays": chance.choice((1, 2, 5)), "gapDays": 0.5}},
        )
    )
    window: dict[str, JSON] = chance.choice(
        (
            {},
            {"window": {}},
            {"window": {"hours": ["10:00-16:00"]}, "calendar": {"holidays": [{"country": "DE"}]}},
        )
    )
    if "*/6" in str(trigger):
        window = {}
    return {
        "apiVersion": "chaosrun.dev/v1",
        "kind": "Schedule",
        "metadata": {"name": f"schedule-{number}"},
        "spec": {
            "experiment": "../experiment.yaml", "timezone": chance.choice(_ZONES), **trigger,
            **window,
        },
    }  # fmt: skip


def next_fires() -> Figure:
    """The next fire of each, once as a scheduler starts and once as it goes on."""
    tables = [Timetable(from_plain(written(number), Schedule)) for number in range(SCHEDULES)]
    began = time.perf_counter()
    found = [next_fire(table, _NOON) for table in tables]
    first = time.perf_counter() - began
    began = time.perf_counter()
    for table, fire in zip(tables, found, strict=True):
        if fire is not None:
            next_fire(table, fire.at)
    second = time.perf_counter() - began
    said = f"{first:.2f} s, and {second:.2f} s for the ones after"
    return Figure(said, max(first, second) < 1.0)


class _Day:
    """Time that passes only while there is work, and jumps where there is none."""

    def __init__(self, start: float) -> None:
        self._ahead = start - time.perf_counter()

    def __call__(self) -> float:
        return time.perf_counter() + self._ahead

    def jump(self, seconds: float) -> None:
        self._ahead += seconds


def a_day() -> Figure:
    """Every fire of a day: from its time until it is in the agenda, durable."""
    place = Path(tempfile.mkdtemp(prefix="chaosrun-bench-"))
    try:
        lateness = _lateness(place)
    finally:
        shutil.rmtree(place)
    worst = percentile(lateness, 99)
    said = f"{worst * 1e3:.0f} ms at p99 of {len(lateness):,} fires, {max(lateness):.2f} s at most"
    return Figure(said, worst < 1.0)


def _lateness(place: Path) -> list[float]:
    folder = place / "schedules"
    folder.mkdir()
    (place / "experiment.yaml").write_text(_experiment())
    for number in range(SCHEDULES):
        (folder / f"{number}.json").write_text(json.dumps(written(number)))
    journal = open_journal(f"sqlite:///{place}/journal.db")
    lateness: list[float] = []
    day = _Day(_NOON.timestamp())

    def offer(fires: Sequence[FireRow]) -> None:
        lateness.extend(day() - fire.at for fire in fires)

    # Looking for changed files takes a fiftieth of the time at most; a whole day's would be spent
    # in minutes here.
    scheduler_module.REREAD = 86400.0
    scheduler = Scheduler(journal, [str(folder)], offer, "bench", Metrics())
    scheduler.tick(day())  # reading ten thousand files is the start, not the day
    day = _Day(_NOON.timestamp())
    end = _NOON.timestamp() + 86400
    while day() < end:
        day.jump(scheduler.tick(day()))
    journal.close()
    return lateness


def _experiment() -> str:
    return json.dumps(
        {
            "apiVersion": "chaosrun.dev/v1",
            "kind": "Experiment",
            "metadata": {"name": "trivial"},
            "spec": {
                "title": "Trivial",
                "steadyState": [
                    {
                        "name": "true",
                        "probe": "command",
                        "with": {"command": ["true"]},
                        "expect": "code == 0",
                    }
                ],
                "method": [
                    {
                        "name": "nothing",
                        "fault": "host.command",
                        "with": dict.fromkeys(
                            ("inject", "revert", "tookEffect", "restored"), "true"
                        ),
                    }
                ],
            },
        }
    )


def means() -> Figure:
    """A mean of 5 working days with a gap of 3: ours, and the well-known ones as written."""
    chance = random.Random(2026)
    mine, error = measured(ours(5, 3, window={}, calendar={"holidays": [{"country": "DE"}]}))
    monkey, _ = measured(chaos_monkey(5, 3, 400_000, chance))
    kube, _ = measured(kube_monkey(5, 400_000, chance))
    said = (
        f"{mine:.2f} ± {error:.2f} days (Chaos Monkey's coin: {monkey:.2f}; kube-monkey's offsets,"
        f" which know no gap: {kube:.0f})"
    )
    return Figure(said, abs(mine - 5) <= error)


AIMS = (
    Aim("the next fires of 10,000 schedules", "at most 1 s", next_fires),
    Aim("10,000 schedules, a day simulated: a fire in the agenda", "p99 at most 1 s late", a_day),
    Aim("a random mean time between fires of 5 days, gap 3", "5 within its interval", means),
)
