"""What a suite came to follows from its runs, and what is not known is not a pass."""

from __future__ import annotations

import pytest

from chaosrun import events as e
from chaosrun.errors import Rejected
from chaosrun.events import Verdict
from chaosrun.reports.suite_summary import summarise_suite
from chaosrun.spec import Experiment, ExperimentSpec, Metadata

PARTS = (
    e.AskedPart(name="first"),
    e.AskedPart(name="second", after=("first",)),
    e.AskedPart(name="third", after=("second",)),
)
NUMBER = {part.name: number for number, part in enumerate(PARTS, 1)}


def run_of(
    name: str, verdict: Verdict | None = Verdict.PASSED, *, stop: bool = True, told: bool = True
) -> tuple[str, list[e.AnyEvent]]:
    run, at = f"s-0{NUMBER[name]}", 10.0 * NUMBER[name]
    experiment = Experiment(
        api_version="chaosrun.dev/v1", kind="Experiment", metadata=Metadata(name=name),
        spec=ExperimentSpec(title=name, steady_state=(), method=()),
    )  # fmt: skip
    asked = e.AskedSuite(name="all", title="All", part=name, parts=PARTS, stop_on_finding=stop)
    events: list[e.AnyEvent] = [
        e.Started(
            at=at, run=run, experiment=experiment, digest="d", seed=1, driver="d", version="1",
            suite="s", asked=asked if told else None,
        )
    ]  # fmt: skip
    if verdict is not None:
        events.append(e.Finished(at=at + 5, verdict=verdict, reason="so it was"))
    return run, events


def test_a_part_whose_run_was_pruned_is_not_said_to_have_never_started() -> None:
    told = summarise_suite("s", dict([run_of("second"), run_of("third")]), {"s-02", "s-03"})
    assert told.parts[0].reason == "its run is not in the journal any longer"
    assert told.verdict is Verdict.INCONCLUSIVE
    assert told.reason == "first: its run is not in the journal any longer"


def test_between_two_experiments_a_suite_has_no_verdict_while_its_driver_lives() -> None:
    told = summarise_suite("s", dict([run_of("first")]))
    assert (told.verdict, told.exit_code) == (None, None)
    assert told.reason == "no verdict yet: the next experiment is about to start"
    assert [part.reason for part in told.parts[1:]] == [
        "not started yet", "not started yet: it waits for second",
    ]  # fmt: skip


def test_a_driver_that_died_between_two_experiments_leaves_no_pass() -> None:
    told = summarise_suite("s", dict([run_of("first")]), {"s-01"})
    assert told.verdict is Verdict.INCONCLUSIVE
    assert told.reason == "second: not started: the process that ran the suite ended"


def test_a_finding_ends_a_suite_only_where_it_should() -> None:
    runs = dict([run_of("first", Verdict.DEVIATED)])
    told = summarise_suite("s", runs)
    assert (told.verdict, told.exit_code) == (Verdict.DEVIATED, 1)
    assert told.parts[1].reason == "not started: first ended deviated"
    goes_on = summarise_suite("s", dict([run_of("first", Verdict.DEVIATED, stop=False)]))
    assert goes_on.verdict is None


def test_runs_that_do_not_tell_what_was_asked_are_named() -> None:
    with pytest.raises(Rejected, match="an older chaosrun") as error:
        summarise_suite("s", dict([run_of("first", told=False), run_of("second", told=False)]))
    assert error.value.hint == "report on each: s-01, s-02"
