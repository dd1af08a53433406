"""Many replicas on one PostgreSQL: killed, restarted, with clocks that are wrong.

Each fire happens at most once, and at least once within its misfire window; whatever a killed
worker left in place is reverted by another. `make replicas` does it for minutes.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaosrun import events as e
from chaosrun.errors import JournalUnavailable
from chaosrun.journal.agenda import FireRow, FireState
from chaosrun.loading.schedules import load_schedule, timetable
from chaosrun.run import fold
from chaosrun.schedules.fires import Fire, Timetable, fires
from tests.postgres import PostgresServer
from tests.service.place import Place, until

SECONDS = float(os.environ.get("CHAOSRUN_REPLICAS", "16"))
"""How long the killing goes on."""
WITHIN = 90.0
SCHEDULES = 6

pytestmark = pytest.mark.postgres


class Replicas:
    """Three schedulers and four workers, of which one each has a clock that is a minute wrong."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.roles: list[tuple[tuple[str, ...], float]] = [
            *((("scheduler", str(place.schedules)), ahead) for ahead in (0.0, 60.0, 0.0)),
            *((("worker", "--most", "4"), ahead) for ahead in (0.0, -60.0, 60.0, 0.0)),
        ]
        self.processes = [self._start(number) for number in range(len(self.roles))]
        self.kills: Counter[str] = Counter()

    def _start(self, number: int) -> tuple[subprocess.Popen[bytes], int]:
        words, ahead = self.roles[number]
        return self.place.daemon(*words, ahead=ahead), len(self.place.daemons)

    def _victim(self, chance: random.Random) -> int | None:
        """One that works; none where it is the last scheduler or worker that does.

        A machine that does other things too takes seconds to start one.
        """
        up = [
            number
            for number, (process, log) in enumerate(self.processes)
            if process.poll() is None and self.place.heard("daemon started", log)
        ]
        roles = Counter(self.roles[number][0][0] for number in up)
        free = [number for number in up if roles[self.roles[number][0][0]] > 1]
        return chance.choice(free) if free else None

    def kill_one(self, chance: random.Random) -> None:
        """`kill -9` of any of them; another comes in its place."""
        number = self._victim(chance)
        if number is None:
            return
        process, _ = self.processes[number]
        process.send_signal(signal.SIGKILL)
        process.wait()
        self.processes[number] = self._start(number)
        self.kills[self.roles[number][0][0]] += 1

    def restart_one(self, chance: random.Random) -> None:
        """A rolling restart: TERM, and another in its place."""
        number = self._victim(chance)
        if number is None:
            return
        process, _ = self.processes[number]
        self.processes[number] = self._start(number)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        self.kills["restart"] += 1

    def revive(self) -> None:
        """Start those anew that were started in vain, while the database was away."""
        for number, (process, _) in enumerate(self.processes):
            if process.poll() is not None:
                self.processes[number] = self._start(number)


@pytest.fixture
def shared(tmp_path: Path, postgres_url: str) -> Iterator[Place]:
    made = Place(tmp_path, postgres_url)
    yield made
    made.close()


def written(place: Place) -> None:
    for number in range(SCHEDULES):
        place.experiment(f"e{number}", hold="200ms")
        place.schedule(
            f"s{number}", experiment=f"../e{number}.json", interval="3s", jitter="2s", seed=number,
            concurrency="allow", misfire={"within": f"{WITHIN:g}s"},
        )  # fmt: skip


def all_fires(place: Place) -> list[FireRow]:
    return place.journal.agenda.newest(limit=0)


def runs_of(place: Place) -> dict[str, e.Started]:
    found = {}
    for row in place.journal.runs():
        started = next(iter(place.journal.events(row.run)))
        assert isinstance(started, e.Started)
        found[row.run] = started
    return found


def expected(tables: list[Timetable], start: dict[str, float], end: float) -> set[tuple[str, int]]:
    """The fires of the schedules, computed here."""
    found = set()
    for table in tables:
        since, last = (datetime.fromtimestamp(t, UTC) for t in (start[table.name], end))
        found |= {(f.schedule, f.key) for f in fires(table, since, last) if isinstance(f, Fire)}
    return found


def test_each_fire_happens_once_whoever_dies_and_whatever_clocks_say(
    shared: Place, postgres_server: PostgresServer
) -> None:
    chance = random.Random(4711)
    written(shared)
    assert shared.journal.agenda.due() == []  # the tables are there before seven want to make them
    replicas = Replicas(shared)
    until(lambda: len(shared.journal.agenda.seen()) == SCHEDULES, what="schedules being read")
    until(lambda: any(f.state is FireState.ENDED for f in all_fires(shared)), what="a first fire")
    began, half_time = time.monotonic(), False
    while time.monotonic() - began < SECONDS:
        (replicas.restart_one if chance.random() < 0.15 else replicas.kill_one)(chance)
        pause = time.monotonic() + chance.uniform(0.3, 1.5)
        until(lambda pause=pause: time.monotonic() > pause)  # type: ignore[misc]
        replicas.revive()
        if not half_time and time.monotonic() - began > SECONDS / 2:
            half_time = True
            postgres_server.kill()
            postgres_server.start()
    replicas.revive()
    end = stable(shared)
    tables = [timetable(load_schedule(file)) for file in shared.schedules.iterdir()]
    wanted = expected(tables, dict(shared.journal.agenda.seen()), end)
    until(lambda: wanted <= {(f.schedule, f.due) for f in all_fires(shared)},
          patience=60, what="every fire being computed")  # fmt: skip
    for file in shared.schedules.iterdir():
        file.unlink()
    until(lambda: settled(shared), patience=90, what="all fires being over")

    rows = {(f.schedule, f.due): f for f in all_fires(shared)}
    last = [f for f in rows.values() if f.at > end and f.state is FireState.SKIPPED]
    for fire in last:  # its file was removed in the moment in which it was due
        del rows[fire.schedule, fire.due]
    wrong = [f for f in rows.values() if f.state is not FireState.ENDED]
    assert not wrong, wrong
    runs = runs_of(shared)
    by_fire = Counter(started.run for started in runs.values())
    assert set(by_fire.values()) == {1}
    assert {f.run for f in rows.values()} == set(runs), "a fire without a run, or a run without"
    for fire in rows.values():
        assert runs[fire.run].schedule == fire.schedule
    leases = 0
    for run in runs:
        state = fold(shared.journal.events(run))
        assert state.finished is not None
        assert state.owed == (), f"{run} still owes"
        leases += len(state.leases)
        assert len(state.leases) <= 1
    injected = sum(shared.injected(f"e{number}") for number in range(SCHEDULES))
    assert injected <= leases
    assert not any(shared.marked(f"e{number}") for number in range(SCHEDULES))
    assert shared.journal.locks() == []
    assert replicas.kills["worker"] + replicas.kills["scheduler"] >= 1
    print(f"{len(rows)} fires, {leases} leases, {dict(replicas.kills)}")


def stable(place: Place) -> float:
    """The journal's time, once it answers."""
    found: list[float] = []

    def look() -> bool:
        try:
            found.append(place.journal.now())
        except JournalUnavailable:
            return False
        return True

    until(look, what="the journal answering")
    return found[-1] - 1.0


def settled(place: Place) -> bool:
    try:
        open_ = [f for f in all_fires(place) if f.state in (FireState.DUE, FireState.CLAIMED)]
        return not open_ and not place.journal.runs(unfinished=True)
    except JournalUnavailable:
        return False


def test_a_fire_starts_when_it_is_due_by_the_journals_clock(shared: Place) -> None:
    """A scheduler and a worker whose clocks are a minute fast do not run things a minute early."""
    shared.experiment(hold="50ms")
    shared.schedule(interval="2s", misfire={"within": "30s"})
    for words in (("scheduler", str(shared.schedules)), ("worker",)):
        shared.daemon(*words, ahead=60.0)
    until(lambda: len([f for f in all_fires(shared) if f.state is FireState.ENDED]) >= 3)
    for fire in all_fires(shared):
        if fire.state is FireState.ENDED:
            assert -0.5 < fire.changed_at - fire.at < 30


def test_a_worker_that_is_asked_to_stop_leaves_what_has_not_begun_to_another(
    shared: Place,
) -> None:
    shared.experiment(hold="3s")
    shared.schedule(interval="1s", concurrency="allow", misfire={"within": "1m"})
    first = shared.daemon("serve", str(shared.schedules), "--most", "1")
    until(lambda: shared.marked(), what="the mark")
    until(lambda: len(shared.journal.agenda.due()) >= 2, what="fires waiting")
    shared.daemon("worker")
    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0
    waiting = {f.due for f in shared.journal.agenda.due()}
    until(lambda: not shared.journal.agenda.due(), what="the other doing what was waiting")
    assert waiting or all_fires(shared)
    assert not [f for f in all_fires(shared) if f.state is FireState.MISSED]
