"""Schedules and suites as files: whole with all that they name, or every problem with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosrun.loading import Invalid, Loaded, LoadedSchedule, LoadedSuite, check_files, load_any
from chaosrun.loading.schedules import is_schedule, load_schedule, schedule_files

EXPERIMENT = """\
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {name: asked}
spec:
  title: It goes on
  parameters:
    hold: {type: duration, default: 1s, maximum: 1m}
  steadyState:
    - {name: fine, probe: command, with: {command: ["true"]}, expect: code == 0}
  method:
    - name: harm
      fault: host.command
      with: {inject: "true", revert: "true", tookEffect: "true", restored: "true"}
      hold: ${hold}
"""
SCHEDULE = """\
apiVersion: chaosrun.dev/v1
kind: Schedule
metadata: {name: nightly}
spec:
  experiment: experiment.yaml
  cron: "30 10 * * 1-5"
  window: {}
"""
SUITE = """\
apiVersion: chaosrun.dev/v1
kind: Suite
metadata: {name: all}
spec:
  title: All of them
  parameters:
    hold: {type: duration, default: 2s}
  experiments:
    - {name: one, experiment: experiment.yaml, parameters: {hold: "${hold}"}}
    - {name: two, experiment: experiment.yaml}
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "experiment.yaml").write_text(EXPERIMENT)
    return tmp_path


def problems(path: Path, text: str) -> list[str]:
    """Every problem as `line:column: message (suggestion)`; the file too where it is another."""
    path.write_text(text)
    with pytest.raises(Invalid) as caught:
        load_any(path)
    return [
        ("" if p.file == str(path) else f"{Path(p.file).name}:")
        + f"{p.line}:{p.column}: {p.message}" + (f" ({p.suggestion})" if p.suggestion else "")
        for p in caught.value.problems
    ]  # fmt: skip


def test_a_schedule_brings_its_question_with_the_parameters_it_gives(here: Path) -> None:
    path = here / "schedule.yaml"
    path.write_text(SCHEDULE + "  parameters: {hold: 5s}\n")
    loaded = load_any(path)
    assert isinstance(loaded, LoadedSchedule)
    assert isinstance(loaded.question, Loaded)
    assert loaded.question.parameters == {"hold": "5s"}
    assert loaded.question.source == str(here / "experiment.yaml")


def test_an_experiment_may_stand_in_the_schedule_itself(here: Path) -> None:
    inline = "".join(f"    {line}\n" for line in EXPERIMENT.splitlines())
    path = here / "schedule.yaml"
    path.write_text(SCHEDULE.replace(" experiment.yaml", "\n" + inline.rstrip("\n")))
    loaded = load_schedule(path)
    assert isinstance(loaded.question, Loaded)
    assert loaded.question.experiment.metadata.name == "asked"
    text = path.read_text().replace("probe: command", "probe: comand")
    assert problems(path, text) == ["14:31: unknown probe `comand` (did you mean `command`?)"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("  cron:", "  crom:"), ["6:3: unknown key `crom` (did you mean `cron`?)"]),
        (("30 10 * * 1-5", "30 10 * *"), ["6:9: `cron` has five parts"]),
        (("experiment.yaml", "experimen.yaml"),
         ["5:15: experimen.yaml: no such file (did you mean"]),
        (('5"\n', '5"\n  parameters: {hod: 5s}\n'),
         ["7:16: no parameter is named `hod` (did you mean `hold`?)"]),
        (('5"\n', '5"\n  parameters: {hold: 5m}\n'), ["7:22: 5m is out of range: at most 1m"]),
        (('5"\n', '5"\n  interval: 5\n'), ["7:13: a duration needs a unit"]),
        (('5"\n', '5"\n  misfire: {policy: twice}\n'), ["7:21: `policy` must be skip or once"]),
        (('5"\n', '5"\n  calendar: {files: [none.ics]}\n'),
         ["7:22: cannot read the iCalendar none.ics"]),
        (("30 10 * * 1-5", "30 4 * * 1-5"), ["7:11: none of its times is open: Thu 04:30, for one,"
                                             " is closed: outside of 09:00-17:00 (move"]),
        (("kind: Schedule", "kind: Shedule"), ["2:7: unknown kind `Shedule` (did you mean"]),
    ],
)  # fmt: skip
def test_a_problem_of_a_schedule_is_told_with_its_place(
    here: Path, change: tuple[str, str], said: list[str]
) -> None:
    assert change[0] in SCHEDULE
    found = problems(here / "schedule.yaml", SCHEDULE.replace(*change))
    for text in said:
        assert any(text in each for each in found), found


def test_a_problem_of_the_experiment_is_told_in_its_own_file(here: Path) -> None:
    (here / "experiment.yaml").write_text(EXPERIMENT.replace("host.command", "host.comand"))
    found = problems(here / "schedule.yaml", SCHEDULE)
    assert found == [
        "experiment.yaml:12:14: unknown fault `host.comand` (did you mean `host.command`?)"
    ]


def test_an_icalendar_that_is_cut_off_is_no_calendar(here: Path) -> None:
    (here / "freezes.ics").write_text("BEGIN:VCALENDAR\r\nVERSION:2.0\r\n")
    text = SCHEDULE + "  calendar: {files: [freezes.ics]}\n"
    (found,) = problems(here / "schedule.yaml", text)
    assert found.startswith("8:22: the iCalendar freezes.ics cannot be read")


def test_a_suite_gives_its_parameters_to_those_that_want_them(here: Path) -> None:
    path = here / "suite.yaml"
    path.write_text(SUITE)
    loaded = load_any(path, sets={"hold": "3s"})
    assert isinstance(loaded, LoadedSuite)
    assert [entry.loaded.parameters for entry in loaded.entries] == [
        {"hold": "3s"}, {"hold": "1s"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("name: two", "name: one"), "10:14: two experiments are named `one`"),
        (("name: two,", "name: two, after: [on],"), "no experiment is named `on`"),
        (("name: one,", "name: one, after: [two],"), "experiments wait for one another"),
        (('"${hold}"', '"${hod}"'), "no parameter is named `hod`"),
        (('"${hold}"', "5m"), "5m is out of range: at most 1m"),
        (("name: two, experiment: experiment.yaml", "name: two"), "key `experiment` is missing"),
        (("default: 2s", "default: 2"), "2s or 2ms"),
    ],
)
def test_a_problem_of_a_suite_is_told_with_its_place(
    here: Path, change: tuple[str, str], said: str
) -> None:
    assert change[0] in SUITE
    found = problems(here / "suite.yaml", SUITE.replace(*change))
    assert any(said in each for each in found), found


def test_a_suite_cannot_stand_where_an_experiment_belongs(here: Path) -> None:
    (here / "suite.yaml").write_text(SUITE)
    text = SCHEDULE.replace("experiment.yaml", "suite.yaml")
    assert problems(here / "schedule.yaml", text) == [
        "suite.yaml:2:7: the kind Suite stands where an experiment belongs"
    ]
    path = here / "schedule.yaml"
    path.write_text(SCHEDULE.replace("experiment: experiment.yaml", "suite: suite.yaml"))
    assert isinstance(load_schedule(path).question, LoadedSuite)
    path.write_text(SCHEDULE.replace("experiment: experiment", "suite: experiment"))
    with pytest.raises(Invalid, match="the kind Experiment stands where a suite belongs"):
        load_any(path)


def test_all_kinds_of_a_directory_are_checked_and_only_schedules_found(here: Path) -> None:
    (here / "suite.yaml").write_text(SUITE)
    (here / "schedule.yaml").write_text(SCHEDULE)
    assert [type(one.loaded).__name__ for one in check_files([here])] == [
        "Loaded", "LoadedSchedule", "LoadedSuite",
    ]  # fmt: skip
    assert schedule_files((str(here),)) == [here / "schedule.yaml"]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("kind: Schedule\n", True),
        ("apiVersion: x\nkind:   'Schedule' # nightly\nspec: {}\n", True),
        ('{"apiVersion": "x", "kind": "Schedule", "spec": {}}', True),
        ("{kind: Schedule}", True),
        ("kind: Experiment\n", False),
        ("# kind of Schedule\nkind: ScheduleList\n", False),
        ("", False),
    ],
)
def test_a_file_is_known_as_a_schedule_by_its_kind(here: Path, text: str, is_one: bool) -> None:
    (here / "some.yaml").write_text(text)
    assert is_schedule(here / "some.yaml") is is_one
