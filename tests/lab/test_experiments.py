"""Each experiment of the lab comes to the verdict that it declares, through the real CLI."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from chaosrun.errors import Rejected
from chaosrun.events import Verdict
from chaosrun.lab import control, web
from chaosrun.lab.experiments import LabExperiment, lab_experiments, write_experiments
from chaosrun.units import JSON, Duration
from chaosrun.verdicts import exit_code
from tests.lab.ports import free_first_port

EXPERIMENTS = lab_experiments()
KILLED = "7-killed-and-recovered.yaml"
UNATTENDED = [one for one in EXPERIMENTS if one.file != KILLED]
_TRIES = 3
_NOTICED = ("deviated", "refused", "inconclusive")
Outcomes = dict[str, "Future[tuple[int, dict[str, JSON], str]]"]


class Sandbox:
    """A lab of its own, its experiments, and its journal."""

    def __init__(self, directory: Path) -> None:
        self._lab = directory / "lab"
        up = control.up(self._lab, first_port=free_first_port(), lasts=Duration(600))
        assert up.world is not None
        self.world = up.world
        self._environment = {**os.environ, "CHAOSRUN_JOURNAL": f"sqlite:///{directory}/journal.db"}
        write_experiments(directory, first_port=self.world.first_port)
        self.files = {path.name: str(path) for path in directory.glob("*.yaml")}

    def chaosrun(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "chaosrun", *words],
            capture_output=True, text=True, timeout=180, env=self._environment,
        )  # fmt: skip

    def kill_when_seen(self, event: str, file: str) -> None:
        """Run an experiment, and kill it with -9 when it tells of that event."""
        words = [sys.executable, "-m", "chaosrun", "run", self.files[file], "--events", "-"]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=self._environment
        ) as runner:
            assert runner.stdout is not None
            written = b""
            while f'"type":"{event}"'.encode() not in written:
                assert select.select([runner.stdout], [], [], 30)[0], written
                part = os.read(runner.stdout.fileno(), 65536)
                assert part, written
                written += part
            runner.send_signal(signal.SIGKILL)

    def down(self) -> None:
        control.down(self._lab)


def _run(experiment: LabExperiment, directory: Path) -> tuple[int, dict[str, JSON], str]:
    """Run it in a lab of its own: the exit code, the result, and the status afterwards.

    Where a machine that stood still was noticed, it is asked again in another lab, at most twice.
    What a fault does it does each time.
    """
    for number in range(_TRIES):
        ended = _run_once(experiment, directory / str(number))
        if ended[1]["verdict"] == experiment.verdict or ended[1]["verdict"] not in _NOTICED:
            break
    return ended


def _run_once(experiment: LabExperiment, directory: Path) -> tuple[int, dict[str, JSON], str]:
    directory.mkdir()
    sandbox = Sandbox(directory)
    try:
        done = sandbox.chaosrun("run", sandbox.files[experiment.file], "--output", "json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout), sandbox.chaosrun("status").stdout
    finally:
        sandbox.down()


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outcomes]:
    """What came of each, a few at a time: most of an experiment is waiting."""
    with ThreadPoolExecutor(3) as pool:
        yield {
            one.file: pool.submit(_run, one, tmp_path_factory.mktemp("sandbox"))
            for one in UNATTENDED
        }


@pytest.fixture
def sandbox(directory: Path) -> Iterator[Sandbox]:
    directory.mkdir()
    sandbox = Sandbox(directory)
    yield sandbox
    sandbox.down()


@pytest.mark.parametrize("experiment", UNATTENDED, ids=lambda one: one.file)
def test_it_comes_to_the_verdict_that_it_declares(
    outcomes: Outcomes, experiment: LabExperiment
) -> None:
    code, result, status = outcomes[experiment.file].result()
    assert result["verdict"] == experiment.verdict, result["reason"]
    assert code == exit_code(Verdict(experiment.verdict))
    assert "nothing is owed" in status


def test_the_killed_one_is_recovered(sandbox: Sandbox) -> None:
    sandbox.kill_when_seen("effect-seen", KILLED)
    status = sandbox.chaosrun("status")
    assert status.returncode == 7
    assert "owed: pause the backend" in status.stdout
    assert sandbox.chaosrun("recover").returncode == 0
    report = json.loads(sandbox.chaosrun("report", "last", "--format", "json").stdout)
    assert report["verdict"] == next(one for one in EXPERIMENTS if one.file == KILLED).verdict
    assert web.call(sandbox.world.port("backend"), "/health", timeout=20)[0] == 200


def test_the_gate_opens_as_its_hint_says(sandbox: Sandbox) -> None:
    file = next(path for name, path in sandbox.files.items() if "change-window" in name)
    assert "curl -X PUT" in sandbox.chaosrun("run", file).stdout
    web.call(sandbox.world.port("front"), "/change-window", timeout=20, method="PUT")
    assert sandbox.chaosrun("run", file, "--quiet").returncode == 0


def test_every_one_is_valid_and_says_what_it_teaches() -> None:
    verdicts = {one.verdict for one in EXPERIMENTS}
    assert verdicts >= {"passed", "deviated", "aborted", "refused", "inconclusive", "cancelled"}
    for one in EXPERIMENTS:
        assert one.asks.endswith("?")
    files = [str(path) for path in sorted(Path("experiments/lab").glob("*.yaml"))]
    assert len(files) == len(EXPERIMENTS)
    words = [sys.executable, "-m", "chaosrun", "validate", *files]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout


def test_copies_are_for_the_labs_ports_and_never_overwrite_changes(tmp_path: Path) -> None:
    written = write_experiments(tmp_path / "new", first_port=9900)
    assert [path.name for path in written] == [one.file for one in EXPERIMENTS]
    assert all('default: "990"' in path.read_text() for path in written)
    assert write_experiments(tmp_path / "new", first_port=9900) == written
    written[2].write_text("changed")
    with pytest.raises(Rejected, match="was changed"):
        write_experiments(tmp_path / "new", first_port=9900)
