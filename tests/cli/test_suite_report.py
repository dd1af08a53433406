"""`chaosrun report SUITE`: the one report of a suite, from the journal, in another process."""

from __future__ import annotations

import json
import signal
from typing import Any

import pytest

from tests.cli.conftest import Chaosrun

SUITE = """
apiVersion: chaosrun.dev/v1
kind: Suite
metadata: {{name: marks}}
spec:
  title: Marks, in order
  owner: team@shop.example
  stopOnFinding: {stop}
  experiments:
    - {{name: first, experiment: first.yaml}}
    - {{name: second, experiment: second.yaml}}
    - {{name: third, experiment: third.yaml}}
"""
BROKEN = '["test", "-e", "/never"]'
FORMATS = ("text", "json", "junit", "markdown", "html")


@pytest.fixture
def suite(chaosrun: Chaosrun) -> Chaosrun:
    for name in ("first", "second", "third"):
        chaosrun.experiment(f"{name}.yaml")
    write(chaosrun)
    return chaosrun


def write(chaosrun: Chaosrun, *, stop: bool = True) -> None:
    text = SUITE.format(stop="true" if stop else "false")
    (chaosrun.place / "suite.yaml").write_text(text)


def suite_id(chaosrun: Chaosrun) -> str:
    ids = {run["suite"] for run in chaosrun.json("runs")}
    assert len(ids) == 1
    return str(ids.pop())


def report(chaosrun: Chaosrun, name: str) -> Any:
    done = chaosrun("report", name, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_report_is_the_one_that_the_run_wrote(suite: Chaosrun) -> None:
    suite.experiment("second.yaml", took_effect=BROKEN)
    written = [
        word for kind in ("junit", "markdown", "html") for word in (f"--{kind}", f"{kind}.1")
    ]
    ran = suite("run", "suite.yaml", "--output", "json", *written)
    assert ran.returncode == 5
    (suite.place / "json.1").write_text(ran.stdout)
    found = suite_id(suite)
    for kind in FORMATS:
        told = suite("report", found, "--format", kind)
        assert told.returncode == 0, told.stderr
        if kind == "text":
            assert "inconclusive  suite Marks, in order" in told.stdout
            assert "third   not started   not started: second ended inconclusive" in told.stdout
        else:
            assert told.stdout == (suite.place / f"{kind}.1").read_text()
        saved = suite("report", found, "--format", kind, "--out", "saved")
        assert saved.returncode == 0, saved.stderr
        assert (suite.place / "saved").read_text() == told.stdout


def test_a_suite_is_found_by_its_beginning_and_as_the_last(suite: Chaosrun) -> None:
    assert suite("run", "suite.yaml", "--quiet").returncode == 0
    found = suite_id(suite)
    for name in (found, found[:-3], "last"):
        told = report(suite, name)
        assert (told["suite"], told["verdict"], told["exitCode"]) == (found, "passed", 0)
        assert [part["verdict"] for part in told["parts"]] == ["passed"] * 3
    assert report(suite, f"{found}-02")["run"] == f"{found}-02"
    done = suite("report", f"{found}-")
    assert done.returncode == 2
    assert f"{found}-01" in done.stderr
    suite("run", "first.yaml", "--quiet")
    assert report(suite, "last")["suite"] == ""


def test_runs_and_show_name_the_suite(suite: Chaosrun) -> None:
    suite("run", "first.yaml", "--quiet")
    assert "SUITE" not in suite("runs").stdout
    assert suite.json("runs")[0]["suite"] == ""
    suite("run", "suite.yaml", "--quiet")
    header, newest, *_, single = suite("runs").stdout.splitlines()
    assert header.split()[-1] == "SUITE"
    assert newest.endswith("marks: third")
    assert single.rstrip().endswith("mark-appears")
    found = suite.json("runs")[0]["suite"]
    assert f"marks: third (`chaosrun report {found}` tells of all)" in suite("show", "last").stdout
    assert "suite" not in suite("show", single.split()[0]).stdout


def test_a_suite_that_a_signal_stopped_says_so(suite: Chaosrun) -> None:
    suite.experiment("first.yaml", hold="10m")
    process = suite.start("run", "suite.yaml", "--junit", "j.xml")
    suite.wait_for_mark()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    told = report(suite, "last")
    assert (told["verdict"], told["exitCode"]) == ("cancelled", 143)
    assert [part["reason"] for part in told["parts"][1:]] == [
        "not started: SIGTERM was received"
    ] * 2
    assert suite("report", "last", "-f", "junit").stdout == (suite.place / "j.xml").read_text()


@pytest.mark.parametrize("stop", [True, False])
def test_a_suite_whose_driver_was_killed_has_no_verdict_until_it_is_recovered(
    suite: Chaosrun, stop: bool
) -> None:
    write(suite, stop=stop)
    suite.experiment("first.yaml", hold="10m")
    process = suite.start("run", "suite.yaml")
    suite.wait_for_mark()
    told = report(suite, "last")
    assert told["verdict"] is None
    assert told["parts"][1]["reason"] == "not started yet: it waits for first"
    process.kill()
    process.wait()
    told = report(suite, "last")
    assert told["verdict"] is told["exitCode"] is None
    assert told["reason"].startswith("first: its driver is gone: `chaosrun recover`")
    gone = "not started: the process that ran the suite ended"
    assert [part["reason"] for part in told["parts"][1:]] == [gone] * 2
    for kind in FORMATS:
        done = suite("report", "last", "--format", kind)
        assert done.returncode == 0, done.stderr
        assert "None" not in done.stdout.replace('"None"', "")
    assert "unfinished  suite Marks, in order" in suite("report", "last").stdout
    assert suite("recover").returncode == 0
    assert not suite.marked
    told = report(suite, "last")
    assert (told["verdict"], told["exitCode"]) == ("cancelled", 130)
    assert [part["reason"] for part in told["parts"][1:]] == [f"{gone} during first"] * 2
