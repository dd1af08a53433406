"""`chaosrun run`: verdicts, exit codes, outputs, and what is checked before anything is touched."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from xml.etree import ElementTree

from tests.cli.conftest import Chaosrun, until


def test_a_run_that_passes_exits_0_and_tells_its_story_in_lines(chaosrun: Chaosrun) -> None:
    ended = chaosrun("run", chaosrun.experiment())
    assert ended.returncode == 0
    for word in ("started", "leased", "injected", "effect seen", "restored", "finished"):
        assert f"  {word}" in ended.stdout
    assert "passed" in ended.stdout
    assert "\x1b" not in ended.stdout
    assert ended.stderr == ""
    assert not chaosrun.marked


def test_a_steady_state_that_breaks_exits_1(chaosrun: Chaosrun) -> None:
    breaks = f"touch {chaosrun.place}/open; test -e {chaosrun.place}/mark"
    file = chaosrun.experiment(hold="5s", took_effect=f'"{breaks}; s=$?; exit $s"')
    # the look before the injection must not open the door, so it opens once the mark is there
    text = (chaosrun.place / file).read_text()
    only_then = f"test -e {chaosrun.place}/mark && touch {chaosrun.place}/open"
    text = text.replace(f"{breaks}; s=$?; exit $s", only_then)
    (chaosrun.place / file).write_text(text + "  recoverWithin: 300ms\n")
    ended = chaosrun("run", file)
    assert ended.returncode == 1
    assert "broke: code = 1" in ended.stdout
    assert "deviated" in ended.stdout
    assert not chaosrun.marked


def test_a_closed_gate_exits_3_and_says_what_would_open_it(chaosrun: Chaosrun) -> None:
    gates = '  gates:\n    - command: {command: "echo closed today; exit 1", hint: come tomorrow}\n'
    ended = chaosrun("run", chaosrun.experiment(gates=gates))
    assert ended.returncode == 3
    assert "closed today" in ended.stdout
    assert "come tomorrow" in ended.stdout
    assert not chaosrun.marked


def test_an_unsteady_start_exits_3(chaosrun: Chaosrun) -> None:
    (chaosrun.place / "open").touch()
    ended = chaosrun("run", chaosrun.experiment(), "-q")
    assert ended.returncode == 3
    assert ended.stdout.startswith("refused  ")
    assert "door is shut" in ended.stdout


def test_a_guard_that_trips_exits_4_and_everything_is_reverted(chaosrun: Chaosrun) -> None:
    process = chaosrun.start("run", chaosrun.experiment(hold="30s", guard=True))
    chaosrun.wait_for_mark()
    (chaosrun.place / "hurt").touch()
    assert process.wait(20) == 4
    assert not chaosrun.marked


def test_an_effect_that_is_not_seen_exits_5(chaosrun: Chaosrun) -> None:
    file = chaosrun.experiment(took_effect='"false"')
    text = (chaosrun.place / file).read_text().replace("timeout: 30s", "timeout: 300ms")
    (chaosrun.place / file).write_text(text)
    assert chaosrun("run", file, "-q").returncode == 5


def test_a_revert_that_never_works_exits_7_and_status_says_what_is_left(
    chaosrun: Chaosrun,
) -> None:
    file = chaosrun.experiment(revert="echo stuck >&2; exit 1")
    text = (chaosrun.place / file).read_text() + "  revertWithin: 300ms\n"
    (chaosrun.place / file).write_text(text)
    assert chaosrun("run", file, "-q").returncode == 7
    status = chaosrun("status")
    assert status.returncode == 7
    assert "stranded" in status.stdout
    assert "make a mark" in status.stdout
    assert "stuck" in status.stdout


def test_a_file_that_is_wrong_exits_2_with_every_problem_and_makes_no_run(
    chaosrun: Chaosrun,
) -> None:
    file = chaosrun.experiment()
    text = (chaosrun.place / file).read_text()
    text = text.replace("host.command", "host.comand").replace("every:", "evry:")
    (chaosrun.place / file).write_text(text)
    ended = chaosrun("run", file)
    assert ended.returncode == 2
    assert "did you mean `host.command`?" in ended.stderr
    assert "did you mean `every`?" in ended.stderr
    assert "^" in ended.stderr
    assert chaosrun.json("runs") == []


def test_quiet_says_the_verdict_on_one_line(chaosrun: Chaosrun) -> None:
    ended = chaosrun("run", chaosrun.experiment(), "--quiet")
    assert len(ended.stdout.splitlines()) == 1
    assert ended.stdout.startswith("passed  ")
    assert ended.stderr == ""


def test_json_on_stdout_is_the_result_and_nothing_else(chaosrun: Chaosrun) -> None:
    ended = chaosrun("run", chaosrun.experiment(), "--output", "json")
    result = json.loads(ended.stdout)
    assert result["verdict"] == "passed"
    assert "injected" in ended.stderr


def test_events_to_a_file_are_all_of_the_journal_in_order(chaosrun: Chaosrun) -> None:
    chaosrun("run", chaosrun.experiment(), "-q", "--events", "events.jsonl")
    lines = (chaosrun.place / "events.jsonl").read_text().splitlines()
    written = [json.loads(line) for line in lines]
    exported = [json.loads(line) for line in chaosrun("export", "last").stdout.splitlines()]
    assert written == exported
    assert [event["sequence"] for event in written] == list(range(len(written)))
    assert written[-1]["type"] == "finished"


def test_events_to_stdout_come_as_they_happen(chaosrun: Chaosrun) -> None:
    import subprocess

    process = chaosrun.start(
        "run", chaosrun.experiment(hold="30s"), "--events", "-", stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line)["type"] == "injected":
            break
    assert chaosrun.marked
    process.terminate()
    assert [json.loads(line) for line in process.stdout][-1]["verdict"] == "cancelled"


def test_events_and_json_cannot_both_have_stdout(chaosrun: Chaosrun) -> None:
    ended = chaosrun("run", chaosrun.experiment(), "--events", "-", "--output", "json")
    assert ended.returncode == 2
    assert "standard output" in ended.stderr


def test_reports_are_written_beside_the_verdict(chaosrun: Chaosrun) -> None:
    ended = chaosrun(
        "run", chaosrun.experiment(), "--junit", "out/junit.xml", "--markdown", "report.md",
        "--html", "report.html",
    )  # fmt: skip
    assert ended.returncode == 0
    assert ElementTree.parse(chaosrun.place / "out/junit.xml").getroot().tag == "testsuites"
    assert "passed" in (chaosrun.place / "report.md").read_text()
    assert "<html" in (chaosrun.place / "report.html").read_text()
    assert "html report: report.html" in ended.stderr


def test_a_report_that_cannot_be_written_stops_before_anything_is_touched(
    chaosrun: Chaosrun,
) -> None:
    (chaosrun.place / "file").touch()
    ended = chaosrun("run", chaosrun.experiment(), "--html", "file/report.html")
    assert ended.returncode == 2
    assert "cannot write file/report.html" in ended.stderr
    assert chaosrun("run", "experiment.yaml", "--events", "/").returncode == 2
    assert chaosrun.json("runs") == []


def test_a_pipe_that_nobody_reads_is_an_error_and_not_a_wait(chaosrun: Chaosrun) -> None:
    os.mkfifo(chaosrun.place / "pipe")
    ended = chaosrun("run", chaosrun.experiment(), "--events", "pipe")
    assert ended.returncode == 2
    assert "nobody reads this pipe" in ended.stderr


def test_an_experiment_may_come_from_standard_input(chaosrun: Chaosrun) -> None:
    text = (chaosrun.place / chaosrun.experiment()).read_text()
    assert chaosrun("run", "-", "-q", stdin=text).returncode == 0


def test_parameters_are_set_on_the_command_line_and_by_a_file(chaosrun: Chaosrun) -> None:
    file = chaosrun.experiment(hold="${hold}")
    path = chaosrun.place / file
    declared = "  parameters:\n    hold: {type: duration, default: 60s}\n  steadyState:"
    path.write_text(path.read_text().replace("  steadyState:", declared).replace(
        "hold: ${hold}", 'hold: "${hold}"'))  # fmt: skip
    (chaosrun.place / "values.yaml").write_text("hold: 10ms\n")
    assert chaosrun("run", file, "-q", "--set", "hold=20ms").returncode == 0
    assert chaosrun("run", file, "-q", "--values", "values.yaml").returncode == 0
    assert chaosrun("run", file, "--set", "hold").returncode == 2
    assert "hole" in chaosrun("run", file, "--set", "hole=1s").stderr


def test_what_a_dead_run_left_is_reverted_before_anything_else(chaosrun: Chaosrun) -> None:
    dead = chaosrun.start("run", chaosrun.experiment(hold="60s"))
    chaosrun.wait_for_mark()
    dead.kill()
    dead.wait()
    assert chaosrun.marked
    ended = chaosrun("run", "nothing-here.yaml")
    assert ended.returncode == 2
    assert "is gone: reverting what it left behind first" in ended.stderr
    assert "restored      make a mark" in ended.stdout
    assert not chaosrun.marked


def test_two_runs_never_hold_the_same_target(chaosrun: Chaosrun) -> None:
    file = chaosrun.experiment(hold="30s")
    text = (chaosrun.place / file).read_text()
    # the second run's own look at the beginning must not see the first run's mark
    text = text.replace("tookEffect:", "anywhere: false\n        tookEffect:")
    (chaosrun.place / file).write_text(text)
    first = chaosrun.start("run", file)
    chaosrun.wait_for_mark()
    second = chaosrun("run", file, "-q")
    assert second.returncode == 3
    first.terminate()
    assert first.wait(20) == 143


def test_abort_from_elsewhere_stops_the_run_and_tells_how_it_ended(chaosrun: Chaosrun) -> None:
    process = chaosrun.start("run", chaosrun.experiment(hold="60s"))
    chaosrun.wait_for_mark()
    ended = chaosrun("abort", "last", "--reason", "customers complain")
    assert ended.returncode == 0
    assert "restored      make a mark" in ended.stdout
    assert process.wait(20) == 130
    assert not chaosrun.marked
    again = chaosrun("abort", "last", "--reason", "again")
    assert again.returncode == 0
    assert "ended already" in again.stdout


def test_halt_stops_running_runs_and_refuses_new_ones(chaosrun: Chaosrun) -> None:
    process = chaosrun.start("run", chaosrun.experiment(hold="60s"))
    chaosrun.wait_for_mark()
    assert "is told to revert" in chaosrun("halt", "on", "--reason", "incident 4711").stdout
    assert process.wait(20) == 130
    assert not chaosrun.marked
    assert chaosrun.json("halt", "status")["on"] is True
    assert "incident 4711" in chaosrun("status").stdout
    refused = chaosrun("run", "experiment.yaml")
    assert refused.returncode == 3
    assert "incident 4711" in refused.stdout
    chaosrun("halt", "off")
    assert chaosrun("run", chaosrun.experiment(), "-q").returncode == 0


def test_many_runs_at_once_share_one_journal(chaosrun: Chaosrun) -> None:
    codes: list[int] = []

    def one(number: int) -> None:
        place = chaosrun.place / str(number)
        place.mkdir()
        mine = Chaosrun(place)
        mine.env["CHAOSRUN_STATE_DIR"] = str(chaosrun.place / "state")
        codes.append(mine("run", mine.experiment(), "-q").returncode)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes == [0, 0, 0]
    assert len(chaosrun.json("runs")) == 3


def test_the_state_directory_is_made(chaosrun: Chaosrun) -> None:
    place = Path(chaosrun.env["CHAOSRUN_STATE_DIR"])
    assert not place.exists()
    chaosrun("run", chaosrun.experiment(), "-q")
    until(lambda: (place / "journal.db").exists())
