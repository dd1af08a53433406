"""What every journal promises: one suite over SQLite, PostgreSQL and memory."""

from __future__ import annotations

import random
from threading import Thread

import msgspec
import pytest

from chaosrun.errors import (
    ChaosrunError,
    JournalUnavailable,
    Rejected,
    SequenceTaken,
    TargetLocked,
)
from chaosrun.events import AnyEvent, Verdict
from chaosrun.journal import Halt, Journal
from chaosrun.journal.export import export_lines
from chaosrun.journal.memory import MemoryJournal
from chaosrun.units import Secret
from tests.journal.making import (
    finished,
    inject_failed,
    injected,
    leased,
    restored,
    resumed,
    sampled,
    started,
    whole,
)


def held(journal: Journal) -> list[tuple[str, str, str]]:
    return [(lock.target, lock.run, lock.lease) for lock in journal.locks()]


def test_events_come_back_as_they_were_and_in_order(journal: Journal) -> None:
    events: list[AnyEvent] = [started("r"), *(sampled(at=i, note=f"n°{i}") for i in range(40))]
    events += [leased("l", "1", "2"), injected("l"), restored("l"), finished()]
    journal.append("r", 0, events[:1])
    journal.append("r", 1, events[1:20])
    journal.append("r", 20, events[20:])
    assert list(journal.events("r")) == events
    assert list(journal.events("r", since=30)) == events[30:]
    assert list(journal.events("r", since=len(events))) == []
    assert list(journal.events("nobody")) == []


def test_a_history_longer_than_a_page_is_read_whole(journal: Journal) -> None:
    journal.append("r", 0, [started("r")])
    journal.append("r", 1, [sampled(at=i) for i in range(2500)])
    assert [event.at for event in journal.events("r", since=1)] == list(range(2500))


def test_an_event_is_written_once_and_the_second_writer_is_told(journal: Journal) -> None:
    journal.append("r", 0, [started("r")])
    journal.append("r", 1, [sampled(note="first")])
    with pytest.raises(SequenceTaken, match="run r has an event 1"):
        journal.append("r", 1, [sampled(note="second"), sampled(note="third")])
    with pytest.raises(SequenceTaken):
        journal.append("r", 0, [started("r")])
    assert list(journal.events("r"))[1:] == [sampled(note="first")]
    journal.append("r", 2, [sampled(note="next")])


def test_a_history_gets_no_hole(journal: Journal) -> None:
    journal.append("r", 0, [started("r")])
    with pytest.raises(JournalUnavailable, match="event 2 of run r") as caught:
        journal.append("r", 2, [sampled()])
    assert caught.value.code == "history-lost"
    with pytest.raises(JournalUnavailable, match="it is not there"):
        journal.append("gone", 7, [sampled()])
    assert list(journal.events("r")) == [started("r")]


def test_a_history_begins_with_started_and_has_one(journal: Journal) -> None:
    with pytest.raises(ValueError, match="Started"):
        journal.append("r", 0, [sampled()])
    journal.append("r", 0, [started("r")])
    with pytest.raises(ValueError, match="Started"):
        journal.append("r", 1, [started("r")])
    assert len(list(journal.events("r"))) == 1


def test_nothing_to_append_is_no_event(journal: Journal) -> None:
    journal.append("r", 0, [])
    assert journal.append_many([]) == []
    assert journal.runs() == []


def test_a_secret_and_a_time_that_is_none_are_not_written(journal: Journal) -> None:
    journal.append("r", 0, [started("r")])
    secret = msgspec.structs.replace(sampled(), result={"token": Secret("hush")})
    with pytest.raises(TypeError, match="secret"):
        journal.append("r", 1, [sampled(), secret])
    with pytest.raises(ValueError, match="nan"):
        journal.append("r", 1, [sampled(at=float("nan"))])
    assert len(list(journal.events("r"))) == 1


def test_one_runs_error_does_not_harm_the_others_of_its_group(journal: Journal) -> None:
    journal.append("holder", 0, [started("holder"), leased("h", "7")])
    journal.append("taken", 0, [started("taken"), sampled()])
    group: list[tuple[str, int, list[AnyEvent]]] = [
        ("good", 0, [started("good"), leased("g", "1")]),
        ("taken", 1, [sampled(note="late")]),
        ("locked", 0, [started("locked"), leased("free", "2"), leased("l", "3", "7")]),
        ("holder", 9, [sampled()]),
        ("secret", 0, [msgspec.structs.replace(started("secret"), parameters={"s": Secret("x")})]),
        ("good", 2, [sampled(), restored("g")]),
        ("last", 0, [started("last")]),
    ]
    errors = journal.append_many(group)
    kinds = [type(error) for error in errors]
    assert kinds == [
        type(None), SequenceTaken, TargetLocked, JournalUnavailable, TypeError, type(None),
        type(None),
    ]  # fmt: skip
    assert len(list(journal.events("good"))) == 4
    assert list(journal.events("locked")) == []
    assert {row.run for row in journal.runs()} == {"holder", "taken", "good", "last"}
    assert held(journal) == [("process:7", "holder", "h")]


def test_a_target_is_held_by_one_run(journal: Journal) -> None:
    journal.append("a", 0, [started("a"), leased("a1", "1", "2")])
    journal.append("b", 0, [started("b")])
    with pytest.raises(TargetLocked, match="process:2 is held by run a") as caught:
        journal.append("b", 1, [leased("b1", "2", "3")])
    assert (caught.value.target, caught.value.holder) == ("process:2", "a")
    assert held(journal) == [("process:1", "a", "a1"), ("process:2", "a", "a1")]
    assert len(list(journal.events("b"))) == 1
    journal.append("a", 2, [injected("a1"), restored("a1")])
    assert held(journal) == []
    journal.append("b", 1, [leased("b1", "2", "3")])
    assert held(journal) == [("process:2", "b", "b1"), ("process:3", "b", "b1")]


def test_a_target_that_two_leases_of_a_run_hold_is_free_after_both(journal: Journal) -> None:
    journal.append("a", 0, [started("a"), leased("one", "1"), leased("two", "1")])
    journal.append("a", 3, [restored("one")])
    assert held(journal) == [("process:1", "a", "two")]
    with pytest.raises(TargetLocked):
        journal.append("b", 0, [started("b"), leased("b1", "1")])
    journal.append("a", 4, [restored("two")])
    journal.append("b", 0, [started("b"), leased("b1", "1")])


@pytest.mark.parametrize("answer", [injected, inject_failed])
def test_a_late_answer_takes_the_locks_again(journal: Journal, answer: object) -> None:
    assert callable(answer)
    journal.append("a", 0, [started("a"), leased("l", "1", "2"), restored("l")])
    journal.append("a", 3, [answer("l")])
    assert held(journal) == []
    journal.append("a", 4, [answer("l", late=True)])
    assert held(journal) == [("process:1", "a", "l"), ("process:2", "a", "l")]
    journal.append("a", 5, [answer("l", late=True), restored("l")])
    assert held(journal) == []


def test_a_late_answer_takes_what_nobody_else_has_taken(journal: Journal) -> None:
    journal.append("a", 0, [started("a"), leased("l", "1", "2"), restored("l")])
    journal.append("b", 0, [started("b"), leased("b1", "2")])
    journal.append("a", 3, [injected("l", late=True), injected("unknown", late=True)])
    assert held(journal) == [("process:1", "a", "l"), ("process:2", "b", "b1")]


def test_a_late_answer_finds_its_lease_in_its_own_group(journal: Journal) -> None:
    journal.append_many(
        [
            ("a", 0, [started("a"), leased("l", "1"), restored("l")]),
            ("a", 3, [injected("l", late=True)]),
        ]
    )
    assert held(journal) == [("process:1", "a", "l")]


def test_runs_are_listed_newest_first(journal: Journal) -> None:
    for run, at in (("b", 20.0), ("a", 10.0), ("c", 30.0)):
        journal.append(run, 0, whole(run, at=at))
    journal.append("d", 0, [started("d", at=40.0, driver="someone")])
    rows = journal.runs()
    assert [row.run for row in rows] == ["d", "c", "b", "a"]
    assert [row.run for row in journal.runs(limit=2)] == ["d", "c"]
    assert [row.run for row in journal.runs(limit=9, unfinished=True)] == ["d"]
    assert (rows[0].name, rows[0].started_at, rows[0].driver, rows[0].sequence) == (
        "checkout-survives", 40.0, "someone", 0,
    )  # fmt: skip
    assert (rows[1].verdict, rows[1].sequence) == (Verdict.PASSED, 2)


def test_a_verdict_stands_until_something_happens_after_it(journal: Journal) -> None:
    def line() -> tuple[Verdict | None, str]:
        return journal.runs()[0].verdict, journal.runs()[0].driver

    journal.append("r", 0, [started("r"), leased("l", "1"), finished(Verdict.STRANDED)])
    assert line() == (Verdict.STRANDED, "driver-1")
    assert len(journal.runs(unfinished=True)) == 1, "a stranded run still owes"
    journal.append("r", 3, [resumed("driver-2")])
    assert line() == (None, "driver-2")
    journal.append("r", 4, [restored("l"), finished(Verdict.ABORTED)])
    assert line() == (Verdict.ABORTED, "driver-2")
    assert journal.runs(unfinished=True) == []
    journal.append("r", 6, [injected("l", late=True)])
    assert line() == (None, "driver-2")
    assert len(journal.runs(unfinished=True)) == 1


@pytest.mark.parametrize("seed", range(5))
def test_what_is_derived_is_the_same_when_derived_again_from_the_events(
    journal: Journal, seed: int
) -> None:
    rng = random.Random(seed)
    histories = {f"r{i}": 0 for i in range(4)}
    order: list[tuple[str, AnyEvent]] = []
    for at in range(120):
        run = rng.choice(sorted(histories))
        lease, place = f"{run}-{rng.randrange(3)}", histories[run]
        choices: list[AnyEvent] = [
            sampled(at=at), leased(lease, *rng.sample("abcde", 2), at=at), restored(lease),
            injected(lease, late=True), inject_failed(lease, late=rng.random() < 0.5),
            resumed(f"driver-{at}"), finished(rng.choice(list(Verdict)), at=at),
        ]  # fmt: skip
        event = started(run, at=at) if place == 0 else rng.choice(choices)
        try:
            journal.append(run, place, [event])
        except TargetLocked:
            continue
        histories[run] += 1
        order.append((run, event))
    again = MemoryJournal()
    places = dict.fromkeys(histories, 0)
    stored = {run: list(journal.events(run)) for run in histories}
    for run, _ in order:
        again.append(run, places[run], [stored[run][places[run]]])
        places[run] += 1
    assert journal.runs() == again.runs()
    assert journal.runs(unfinished=True) == again.runs(unfinished=True)
    assert journal.locks() == again.locks()


def test_a_runs_driver_is_the_one_that_took_it_up_last(journal: Journal) -> None:
    assert journal.driver("r") == ""
    journal.append("r", 0, [started("r")])
    assert journal.driver("r") == "driver-1"
    journal.append("r", 1, [resumed("driver-2"), sampled()])
    assert journal.driver("r") == "driver-2"


def test_a_run_is_found_by_the_start_of_its_id(journal: Journal) -> None:
    with pytest.raises(Rejected, match="holds no runs"):
        journal.find("last")
    for at, run in enumerate(["abc1", "abd2", "abd", "x%_y"]):
        journal.append(run, 0, whole(run, at=float(at)))
    assert journal.find("last") == "x%_y"
    assert journal.find("abc") == "abc1"
    assert journal.find("abd") == "abd", "a whole id is no prefix"
    assert journal.find("x%") == "x%_y"
    with pytest.raises(Rejected, match="'ab' is the start of 3 runs") as caught:
        journal.find("ab")
    assert caught.value.hint == "abd, abd2, abc1"
    with pytest.raises(Rejected, match="no run '%'") as caught:
        journal.find("%")
    assert caught.value.hint == "the newest are x%_y, abd, abd2, abc1"


def test_requests_to_abort_are_read_once_each(journal: Journal) -> None:
    assert journal.requests(0) == []
    for number in range(3):
        journal.request_abort("r", "ann", f"reason {number}", 5.0 + number)
    found = journal.requests(0)
    assert [request.reason for request in found] == ["reason 0", "reason 1", "reason 2"]
    assert (found[0].run, found[0].by, found[0].at) == ("r", "ann", 5.0)
    assert journal.requests(found[1].id) == found[2:]
    assert journal.requests(found[2].id) == []


def test_the_halt_switch_is_off_until_somebody_turns_it_on(journal: Journal) -> None:
    assert journal.halt() is None
    on = Halt(by="ann", reason="an incident", at=12.5)
    journal.set_halt(on)
    assert journal.halt() == on
    journal.set_halt(msgspec.structs.replace(on, reason="another"))
    assert journal.halt() == msgspec.structs.replace(on, reason="another")
    journal.set_halt(None)
    assert journal.halt() is None
    journal.set_halt(None)
    assert journal.halt() is None


def test_only_old_runs_that_owe_nothing_are_pruned(journal: Journal) -> None:
    journal.append("old", 0, whole("old"))
    journal.append("new", 0, whole("new", at=1000.0))
    journal.append("running", 0, [started("running")])
    journal.append("stranded", 0, whole("stranded", verdict=Verdict.STRANDED))
    journal.append("locked", 0, [started("locked"), leased("l", "1"), finished()])
    journal.request_abort("old", "ann", "", 1.0)
    journal.request_abort("new", "ann", "", 1.0)
    (_, kept) = journal.requests(0)
    assert journal.prune(500.0) == 1
    assert {row.run for row in journal.runs()} == {"new", "running", "stranded", "locked"}
    assert list(journal.events("old")) == []
    assert journal.requests(0) == [kept]
    assert journal.prune(500.0) == 0
    with pytest.raises(JournalUnavailable):
        journal.append("old", 3, [injected("l", late=True)])


def test_a_request_after_a_prune_is_not_missed(journal: Journal) -> None:
    journal.append("old", 0, whole("old"))
    journal.request_abort("old", "ann", "", 1.0)
    (seen,) = journal.requests(0)
    journal.prune(500.0)
    journal.request_abort("other", "ann", "", 2.0)
    (found,) = journal.requests(seen.id)
    assert found.run == "other"


def test_many_old_runs_are_pruned_in_one_go(journal: Journal) -> None:
    journal.append_many([(f"r{i}", 0, whole(f"r{i}")) for i in range(250)])
    assert journal.prune(500.0) == 250
    assert journal.runs() == []


def test_a_driver_is_alive_while_it_is_registered(journal: Journal) -> None:
    assert not journal.alive("host:12/3 ä")
    journal.register("host:12/3 ä")
    journal.register("host:12/3 ä")
    assert journal.alive("host:12/3 ä")
    assert not journal.alive("host:12")
    journal.append("r", 0, [started("r", driver="host:12/3 ä")])
    journal.append("s", 0, [started("s", driver="another")])
    assert {row.run: row.driver_alive for row in journal.runs()} == {"r": True, "s": False}


def test_threads_share_a_journal(journal: Journal) -> None:
    failed: list[ChaosrunError] = []

    def drive(run: str) -> None:
        try:
            journal.append(run, 0, [started(run)])
            for sequence in range(1, 15):
                journal.append(run, sequence, [sampled(at=sequence)])
                journal.halt()
        except ChaosrunError as error:
            failed.append(error)

    threads = [Thread(target=drive, args=(f"r{i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert {row.sequence for row in journal.runs()} == {14}


def test_an_export_is_a_line_of_json_for_each_event(journal: Journal) -> None:
    journal.append("r", 0, [started("r"), leased("l", "1"), finished()])
    lines = list(export_lines(journal, "r"))
    assert all(line.endswith(b"\n") and line.count(b"\n") == 1 for line in lines)
    decoded = [msgspec.json.decode(line) for line in lines]
    assert [(line["run"], line["sequence"], line["type"]) for line in decoded] == [
        ("r", 0, "started"), ("r", 1, "leased"), ("r", 2, "finished"),
    ]  # fmt: skip
    assert decoded[1]["hold"]["targets"] == [{"kind": "process", "id": "1"}]
    assert lines[2] == (
        b'{"run":"r","sequence":2,"type":"finished","at":9.0,"verdict":"passed","reason":""}\n'
    )
