"""Before a run: validate, plan, permissions, init, and what there is to ask with."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from chaosrun import discovery
from chaosrun.cli import main
from tests.cli.conftest import Chaosrun

FAULTS, PROBES, GATES = (discovery.names(table) for table in ("faults", "probes", "gates"))


def test_validate_says_all_that_is_wrong_in_all_files(chaosrun: Chaosrun) -> None:
    good = chaosrun.experiment()
    text = (chaosrun.place / good).read_text()
    (chaosrun.place / "bad.yaml").write_text(text.replace("hold:", "holt:").replace("spec", "spek"))
    (chaosrun.place / "worse.yaml").write_text("a: [")
    ended = chaosrun("validate", good, "bad.yaml", "worse.yaml", "missing.yaml")
    assert ended.returncode == 2
    assert f"{good}: valid: mark-appears" in ended.stdout
    for file in ("bad.yaml:", "worse.yaml:", "missing.yaml:"):
        assert file in ended.stdout
    assert "nothing was touched" in ended.stdout
    assert "Traceback" not in ended.stderr


def test_validate_speaks_to_programs_and_to_github(chaosrun: Chaosrun) -> None:
    file = chaosrun.experiment()
    path = chaosrun.place / file
    assert chaosrun.json("validate", file) == {"valid": True, "files": [file], "problems": []}
    path.write_text(path.read_text().replace("hold:", "holt:"))
    said = chaosrun.json("validate", file)
    assert said["valid"] is False
    assert said["problems"][0]["suggestion"] == "did you mean `hold`?"
    line = chaosrun("validate", file, "--output", "github").stdout
    assert line.startswith(f"::error file={file},line=")


def test_validate_reads_standard_input_and_directories(chaosrun: Chaosrun) -> None:
    text = (chaosrun.place / chaosrun.experiment()).read_text()
    assert chaosrun("validate", "-", stdin=text).stdout == "-: valid: mark-appears\n"
    wrong = chaosrun("validate", "-", stdin="a: 1")
    assert wrong.returncode == 2
    assert wrong.stdout.startswith("-:")
    assert chaosrun("validate", ".").returncode == 0
    assert chaosrun("validate").returncode == 2


def test_plan_shows_what_would_be_touched_and_touches_nothing(chaosrun: Chaosrun) -> None:
    ended = chaosrun("plan", chaosrun.experiment(hold="2s"), "--seed", "7")
    assert ended.returncode == 0
    for said in ("seed 7", "1 of 1 (100%)", f"rm -f {chaosrun.place}/mark", "held for 2s",
                 "the halt switch is off", "door is shut", "It could run now."):  # fmt: skip
        assert said in ended.stdout
    assert not chaosrun.marked
    assert chaosrun("export", "--all").stdout == ""


def test_a_plan_that_would_be_refused_exits_3_and_says_why(chaosrun: Chaosrun) -> None:
    chaosrun("halt", "on", "--reason", "incident 4711")
    (chaosrun.place / "open").touch()
    file = chaosrun.experiment()
    path = chaosrun.place / file
    path.write_text(path.read_text() + "  limits: {share: 10%}\n")
    ended = chaosrun("plan", file)
    assert ended.returncode == 3
    reasons = ended.stdout.partition("It would be refused now:")[2]
    assert "incident 4711" in reasons
    assert "door is shut" in reasons
    assert "limit share of step make a mark" in reasons
    said = chaosrun.json("plan", file)
    assert said["could_run"] is False
    assert len(said["reasons"]) == 3


def test_a_target_that_another_run_holds_is_seen_by_a_plan(chaosrun: Chaosrun) -> None:
    file = chaosrun.experiment(hold="60s")
    chaosrun.start("run", file)
    chaosrun.wait_for_mark()
    assert chaosrun("plan", file).returncode == 3


def test_a_gate_that_hangs_is_closed_and_the_plan_goes_on(chaosrun: Chaosrun) -> None:
    gates = '  gates:\n    - command: {command: "sleep 60", timeout: 300ms}\n'
    ended = chaosrun("plan", chaosrun.experiment(gates=gates))
    assert ended.returncode == 3
    assert "did not end within 0.3s" in ended.stdout or "no answer" in ended.stdout


def test_a_saved_plan_runs_as_it_was_seen(chaosrun: Chaosrun) -> None:
    file = chaosrun.experiment()
    assert chaosrun("plan", file, "--seed", "7", "--out", "plan.json").returncode == 0
    assert chaosrun("run", "plan.json", "-q").returncode == 0
    result = json.loads(chaosrun("report", "last", "--format", "json").stdout)
    assert result["seed"] == 7


def test_a_plan_that_would_be_done_by_another_mechanism_is_refused(chaosrun: Chaosrun) -> None:
    from msgspec.structs import replace

    from chaosrun.cli import saved

    place = chaosrun.place / "plan.json"
    assert chaosrun("plan", chaosrun.experiment(), "--out", "plan.json").returncode == 0
    plan = saved.load(str(place))
    assert plan is not None
    ((step, hold),) = plan.holds.items()
    saved.save(replace(plan, holds={step: replace(hold, mechanism="magic")}), place)
    ended = chaosrun("run", "plan.json", "-q")
    assert ended.returncode == 3
    assert "not by magic" in " ".join(ended.stdout.split())


def test_a_plan_whose_targets_are_not_as_they_were_seen_is_refused(chaosrun: Chaosrun) -> None:
    name = f"target-{chaosrun.place.name}"
    command = [sys.executable, "-c", "import time; time.sleep(60)", name]
    target = subprocess.Popen(command)
    text = (chaosrun.place / chaosrun.experiment()).read_text()
    step = text[text.index("    - name: make a mark") :]
    pause = (
        "    - name: pause it\n      fault: host.process-pause\n"
        f"      target: {{command: {name}, pick: one}}\n      hold: 100ms\n"
    )
    (chaosrun.place / "pause.yaml").write_text(text.replace(step, pause))
    try:
        assert chaosrun("plan", "pause.yaml", "--out", "plan.json").returncode == 0
        target.kill()
        target.wait()
        target = subprocess.Popen(command)
        ended = chaosrun("run", "plan.json", "-q")
        assert ended.returncode == 3
        assert "not as it was planned" in ended.stdout
    finally:
        target.kill()
        target.wait()


def test_a_plan_that_was_edited_is_rejected(chaosrun: Chaosrun) -> None:
    chaosrun("plan", chaosrun.experiment(), "--out", "plan.json")
    path = chaosrun.place / "plan.json"
    path.write_text(path.read_text().replace("rm -f", "rm -rf"))
    ended = chaosrun("run", "plan.json")
    assert ended.returncode == 2
    assert "was changed after it was planned" in ended.stderr
    assert chaosrun("run", "plan.json", "--seed", "1").returncode == 2


def test_permissions_are_listed_by_system_with_the_steps_that_need_them(
    chaosrun: Chaosrun,
) -> None:
    ended = chaosrun("permissions", chaosrun.experiment())
    assert ended.returncode == 0
    assert isinstance(chaosrun.json("permissions", "experiment.yaml"), list)


@pytest.mark.parametrize("probe", PROBES)
@pytest.mark.parametrize("fault", FAULTS)
def test_init_writes_a_valid_experiment_for_any_fault_and_probe(
    chaosrun: Chaosrun, fault: str, probe: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = str(chaosrun.place / "new.yaml")
    words = ["init", file, "--fault", fault, "--probe", probe, "--owner", "me", "--no-input"]
    assert main(words) == 0
    assert main(["validate", file]) == 0
    assert capsys.readouterr().err == ""


def test_init_never_overwrites(chaosrun: Chaosrun) -> None:
    assert chaosrun("init", "--no-input").returncode == 0
    before = (chaosrun.place / "experiment.yaml").read_text()
    ended = chaosrun("init", "--title", "Other")
    assert ended.returncode == 2
    assert "--force" in ended.stderr
    assert (chaosrun.place / "experiment.yaml").read_text() == before
    assert chaosrun("init", "--title", "Other: é", "--force").returncode == 0
    assert "Other: é" in (chaosrun.place / "experiment.yaml").read_text()


def test_init_rejects_names_that_there_are_not(chaosrun: Chaosrun) -> None:
    assert chaosrun("init", "--fault", "host.nothing").returncode == 2
    assert not (chaosrun.place / "experiment.yaml").exists()


@pytest.mark.parametrize(("kind", "names"), [
    ("faults", FAULTS), ("probes", PROBES), ("gates", GATES),
])  # fmt: skip
def test_lists_hold_every_name_with_a_summary(
    kind: str, names: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([kind, "--output", "json"]) == 0
    found = {one["name"]: one["summary"] for one in json.loads(capsys.readouterr().out)}
    assert tuple(found) == names
    assert all(found.values())
    assert main([kind]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in names)


@pytest.mark.parametrize("name", sorted({*FAULTS, *PROBES, *GATES}))
def test_everything_can_be_described(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["describe", name]) == 0
    said = capsys.readouterr().out
    assert name in said
    assert "Example" in said
    assert main(["describe", name, "--output", "json"]) == 0
    found = json.loads(capsys.readouterr().out)
    for one in found if isinstance(found, list) else [found]:
        assert one["summary"]
        undescribed = [a["name"] for a in one.get("arguments", []) if not a.get("description")]
        assert not undescribed, f"{name} has arguments that nobody explains"


def test_a_fault_is_described_with_its_arguments_and_its_end(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["describe", "host.tcp-proxy"]) == 0
    said = capsys.readouterr().out
    assert "latency" in said
    assert "duration" in said
    assert "How it ends" in said
    assert "fault: host.tcp-proxy" in said


def test_a_name_that_is_not_known_is_guessed(chaosrun: Chaosrun) -> None:
    ended = chaosrun("describe", "host.tcp-prox")
    assert ended.returncode == 2
    assert "`host.tcp-proxy`" in ended.stderr
    assert chaosrun("describe", "http", "--kind", "fault").returncode == 2


def test_the_lab_is_started_looked_at_and_ended(chaosrun: Chaosrun) -> None:
    from tests.lab.ports import free_first_port

    assert chaosrun("lab", "status").returncode == 1
    listed = chaosrun("lab", "experiments").stdout
    assert "deviated" in listed
    try:
        for _ in range(3):  # another test may take a port that was free a moment ago
            up = chaosrun("lab", "up", "--base-port", str(free_first_port()), "--for", "1m")
            if up.returncode == 0:
                break
        assert up.returncode == 0, up.stderr
        assert chaosrun.json("lab", "status")["up"] is True
        chaosrun("lab", "experiments", "--write", "lab")
        assert chaosrun("validate", "lab").returncode == 0
        first = sorted((chaosrun.place / "lab").glob("1*"))[0]
        ended = chaosrun("run", str(first), "-q")
        assert ended.returncode in (0, 1), ended.stdout + ended.stderr  # 1: a busy machine is slow
    finally:
        down = chaosrun("lab", "down")
    assert "the lab is down" in down.stdout
