"""`chaosrun run suite.yaml`: several questions in order, one report, the loudest verdict."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from xml.etree import ElementTree

import pytest

from chaosrun.events import Verdict
from chaosrun.suite import Entry, SuiteSpec, may_start
from tests.cli.conftest import Chaosrun

SUITE = """
apiVersion: chaosrun.dev/v1
kind: Suite
metadata: {{name: marks}}
spec:
  title: Marks, in order
  {more}
  experiments:
    - {{name: first, experiment: first.yaml}}
    - {{name: second, experiment: second.yaml}}
    - {{name: third, experiment: third.yaml}}
"""
BROKEN = '["test", "-e", "/never"]'


@pytest.fixture
def suite(chaosrun: Chaosrun) -> Chaosrun:
    for name in ("first", "second", "third"):
        chaosrun.experiment(f"{name}.yaml")
    write(chaosrun)
    return chaosrun


def write(chaosrun: Chaosrun, more: str = "owner: team@shop.example") -> None:
    (chaosrun.place / "suite.yaml").write_text(SUITE.format(more=more))


def test_experiments_run_in_order_and_the_reports_hold_all_of_them(suite: Chaosrun) -> None:
    files = ("--junit", "j.xml", "--markdown", "m.md", "--html", "h.html")
    done = suite("run", "suite.yaml", "--seed", "7", *files)
    assert done.returncode == 0, done.stderr
    assert "passed  suite Marks, in order" in done.stdout
    assert "the steady state held in all 3 experiments" in done.stdout
    junit = ElementTree.parse(suite.place / "j.xml").getroot()
    assert [each.get("name") for each in junit] == ["first", "second", "third"]
    assert junit.get("failures") == junit.get("errors") == "0"
    assert int(junit.get("tests", "0")) == sum(int(each.get("tests", "0")) for each in junit)
    assert (suite.place / "m.md").read_text().startswith("# ✅ passed: Marks, in order")
    page = (suite.place / "h.html").read_text()
    assert page.count('<h2 id="part-') == 3
    assert "<script" not in page
    runs = suite.json("runs")
    starts = [run["started_at"] for run in sorted(runs, key=lambda run: run["run"])]
    assert starts == sorted(starts)


def test_a_finding_stops_the_rest_and_is_the_verdict_of_the_whole(suite: Chaosrun) -> None:
    suite.experiment("second.yaml", took_effect=BROKEN)
    result = suite("run", "suite.yaml", "--output", "json", "--junit", "j.xml")
    told = json.loads(result.stdout)
    assert result.returncode == told["exitCode"] == 5
    assert told["verdict"] == "inconclusive"
    assert told["reason"].startswith("second: ")
    assert [part["verdict"] for part in told["parts"]] == ["passed", "inconclusive", None]
    assert told["parts"][2]["reason"] == "not started: second ended inconclusive"
    junit = ElementTree.parse(suite.place / "j.xml").getroot()
    assert junit[2].get("skipped") == "1"


def test_unless_the_suite_wants_all_of_them(suite: Chaosrun) -> None:
    suite.experiment("second.yaml", took_effect=BROKEN)
    write(suite, "stopOnFinding: false")
    done = suite("run", "suite.yaml", "--quiet")
    assert done.returncode == 5
    assert done.stdout.startswith("inconclusive  ")
    assert len(suite.json("runs")) == 3


def test_a_signal_stops_what_runs_and_starts_nothing_more(suite: Chaosrun) -> None:
    suite.experiment("first.yaml", hold="10m")
    process = suite.start("run", "suite.yaml")
    suite.wait_for_mark()
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 143
    assert not suite.marked
    assert [run["verdict"] for run in suite.json("runs")] == ["cancelled"]


def test_validate_and_plan_know_suites(suite: Chaosrun) -> None:
    assert "suite.yaml: valid: marks" in suite("validate", "suite.yaml").stdout
    done = suite("plan", "suite.yaml", "--seed", "1")
    assert done.returncode == 0, done.stderr
    assert all(f"{number}. {name}" in done.stdout
               for number, name in enumerate(("first", "second", "third"), 1))  # fmt: skip
    assert done.stdout.count("It could run now.") == 3
    assert not suite.marked
    assert suite("plan", "suite.yaml", "--out", "plan.json").returncode == 2
    (suite.place / "third.yaml").unlink()
    done = suite("validate", "suite.yaml")
    assert done.returncode == 2
    assert "third.yaml: no such file" in done.stdout


def entries(**waits: list[str] | None) -> SuiteSpec:
    return SuiteSpec(
        title="t",
        concurrency=2,
        experiments=tuple(
            Entry(name=name, experiment="x", after=None if after is None else tuple(after))
            for name, after in waits.items()
        ),
    )


def test_what_may_start_follows_from_the_graph() -> None:
    spec = entries(a=None, b=None, c=[], d=["a", "c"])
    passed, nothing = Verdict.PASSED, frozenset[str]()
    assert may_start(spec, nothing, {}, nothing) == ("a", "c")
    assert may_start(spec, {"a", "c"}, {}, nothing) == ()
    assert may_start(spec, {"c"}, {"a": passed}, nothing) == ("b",)
    assert may_start(spec, {"b"}, {"a": passed, "c": passed}, nothing) == ("d",)
    assert may_start(spec, nothing, {"a": Verdict.DEVIATED}, nothing) == ()
    assert may_start(spec, {"b"}, {"a": passed}, {"c"}) == ("d",)


def test_paths_are_those_beside_the_suite(suite: Chaosrun, tmp_path: Path) -> None:
    inner = suite.place / "deep"
    inner.mkdir()
    for file in ("suite.yaml", "first.yaml", "second.yaml", "third.yaml"):
        (suite.place / file).rename(inner / file)
    assert suite("run", "deep/suite.yaml", "--quiet").returncode == 0
