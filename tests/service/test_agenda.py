"""What an agenda promises, on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from threading import Barrier, Thread

import pytest
from msgspec.structs import replace

from chaosrun.journal import Store, open_journal
from chaosrun.journal.agenda import Fact, FireRow, FireState, paused
from tests.journal.making import finished, started

FIRE = FireRow(
    schedule="nightly", due=1000, at=1.0, start_by=61.0, concurrency="forbid", body="what"
)


def state(store: Store, due: int = 1000) -> tuple[FireState, str]:
    (row,) = [row for row in store.agenda.newest(limit=0) if row.due == due]
    return row.state, row.reason


def test_a_fire_is_known_once_whoever_computed_it(store: Store) -> None:
    assert store.agenda.add([FIRE, FIRE]) == [FIRE]
    assert store.agenda.add([FIRE, replace(FIRE, due=2000)]) == [replace(FIRE, due=2000)]
    assert [row.due for row in store.agenda.due()] == [1000, 2000]
    assert store.agenda.latest() == {"nightly": 2000}
    assert store.agenda.body("nightly", 1000) == "what"


def test_of_many_who_want_a_fire_one_gets_it(store: Store) -> None:
    store.agenda.add([replace(FIRE, concurrency="allow", due=due) for due in range(5)])
    barrier = Barrier(6)
    got: list[int] = []

    def want(driver: str) -> None:
        barrier.wait()
        got.extend(
            due
            for due in range(5)
            if store.agenda.claim("nightly", due, f"run-{due}", driver, 2.0).fire is not None
        )

    threads = [Thread(target=want, args=(f"driver-{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got) == [0, 1, 2, 3, 4]


def test_a_claim_brings_the_whole_question(store: Store) -> None:
    store.agenda.add([FIRE])
    claim = store.agenda.claim("nightly", 1000, "run", "driver", 2.0)
    assert claim.fire == FIRE
    assert state(store)[0] is FireState.CLAIMED
    assert store.agenda.claim("nightly", 1000, "run", "another", 2.0).fire is None
    assert store.agenda.claim("nightly", 4711, "run", "another", 2.0).fire is None


def test_a_fire_that_nobody_started_in_time_is_missed_and_says_so(store: Store) -> None:
    store.agenda.add([FIRE])
    assert store.agenda.claim("nightly", 1000, "run", "driver", 61.5).fire is None
    assert state(store) == (FireState.MISSED, "nobody started it within 60s")


@pytest.mark.parametrize(
    ("concurrency", "expected"),
    [("forbid", FireState.SKIPPED), ("replace", FireState.DUE), ("allow", FireState.CLAIMED)],
)
def test_what_becomes_of_a_fire_while_the_last_run_goes_on(
    store: Store, concurrency: str, expected: FireState
) -> None:
    second = replace(FIRE, due=2000, concurrency=concurrency)
    store.agenda.add([FIRE, second, replace(second, schedule="another")])
    store.agenda.claim("nightly", 1000, "run-1", "driver", 2.0)
    claim = store.agenda.claim("nightly", 2000, "run-2", "driver", 3.0)
    assert claim.busy == ("run-1" if concurrency == "replace" else "")
    assert (claim.fire is None) == (concurrency != "allow")
    found = {row.schedule: row for row in store.agenda.newest(limit=0) if row.due == 2000}
    assert found["nightly"].state is expected
    assert ("run-1" in found["nightly"].reason) == (concurrency == "forbid")
    assert store.agenda.claim("another", 2000, "run-3", "driver", 3.0).fire is not None
    store.agenda.settle("nightly", 1000, FireState.ENDED, "passed", 4.0)
    if concurrency == "replace":
        assert store.agenda.claim("nightly", 2000, "run-2", "driver", 5.0).fire is not None


def test_only_a_claim_of_which_nothing_began_can_be_given_back(store: Store) -> None:
    suite = replace(FIRE, schedule="suite")
    for fire in (FIRE, replace(FIRE, schedule="began"), suite):
        store.agenda.add([fire])
        store.agenda.claim(fire.schedule, 1000, f"run-{fire.schedule}", "driver", 2.0)
    store.append("run-began", 0, [started("run-began")])
    store.append("run-suite-01", 0, [started("run-suite-01")])
    assert not store.agenda.give_back("nightly", 1000, "another", 3.0)
    assert store.agenda.give_back("nightly", 1000, "driver", 3.0)
    assert not store.agenda.give_back("began", 1000, "driver", 3.0)
    assert not store.agenda.give_back("suite", 1000, "driver", 3.0)
    assert store.agenda.claim("nightly", 1000, "run-nightly", "another", 4.0).fire is not None


def test_claims_of_the_dead_are_told_from_those_of_the_living(store: Store) -> None:
    store.register("alive")
    for driver in ("alive", "dead"):
        store.agenda.add([replace(FIRE, schedule=driver)])
        store.agenda.claim(driver, 1000, "run", driver, 2.0)
    assert {row.driver: alive for row, alive in store.agenda.claimed()} == {
        "alive": True, "dead": False,
    }  # fmt: skip


def test_what_is_over_stays_as_it_is(store: Store) -> None:
    store.agenda.add([replace(FIRE, state=FireState.SKIPPED, reason="paused")])
    store.agenda.settle("nightly", 1000, FireState.ENDED, "passed", 4.0)
    assert state(store) == (FireState.SKIPPED, "paused")
    assert store.agenda.due() == []


def test_who_paused_a_schedule_and_why_is_on_record(store: Store) -> None:
    def fact(word: str, at: float, schedule: str = "nightly") -> Fact:
        return Fact(schedule=schedule, fact=word, by="ann@host", reason=f"{word}!", at=at)

    store.agenda.note(fact("seen", 0.5), fact("seen", 0.7))
    store.agenda.note(fact("paused", 1.0))
    store.agenda.note(fact("paused", 1.5, "another"))
    assert set(paused(store.agenda.facts())) == {"nightly", "another"}
    store.agenda.note(fact("resumed", 2.0))
    assert paused(store.agenda.facts()) == {"another": fact("paused", 1.5, "another")}
    assert [f.fact for f in store.agenda.facts(schedule="nightly")] == ["paused", "resumed"]
    assert store.agenda.seen() == {"nightly": 0.5}


def test_a_prune_forgets_fires_that_are_over_and_no_others(store: Store) -> None:
    over = replace(FIRE, state=FireState.MISSED, changed_at=5.0)
    store.agenda.add([over, replace(over, due=2000, changed_at=50.0), replace(FIRE, due=3000)])
    store.append("run", 0, [started("run"), finished()])
    store.prune(10.0)
    assert {row.due for row in store.agenda.newest(limit=0)} == {2000, 3000}


def test_a_journal_of_the_version_before_gets_an_agenda(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from chaosrun.journal import schema

    url = f"sqlite:///{tmp_path}/old.db"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        old = open_journal(url)
        old.append("run", 0, [started("run")])
        old.close()
    new = open_journal(url)
    assert new.agenda.due() == []
    assert [row.run for row in new.runs()] == ["run"]
    new.close()


def test_the_time_is_one_clock_for_all(store: Store) -> None:
    import time

    look: Callable[[], float] = store.now
    assert abs(look() - time.time()) < 60
    assert look() <= look()
