"""Schedulers put what is due into the agenda: each fire once, the missed by their policy."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pytest

from chaosrun.asking import Question
from chaosrun.codec import from_json
from chaosrun.journal import Store
from chaosrun.journal.agenda import Fact, FireRow
from chaosrun.service.metrics import Metrics
from chaosrun.service.scheduler import MAKE_UP, REREAD, Scheduler
from tests.service.place import Place

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC).timestamp()


class Replica:
    """A scheduler whose time is told."""

    def __init__(self, store: Store, place: Place) -> None:
        self.store = store
        self.offered: list[FireRow] = []
        self.scheduler = Scheduler(store, [str(place.schedules)], self._offer, "driver", Metrics())

    def _offer(self, fires: Sequence[FireRow]) -> None:
        self.offered += fires

    def at(self, now: float) -> list[tuple[float, str, str]]:
        """Tick at that time; the new fires as seconds after noon, state and reason."""
        before = {(row.schedule, row.due) for row in self.store.agenda.newest(limit=0)}
        self.scheduler.tick(now)
        return [
            (row.at - NOON, row.state.value, row.reason)
            for row in reversed(self.store.agenda.newest(limit=0))
            if (row.schedule, row.due) not in before
        ]


@pytest.fixture
def replica(sqlite: Store, place: Place) -> Replica:
    place.experiment()
    return Replica(sqlite, place)


def test_what_is_due_comes_into_the_agenda_whole(replica: Replica, place: Place) -> None:
    place.schedule(interval="10m", parameters={"hold": "1s"})
    assert replica.at(NOON + 1) == []
    assert replica.at(NOON + 599) == []
    assert replica.at(NOON + 600.01) == [(600, "due", "")]
    assert replica.at(NOON + 601) == []
    (fire,) = replica.offered
    assert fire.start_by == NOON + 660
    question = from_json(fire.body, Question)
    assert question.parts[0].parameters == {"hold": "1s"}
    assert question.parts[0].experiment.metadata.name == "experiment"


def test_replicas_compute_the_same_and_each_fire_is_offered_once(
    store: Store, place: Place
) -> None:
    place.experiment()
    for number in range(20):
        place.schedule(f"s{number}", cron="*/7 * * * *", jitter="5m", seed=number)
    replicas = [Replica(store, place) for _ in range(3)]
    for second in range(0, 3600, 10):
        for replica in replicas[second % 3 :] + replicas[: second % 3]:
            replica.scheduler.tick(NOON + second)
    offered = [(fire.schedule, fire.due) for replica in replicas for fire in replica.offered]
    assert len(offered) == len(set(offered))
    known = {(row.schedule, row.due): row.state for row in store.agenda.newest(limit=0)}
    assert set(offered) == set(known)
    assert len(known) >= 20 * 7
    assert all(len({o for o in offered if o[0] == f"s{n}"}) >= 7 for n in range(20))


def test_a_new_schedule_does_not_make_up_what_was_before_it(replica: Replica, place: Place) -> None:
    place.schedule(interval="1m", misfire={"policy": "once"})
    assert replica.at(NOON + 90) == []
    assert replica.at(NOON + 120) == [(120, "due", "")]


def test_what_was_missed_is_left_out_or_its_newest_is_made_up(
    replica: Replica, place: Place
) -> None:
    place.schedule("skips", interval="1h")
    place.schedule("once", interval="1h", misfire={"policy": "once", "within": "5m"})
    replica.at(NOON)
    late = Replica(replica.store, place)  # all schedulers were away meanwhile
    found = late.at(NOON + 3 * 3600 + 600)
    why = {"skips": "no scheduler ran within 60s", "once": "no scheduler ran within 300s"}
    assert [each[:2] for each in found].count((3600, "missed")) == 2
    assert [each[:2] for each in found].count((7200, "missed")) == 2
    assert sorted(state for at, state, _ in found if at == 10800) == ["due", "missed"]
    assert all(each[2].startswith(tuple(why.values())) for each in found if each[1] == "missed")
    (made_up,) = late.offered
    assert made_up.schedule == "once"
    assert made_up.start_by == NOON + 3 * 3600 + 600 + 300


def test_one_does_not_look_back_longer_than_a_day(replica: Replica, place: Place) -> None:
    place.schedule(interval="6h")
    replica.at(NOON)
    found = Replica(replica.store, place).at(NOON + 10 * MAKE_UP + 60)
    assert len(found) == 4
    assert found[-1][1] == "due"


def test_a_paused_schedule_is_skipped_and_says_by_whom(replica: Replica, place: Place) -> None:
    place.schedule(interval="1m")
    place.schedule("by-file", interval="1m", paused=True)
    replica.at(NOON)
    note = replica.store.agenda.note
    note(Fact(schedule="often", fact="paused", by="ann@host", reason="release", at=NOON + 1))
    found = replica.at(NOON + 60)
    assert sorted(found) == [
        (60, "skipped", "paused by ann@host: release"), (60, "skipped", "paused in its file"),
    ]  # fmt: skip
    note(Fact(schedule="often", fact="resumed", by="bob@host", reason="done", at=NOON + 61))
    assert (120, "due", "") in replica.at(NOON + 120)


def test_a_fire_must_start_before_its_window_closes(replica: Replica, place: Place) -> None:
    place.schedule(cron="59 12 * * *", window={"hours": ["12:00-13:00"]},
                   misfire={"within": "10m"})  # fmt: skip
    replica.at(NOON)
    assert [each[:2] for each in replica.at(NOON + 3540)] == [(3540, "due")]
    assert replica.offered[0].start_by == pytest.approx(NOON + 3600, abs=0.01)


def test_a_question_that_became_wrong_is_not_asked(replica: Replica, place: Place) -> None:
    place.schedule(interval="1m")
    replica.at(NOON)
    (place.directory / "experiment.json").write_text('{"kind": "Experiment"}')
    ((_, state, reason),) = replica.at(NOON + 60)
    assert state == "skipped"
    assert "experiment.json" in reason
    assert replica.offered == []


def test_a_scheduler_needs_no_secrets_and_never_has_them(
    replica: Replica, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are references until a worker, which has them, uses them (law L9)."""
    monkeypatch.delenv("SHOP_TOKEN", raising=False)
    place.experiment(secrets={"token": {"env": "SHOP_TOKEN"}})
    place.schedule(interval="1m")
    replica.at(NOON)
    assert replica.at(NOON + 60) == [(60, "due", "")]
    monkeypatch.setenv("SHOP_TOKEN", "not-for-the-agenda")
    replica.at(NOON + 120)
    assert "not-for-the-agenda" not in replica.offered[1].body


def test_files_are_read_again_when_they_change(replica: Replica, place: Place) -> None:
    path = place.schedule(interval="1h")
    (place.schedules / "other.yaml").write_text("kind: Experiment\n")
    replica.at(NOON)
    assert replica.scheduler.schedules == ("often",)
    place.schedule(interval="1m")
    _touch(path)
    assert replica.at(NOON + REREAD) == []
    assert replica.at(NOON + 60) == [(60, "due", "")]
    place.schedule("another", interval="1m")
    path.unlink()
    replica.at(NOON + 70)
    assert replica.scheduler.schedules == ("another",)
    assert replica.at(NOON + 120) == [(120, "due", "")]


def test_a_broken_schedule_stops_no_other_and_comes_back_when_mended(
    replica: Replica, place: Place
) -> None:
    place.schedule("good", interval="1m")
    path = place.schedule("bad", interval="1m", cron="@daily")
    replica.at(NOON)
    assert replica.scheduler.schedules == ("good",)
    place.schedule("bad", interval="1m")
    _touch(path)
    replica.at(NOON + REREAD)
    assert set(replica.scheduler.schedules) == {"good", "bad"}


def test_a_config_map_as_kubernetes_mounts_it_is_read_once_and_again_when_it_changes(
    replica: Replica, place: Place
) -> None:
    path = place.schedule(interval="1m")
    first, second = place.schedules / "..2026_1", place.schedules / "..2026_2"
    for folder, interval in ((first, "1m"), (second, "2m")):
        folder.mkdir()
        (folder / path.name).write_text(path.read_text().replace('"1m"', f'"{interval}"'))
    path.unlink()
    (place.schedules / "..data").symlink_to(first.name)
    path.symlink_to(f"..data/{path.name}")
    replica.at(NOON)
    assert [each[0] for each in replica.at(NOON + 60)] == [60]
    (place.schedules / "..new").symlink_to(second.name)
    (place.schedules / "..new").rename(place.schedules / "..data")
    replica.at(NOON + 70)
    assert [each[0] for each in replica.at(NOON + 300)] == [120, 240]


def test_two_files_may_not_be_the_same_schedule(replica: Replica, place: Place) -> None:
    path = place.schedule("one", interval="1m")
    (place.schedules / "two.json").write_text(path.read_text())
    replica.at(NOON)
    assert replica.scheduler.schedules == ("one",)
    assert len(replica.at(NOON + 60)) == 1


def test_nothing_is_lost_when_the_journal_fails_at_the_moment(
    replica: Replica, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chaosrun.errors import JournalUnavailable

    place.schedule(interval="1m")
    replica.at(NOON)

    def fail(*_: object) -> None:
        raise JournalUnavailable

    for call, now in (("add", NOON + 60), ("facts", NOON + 120), ("add", NOON + 180)):
        with monkeypatch.context() as patch:
            patch.setattr(replica.store.agenda, call, fail)
            with pytest.raises(JournalUnavailable):
                replica.scheduler.tick(now)
        assert replica.at(now + 5) == [(now - NOON, "due", "")]


@pytest.mark.parametrize("call", ["seen", "latest", "note"])
def test_a_schedule_that_was_read_while_the_journal_failed_is_read_again(
    replica: Replica, place: Place, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    from chaosrun.errors import JournalUnavailable

    def fail(*_: object) -> None:
        raise JournalUnavailable

    place.schedule(interval="1m")
    with monkeypatch.context() as patch:
        patch.setattr(replica.store.agenda, call, fail)
        with pytest.raises(JournalUnavailable):
            replica.scheduler.tick(NOON)
    replica.at(NOON + 1)
    assert replica.at(NOON + 60) == [(60, "due", "")]


def test_an_icalendar_that_changes_is_read_again(replica: Replica, place: Place) -> None:
    ics = place.schedules / "freeze.ics"
    text = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:x\r\n{}END:VCALENDAR\r\n"
    event = (
        "BEGIN:VEVENT\r\nUID:1\r\nDTSTAMP:20260101T000000Z\r\nDTSTART:20261124T000000Z\r\n"
        "DTEND:20261125T000000Z\r\nSUMMARY:release\r\nEND:VEVENT\r\n"
    )
    ics.write_text(text.format(""))
    place.schedule(interval="1m", calendar={"files": ["freeze.ics"]})
    replica.at(NOON)
    assert len(replica.at(NOON + 60)) == 1
    ics.write_text(text.format(event))
    replica.at(NOON + 70)
    assert replica.at(NOON + 300) == []


def _touch(path: Path) -> None:
    """A change within one tick of the file system's clock must be seen by its size or time."""
    ahead = time.time() + 5
    os.utime(path, (ahead, ahead))
