"""`chaosrun schedule`: what a person sees of schedules, and what they can do to them."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Chaosrun

SCHEDULE = """
apiVersion: chaosrun.dev/v1
kind: Schedule
metadata: {{name: {name}}}
spec:
  title: Each working day
  experiment: ../experiment.yaml
  timezone: Europe/Berlin
  {when}
  window: {{}}
  calendar: {{holidays: [{{country: DE}}]}}
"""


@pytest.fixture
def planned(chaosrun: Chaosrun) -> Chaosrun:
    """A directory with an experiment, and `schedules/` with two schedules."""
    chaosrun.experiment()
    (chaosrun.place / "schedules").mkdir()
    for name, when in (("weekdays", 'cron: "30 10 * * 1-5"'), ("monkey", "random: {meanDays: 2}")):
        text = SCHEDULE.format(name=name, when=when)
        (chaosrun.place / "schedules" / f"{name}.yaml").write_text(text)
    return chaosrun


def test_list_shows_each_schedule_and_when_it_fires_next(planned: Chaosrun) -> None:
    done = planned("schedule", "list")
    assert done.returncode == 0, done.stderr
    header, monkey, weekdays = done.stdout.splitlines()
    assert header.split() == ["SCHEDULE", "NEXT", "LAST", "FIRE", "WHEN"]
    assert monkey.startswith("monkey")
    assert "cron 30 10 * * 1-5 in Europe/Berlin" in weekdays
    assert "10:30:00 Europe/Berlin" in weekdays
    found = planned.json("schedule", "list", "schedules/weekdays.yaml")
    assert [each["schedule"] for each in found] == ["weekdays"]
    assert found[0]["paused"] is False


def test_next_tells_of_all_schedules_soonest_first(planned: Chaosrun) -> None:
    found = planned.json("schedule", "next", "--count", "12")
    assert len(found) == 12
    assert [each["at"] for each in found] == sorted(each["at"] for each in found)
    assert {each["schedule"] for each in found} == {"weekdays", "monkey"}


def test_simulate_shows_every_fire_and_why_there_is_none_on_the_other_days(
    planned: Chaosrun,
) -> None:
    words = ("schedule", "simulate", "schedules/weekdays.yaml", "--from", "2026-12-21")
    done = planned(*words, "--weeks", "2")
    assert done.returncode == 0, done.stderr
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    assert lines[0] == "weekdays  cron 30 10 * * 1-5 in Europe/Berlin: 8 fires"
    assert lines[1] == "Mon 21 Dec  10:30:00"
    assert "Fri 25 Dec  none: 10:30 is closed: public holiday of DE: Christmas Day" in lines
    assert "Sun 27 Dec  none: closed: Sunday is not a working day" in lines
    assert len(lines) == 1 + 14
    found = planned.json(*words, "--weeks", "2")
    assert sum("at" in each for each in found[0]["days"]) == 8
    assert planned("schedule", "simulate", "--from", "soon").returncode == 2


def test_simulate_draws_a_picture_of_it(planned: Chaosrun) -> None:
    done = planned(
        "schedule", "simulate", "--from", "2026-12-21", "--weeks", "2", "--html", "weeks.html",
        "--svg", "weeks.svg",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    picture = ElementTree.parse(planned.place / "weeks.svg").getroot()
    svg = "{http://www.w3.org/2000/svg}"
    titles = [title.text or "" for title in picture.iter(f"{svg}title")]
    assert "Mon 21 Dec 10:30:00" in titles
    assert any("Christmas Day" in title for title in titles)
    page = (planned.place / "weeks.html").read_text()
    assert "<script" not in page
    assert "every day in words" in page
    assert page.count("<h2>") == 2


def test_pause_and_resume_are_on_record_with_who_and_why(planned: Chaosrun) -> None:
    path = "schedules/weekdays.yaml"
    done = planned("schedule", "pause", path, "--reason", "release week")
    assert done.stdout == "weekdays is paused: release week\n"
    (found,) = planned.json("schedule", "list", path)
    assert found["paused"] is True
    assert found["pausedBecause"] == "release week"
    assert "@" in found["pausedBy"]
    assert f"paused by {found['pausedBy']}" in planned("schedule", "list", path).stdout
    done = planned("schedule", "resume", path, "--reason", "released")
    assert "weekdays is resumed: released; it was paused by" in done.stdout
    assert planned.json("schedule", "list", path)[0]["paused"] is False


def test_a_schedule_that_nobody_knows_cannot_be_paused(planned: Chaosrun) -> None:
    done = planned("schedule", "pause", "wekdays", "--reason", "typo")
    assert done.returncode == 2
    assert "no daemon on this journal has seen a schedule 'wekdays'" in done.stderr


def test_run_asks_a_schedules_question_now(planned: Chaosrun) -> None:
    done = planned("schedule", "run", "schedules/weekdays.yaml")
    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout
    assert "schedule weekdays" in done.stdout
    assert not planned.marked
    line = json.loads(planned("export", "last").stdout.splitlines()[0])
    assert line["schedule"] == "weekdays"


def test_what_is_no_schedule_is_refused_with_its_kind(planned: Chaosrun) -> None:
    done = planned("schedule", "list", "experiment.yaml")
    assert done.returncode == 2
    assert "kind Experiment" in done.stderr
    done = planned("run", "schedules/weekdays.yaml")
    assert done.returncode == 2
    assert "is a schedule" in done.stderr
    assert "chaosrun schedule run" in done.stderr
    done = planned("schedule", "list", "nowhere")
    assert done.returncode == 2
    (planned.place / "schedules").rename(planned.place / "away")
    done = planned("schedule", "next")
    assert "There is no directory `schedules` here" in done.stderr
