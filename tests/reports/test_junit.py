"""JUnit XML: what an independent reader makes of it."""

from __future__ import annotations

from collections.abc import Callable
from xml.etree import ElementTree as Xml

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from chaosrun.events import AnyEvent, Verdict
from chaosrun.reports import render
from chaosrun.reports.summary import summarise
from tests.reports import stories
from tests.reports.stories import STORIES


def read(story: Callable[[], list[AnyEvent]]) -> dict[str, str]:
    """Each case as junitparser reads it: group/name and what became of it."""
    (suite,) = JUnitXml.fromstring(render("junit", story()).encode())
    found, words = {}, []
    for case in suite:
        kinds = [type(result) for result in case.result]
        word = {Failure: "failure", Error: "error", Skipped: "skipped"}
        words.append(word[kinds[0]] if kinds else "passed")
        found[f"{case.classname.rpartition('.')[2]}/{case.name}"] = words[-1]
    assert suite.tests == len(words)
    assert suite.failures == words.count("failure")
    assert suite.errors == words.count("error")
    assert suite.skipped == words.count("skipped")
    return found


def test_a_passed_run_is_all_green() -> None:
    assert set(read(stories.passed).values()) == {"passed"}


def test_a_finding_is_a_failure_and_the_rest_stays_green() -> None:
    cases = read(stories.deviated)
    assert cases["checks/checkout answers"] == "failure"
    assert cases["checks/enough replicas"] == "passed"
    assert cases["steps/kill a replica"] == "passed"
    assert cases["steps/slow the backend"] == "skipped"
    assert cases["run/verdict"] == "failure"


def test_a_tripped_guard_is_a_failure() -> None:
    cases = read(stories.aborted)
    assert cases["guards/errors burn the budget"] == "failure"
    assert cases["run/verdict"] == "failure"


def test_a_refusal_is_an_error_and_what_was_not_reached_is_skipped() -> None:
    cases = read(stories.refused_by_gate)
    assert cases["gates/command"] == "error"
    assert cases["gates/halt"] == "passed"
    assert cases["checks/checkout answers"] == "skipped"
    assert cases["run/verdict"] == "error"
    assert "failure" not in cases.values()


def test_an_unsteady_start_is_an_error_of_its_check() -> None:
    assert read(stories.refused_unsteady)["checks/enough replicas"] == "error"


def test_no_effect_and_what_is_owed_are_errors() -> None:
    assert read(stories.inconclusive)["steps/kill a replica"] == "error"
    assert read(stories.stranded)["steps/slow the backend"] == "error"


@pytest.mark.parametrize("name", STORIES)
def test_a_run_that_did_not_pass_is_never_green(name: str) -> None:
    green = set(read(STORIES[name]).values()) <= {"passed", "skipped"}
    assert green == (summarise(STORIES[name]()).verdict is Verdict.PASSED)


def test_hostile_text_is_still_xml() -> None:
    read(stories.hostile)
    tale = stories.Tale(source="\x00\x08\ud800\uffff]]>&")
    Xml.fromstring(render("junit", tale.events))
