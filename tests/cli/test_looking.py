"""The commands that look at the journal, and those that put things back by hand."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.conftest import Chaosrun, until


@pytest.fixture
def run(chaosrun: Chaosrun) -> str:
    """The id of a run that passed."""
    chaosrun("run", chaosrun.experiment(), "-q", "--seed", "42")
    found: str = chaosrun.json("runs")[0]["run"]
    return found


def test_runs_are_listed_newest_first(chaosrun: Chaosrun, run: str) -> None:
    (chaosrun.place / "open").touch()
    chaosrun("run", "experiment.yaml", "-q")
    lines = chaosrun("runs").stdout.splitlines()
    assert lines[0].split() == ["RUN", "STARTED", "VERDICT", "EXPERIMENT"]
    assert "refused" in lines[1]
    assert "passed" in lines[2]
    assert lines[2].startswith(run)
    assert len(chaosrun.json("runs", "--limit", "1")) == 1


def test_an_empty_journal_says_how_to_begin(chaosrun: Chaosrun) -> None:
    ended = chaosrun("runs")
    assert ended.returncode == 0
    assert "chaosrun run" in ended.stderr
    assert chaosrun.json("runs") == []
    assert chaosrun("show", "last").returncode == 2


def test_show_tells_the_story_with_a_timeline(chaosrun: Chaosrun, run: str) -> None:
    said = chaosrun("show", run[:-2]).stdout
    assert run in said
    assert "seed 42" in said
    assert "█" in said
    for word in ("injected", "effect seen", "restored", "finished"):
        assert f"  {word}" in said
    assert "held: code=0" in chaosrun("show", "--samples").stdout


def test_show_events_and_export_are_the_journal(chaosrun: Chaosrun, run: str) -> None:
    shown = chaosrun("show", "last", "--events").stdout
    assert shown == chaosrun("export", run).stdout == chaosrun("export", "--all").stdout
    assert json.loads(shown.splitlines()[0])["type"] == "started"
    assert chaosrun("export").returncode == 2


def test_show_follows_a_run_to_its_end(chaosrun: Chaosrun) -> None:
    chaosrun.start("run", chaosrun.experiment(hold="1s"))
    chaosrun.wait_for_mark()
    said = chaosrun("show", "last", "--follow").stdout
    assert said.rstrip().endswith("the steady state held")


@pytest.mark.parametrize("kind", ["text", "json", "junit", "markdown", "html"])
def test_reports_come_in_every_format(chaosrun: Chaosrun, run: str, kind: str) -> None:
    said = chaosrun("report", run, "--format", kind)
    assert said.returncode == 0
    assert "passed" in said.stdout or kind == "junit"
    if kind == "junit":
        assert ElementTree.fromstring(said.stdout).tag == "testsuites"
    ended = chaosrun("report", run, "--format", kind, "--out", "report.out")
    assert ended.stdout == ""
    assert (chaosrun.place / "report.out").read_text() == said.stdout


def test_an_unknown_run_is_named(chaosrun: Chaosrun, run: str) -> None:
    for words in (["show", "zzz"], ["report", "zzz"], ["abort", "zzz", "--reason", "x"]):
        ended = chaosrun(*words)
        assert ended.returncode == 2
        assert "zzz" in ended.stderr


def test_status_of_a_quiet_journal_is_0(chaosrun: Chaosrun) -> None:
    ended = chaosrun("status")
    assert ended.returncode == 0
    assert ended.stdout == "nothing is owed; no run is running\n"
    assert chaosrun.json("status") == {"halt": None, "left": False, "runs": []}


def test_a_living_run_is_no_alarm(chaosrun: Chaosrun) -> None:
    chaosrun.start("run", chaosrun.experiment(hold="60s"))
    chaosrun.wait_for_mark()
    ended = chaosrun("status")
    assert ended.returncode == 0
    assert "owed: make a mark (host.command)" in ended.stdout
    assert "(alive)" in ended.stdout
    recovered = chaosrun("recover", "last")
    assert "is being driven" in recovered.stderr
    assert chaosrun.marked


def test_what_a_killed_run_left_is_shown_and_recovered(chaosrun: Chaosrun) -> None:
    process = chaosrun.start("run", chaosrun.experiment(hold="60s"))
    chaosrun.wait_for_mark()
    process.kill()
    process.wait()
    status = chaosrun.json("status")
    assert status["left"] is True
    (owed,) = status["runs"][0]["owed"]
    assert owed["step"] == "make a mark"
    assert owed["way_back"] == f"rm -f {chaosrun.place}/mark"
    assert chaosrun("status").returncode == 7
    aborted = chaosrun("abort", "last", "--reason", "x")
    assert aborted.returncode == 3
    assert "hint: chaosrun recover" in aborted.stderr
    dry = chaosrun("recover", "--dry-run")
    assert dry.returncode == 7
    assert "would revert make a mark" in dry.stdout
    assert chaosrun.marked
    recovered = chaosrun("recover")
    assert recovered.returncode == 0
    assert "restored      make a mark" in recovered.stdout
    assert not chaosrun.marked
    assert chaosrun("status").returncode == 0
    assert chaosrun("recover").stdout == "nothing is left behind\n"


def test_what_cannot_be_read_keeps_nothing_else_from_being_put_back(chaosrun: Chaosrun) -> None:
    process = chaosrun.start("run", chaosrun.experiment(hold="60s"))
    chaosrun.wait_for_mark()
    process.kill()
    process.wait()
    (database,) = chaosrun.place.rglob("journal.db")
    with contextlib.closing(sqlite3.connect(database)) as beside:
        beside.execute("INSERT INTO events SELECT 'newer', sequence, type, at, '{}' FROM events")
        beside.execute(
            "INSERT INTO runs SELECT 'newer', name, started_at, 'gone', NULL, NULL FROM runs"
        )
        beside.commit()
    recovered = chaosrun("recover")
    assert not chaosrun.marked
    assert "1 run is recovered" in recovered.stdout
    assert "of run newer cannot be read" in recovered.stderr
    assert recovered.returncode == 6


def test_a_stranded_run_can_be_taken_up_when_its_way_is_free(chaosrun: Chaosrun) -> None:
    place = chaosrun.place
    file = chaosrun.experiment(revert=f"test -e {place}/free && rm -f {place}/mark")
    path = place / file
    path.write_text(path.read_text() + "  revertWithin: 300ms\n")
    assert chaosrun("run", file, "-q").returncode == 7
    assert chaosrun("recover").returncode == 7
    (place / "free").touch()
    assert chaosrun("recover", "last").returncode == 0
    assert not chaosrun.marked


def test_old_runs_are_pruned_and_a_yes_is_needed(chaosrun: Chaosrun, run: str) -> None:
    assert chaosrun("prune", "--older-than", "1d", "--yes").stdout == "0 runs deleted\n"
    refused = chaosrun("prune", "--older-than", "0s")
    assert refused.returncode == 2
    assert "--yes" in refused.stderr
    assert chaosrun("prune", "--older-than", "0s", "--yes").stdout == "1 run deleted\n"
    assert chaosrun("prune", "--older-than", "3").returncode == 2


def test_halt_needs_a_reason(chaosrun: Chaosrun) -> None:
    assert chaosrun("halt", "on").returncode == 2
    assert chaosrun("halt", "status").stdout == "halt is off\n"
    assert "off already" in chaosrun("halt", "off").stdout


def test_sweep_names_what_the_journal_knows_and_finds_nothing_else(chaosrun: Chaosrun) -> None:
    ended = chaosrun("sweep", "--provider", "http")
    assert ended.returncode == 2
    assert "host" in ended.stderr
    found = chaosrun.json("sweep")
    assert set(found) == {"marks", "failed"}


def test_a_fault_whose_journal_is_lost_is_found_and_reverted_by_its_mark(
    chaosrun: Chaosrun,
) -> None:
    name = f"target-{chaosrun.place.name}"
    target = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)", name])
    text = (chaosrun.place / chaosrun.experiment()).read_text()
    step = (
        "    - name: pause it\n      fault: host.process-pause\n"
        f"      target: {{command: {name}, pick: one}}\n      hold: 50s\n"
    )
    (chaosrun.place / "pause.yaml").write_text(text[: text.index("    - name: make a mark")] + step)
    try:
        runner = chaosrun.start("run", "pause.yaml", "--events", "events.jsonl")
        until(lambda: '"effect-seen"' in _read(chaosrun.place / "events.jsonl"))
        runner.kill()
        runner.wait()
        mark = f"chaosrun-{chaosrun.json('runs')[0]['run']}-0"
        known = chaosrun("sweep", "--mark", mark)
        assert known.returncode == 0
        assert "known (run " in known.stdout
        lost = f"sqlite:///{chaosrun.place}/lost.db"
        unknown = chaosrun("sweep", "--mark", mark, "--journal", lost)
        assert unknown.returncode == 7
        assert "unknown" in unknown.stdout
        words = ("sweep", "--mark", mark, "--journal", lost, "--revert")
        assert "--yes" in chaosrun(*words).stderr
        reverted = chaosrun(*words, "--yes")
        assert reverted.returncode == 0
        assert "reverted" in reverted.stdout
        assert chaosrun.json("sweep", "--mark", mark)["marks"] == []
        assert chaosrun("recover").returncode == 0
    finally:
        target.kill()
        target.wait()


def _read(path: Path) -> str:
    return path.read_text() if path.exists() else ""


def test_doctor_says_what_works(chaosrun: Chaosrun) -> None:
    found = {one["subject"]: one for one in chaosrun.json("doctor")}
    assert found["journal"]["state"] == "ok"
    assert found["halt"]["state"] == "ok"
    assert found["http"]["state"] == "ok"
    assert chaosrun("doctor").returncode == 0


def test_doctor_says_what_must_be_mended(chaosrun: Chaosrun) -> None:
    (chaosrun.place / "file").touch()
    ended = chaosrun("doctor", CHAOSRUN_STATE_DIR=str(chaosrun.place / "file"))
    assert ended.returncode == 1
    assert "fail  journal" in ended.stdout
    chaosrun("halt", "on", "--reason", "incident")
    assert "warn  halt" in chaosrun("doctor").stdout


def test_doctor_shows_no_password(chaosrun: Chaosrun) -> None:
    url = "postgresql://me:verysecret@127.0.0.1:1/journal"
    ended = chaosrun("doctor", CHAOSRUN_JOURNAL=url)
    assert ended.returncode == 1
    assert "verysecret" not in ended.stdout + ended.stderr


def test_the_journal_can_be_named_on_the_command_line(chaosrun: Chaosrun) -> None:
    url = f"sqlite:///{chaosrun.place}/other.db"
    assert chaosrun("run", chaosrun.experiment(), "-q", "--journal", url).returncode == 0
    assert chaosrun.json("runs") == []
    assert len(chaosrun.json("runs", "--journal", url)) == 1
