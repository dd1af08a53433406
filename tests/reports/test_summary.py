"""The summary: facts of the journal, for every beginning of every run."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chaosrun import events as e
from chaosrun.codec import from_json, json_schema, to_json, to_plain
from chaosrun.events import AnyEvent, Moment, Outcome, Verdict
from chaosrun.reports import FORMATS, render, render_summary
from chaosrun.reports.result import StepOutcome, Summary
from chaosrun.reports.summary import summarise
from chaosrun.verdicts import MEANING, exit_code
from tests.reports import stories
from tests.reports.stories import RUN, STORIES

EVERY: dict[str, list[AnyEvent]] = {
    **{name: story() for name, story in STORIES.items()},
    "hostile": stories.hostile(),
}


@pytest.mark.parametrize("name", EVERY)
def test_every_beginning_of_a_run_has_a_summary(name: str) -> None:
    for length in range(len(EVERY[name]) + 1):
        told = summarise(EVERY[name][:length])
        assert told.reason
        assert json.loads(render_summary("json", told))["run"] == told.run


@pytest.mark.parametrize("name", EVERY)
def test_every_report_can_be_made_of_every_beginning(name: str) -> None:
    events = EVERY[name]
    kinds = {type(event): index for index, event in enumerate(events)}  # where each was last
    for length in {0, 1, *(index + 1 for index in kinds.values()), len(events)}:
        told = summarise(events[:length])
        for report in FORMATS:
            assert render_summary(report, told)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_events_that_make_no_sense_still_have_a_summary(data: st.DataObject) -> None:
    started = EVERY["passed"][0]
    pool = [event for events in EVERY.values() for event in events if event is not started]
    chosen = data.draw(st.lists(st.sampled_from(pool), max_size=40))
    shifts = data.draw(st.lists(st.floats(-1e4, 1e4), min_size=40, max_size=40))
    moved = [
        msgspec.structs.replace(event, at=event.at + shift)
        for event, shift in zip(chosen, shifts, strict=False)
        if not isinstance(event, e.Started)
    ]
    told = summarise([started, *moved])
    assert told.duration >= 0
    for report in ("text", "junit", "markdown"):
        assert render_summary(report, told)


def test_a_summary_is_a_function_of_the_events_alone() -> None:
    assert to_json(summarise(stories.passed())) == to_json(summarise(stories.passed()))


def test_a_summary_comes_back_from_its_json() -> None:
    told = summarise(stories.aborted())
    assert to_json(from_json(to_json(told), Summary)) == to_json(told)


@pytest.mark.parametrize("name", EVERY)
def test_the_json_meets_its_schema(name: str) -> None:
    import jsonschema

    schema = json_schema(Summary)
    jsonschema.Draft202012Validator(schema).validate(json.loads(render("json", EVERY[name])))


def test_every_field_of_the_summary_that_is_not_plain_is_described() -> None:
    fields = json_schema(Summary)["$defs"]["Summary"]["properties"]
    plain = {"title", "description", "owner", "labels", "seed", "parameters"}
    plain |= {"phases", "gates", "limits", "steps", "checks", "guards", "stops", "resumes"}
    assert {name for name, field in fields.items() if "description" not in field} <= plain


@pytest.mark.parametrize(
    ("story", "verdict", "code"),
    [
        (stories.passed, Verdict.PASSED, 0),
        (stories.deviated, Verdict.DEVIATED, 1),
        (stories.refused_by_gate, Verdict.REFUSED, 3),
        (stories.refused_unsteady, Verdict.REFUSED, 3),
        (stories.aborted, Verdict.ABORTED, 4),
        (stories.inconclusive, Verdict.INCONCLUSIVE, 5),
        (stories.stranded, Verdict.STRANDED, 7),
        (stories.cancelled, Verdict.CANCELLED, 143),
        (stories.recovered, Verdict.CANCELLED, 130),
        (stories.running, None, None),
    ],
)
def test_the_verdict_and_its_exit_code(
    story: Callable[[], list[AnyEvent]], verdict: Verdict | None, code: int | None
) -> None:
    told = summarise(story())
    assert (told.verdict, told.exit_code) == (verdict, code)


def test_each_verdict_has_a_meaning_and_an_exit_code_of_its_own() -> None:
    codes = [exit_code(verdict) for verdict in Verdict]
    assert set(MEANING) == set(Verdict)
    assert len(set(codes)) == len(codes)
    assert 2 not in codes
    assert exit_code(Verdict.CANCELLED, 2) == 130
    assert exit_code(Verdict.CANCELLED, 1) == 129
    assert exit_code(Verdict.DEVIATED, 15) == 1


def test_a_passed_run_tells_what_was_touched_seen_and_restored() -> None:
    told = summarise(stories.passed())
    kill, slow = told.steps
    assert (kill.outcome, slow.outcome) == (StepOutcome.RESTORED, StepOutcome.RESTORED)
    assert (kill.share, kill.population) == (0.333333, 3)
    assert [(part.name, part.targets) for part in kill.domains] == [("rack-b", 1)]
    assert [(part.name, part.targets) for part in kill.kinds] == [("process", 1)]
    times = [kill.leased, kill.injected, kill.effect_seen, kill.reverted, kill.restored]
    assert times == sorted(times)  # type: ignore[type-var]
    assert kill.effect_detail == "pid 4242 is gone"
    assert kill.restored_detail == "a new replica-2 runs as pid 4410"
    assert slow.after == ("kill a replica",)
    assert [phase.name for phase in told.phases] == ["gates", "baseline", "method", "after"]
    assert told.phases[-1].end == told.duration
    assert told.owed == ()


def test_recovery_is_from_the_last_revert_until_every_check_holds_for_good() -> None:
    told = summarise(stories.passed())
    reverted = told.steps[1].reverted
    answers, replicas = told.checks
    after = [sample for sample in answers.samples if sample.moment is Moment.AFTER]
    assert [sample.outcome for sample in after] == [Outcome.BROKE, *[Outcome.HELD] * 3]
    assert answers.returned == after[1].at
    assert reverted is not None
    assert replicas.returned is not None
    assert told.recovery == pytest.approx(max(after[1].at, replicas.returned) - reverted)


def test_a_check_plots_what_its_expectation_bounds() -> None:
    answers, replicas = summarise(stories.passed()).checks
    assert (answers.plotted, answers.unit) == ("latency", "ms")
    assert [(bound.operator, bound.value) for bound in answers.thresholds] == [("<", 300.0)]
    assert (replicas.plotted, replicas.unit) == ("json.ready", "")
    assert answers.during.most == 412.0
    assert answers.first_broke is not None
    assert answers.first_reason == "status was 200, latency was 412ms"


def test_a_guard_that_stopped_the_run_says_when_and_how_fast_the_revert_was() -> None:
    told = summarise(stories.aborted())
    (guard,) = told.guards
    assert guard.tripped == told.stopped
    assert told.reaction == pytest.approx(0.035)
    assert any("tripped and stopped the run" in sentence for sentence in told.learned)


def test_a_guard_that_could_not_tell_says_so() -> None:
    tale = stories.Tale()
    lease = tale.begun()
    tale.sample(
        "errors burn the budget", Moment.DURING, outcome=Outcome.UNKNOWN, result=None,
        reason="no answer within 10s",
    )  # fmt: skip
    tale.undo(lease)
    told = summarise(tale.events)
    assert any(
        "could not tell (no answer within 10s) and stopped the run" in sentence
        for sentence in told.learned
    )


def test_a_refusal_says_what_was_measured_the_rule_and_what_would_open_it() -> None:
    told = summarise(stories.refused_by_gate())
    (sentence,) = told.learned
    for part in ("Nothing was injected", "2 of 3 replicas", "exits with 0", "wait until"):
        assert part in sentence
    assert told.next[0] == "First: wait until the rollout is complete."


def test_a_stranded_run_says_what_is_owed_and_how_to_undo_it() -> None:
    told = summarise(stories.stranded())
    (owed,) = told.owed
    assert (owed.step, owed.stranded) == ("slow the backend", True)
    assert "connection refused" in owed.trouble
    assert told.steps[1].outcome is StepOutcome.OWED
    assert told.steps[1].revert_attempts == 9
    assert "`chaosrun recover`" in told.next[0]
    assert any("remove the toxic" in sentence for sentence in told.next)
    assert any("The target itself" in sentence for sentence in told.next)


def test_a_recovered_run_owes_nothing_and_says_who_took_it_up() -> None:
    for story in (stories.recovered, stories.stranded_then_recovered):
        told = summarise(story())
        assert told.owed == ()
        assert len(told.resumes) == 1
        assert any(sentence.startswith("Everything is back") for sentence in told.learned)


def test_a_late_injection_is_owed_again() -> None:
    events = stories.aborted()
    late = e.Injected(at=events[-1].at + 1, lease=f"{RUN}-0", late=True)
    told = summarise([*events, late])
    assert told.verdict is None
    assert [owed.step for owed in told.owed] == ["kill a replica"]
    assert told.steps[0].restored is None


def test_the_command_to_repeat_is_one_that_a_shell_takes() -> None:
    import shlex

    tale = stories.Tale(parameters={"note": "it's $HOME; rm -rf /", "on": True, "n": 3})
    words = shlex.split(summarise(tale.events).repeat)
    assert words[:5] == ["chaosrun", "run", "experiments/lab/replica-loss.yaml", "--seed", "4711"]
    assert words[5:] == ["--set", "note=it's $HOME; rm -rf /", "--set", "on=true", "--set", "n=3"]


def test_the_experiment_in_the_summary_is_the_one_that_was_asked() -> None:
    told = summarise(stories.passed())
    asked: Any = stories.passed()[0]
    assert told.experiment == to_plain(asked.experiment)
