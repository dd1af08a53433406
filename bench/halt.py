"""How long a halt takes from one process to the first revert of another process' run.

The clock starts before the switch is turned (in the journal, or in a file that a policy names as
a halt source) and stops in the fault's own revert, which writes down when it ran.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.results import Aim, Figure
from chaosrun.journal import Halt, open_journal

RUNS = 10
MOST = 1.0
_PATIENCE = 30.0
_EXPERIMENT = """\
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {{name: halt}}
spec:
  title: Somebody turns the switch
  steadyState: [{{name: fine, probe: command, with: {{command: ["true"]}}, expect: code == 0}}]
  method:
    - name: harm
      fault: host.command
      with:
        inject: ["touch", "{place}/harm"]
        revert: "date +%s.%N > {place}/part && mv {place}/part {place}/reverted; rm -f {place}/harm"
        tookEffect: ["test", "-e", "{place}/harm"]
        restored: ["test", "!", "-e", "{place}/harm"]
      hold: 1m
"""
_POLICY = """\
apiVersion: chaosrun.dev/v1
kind: Policy
metadata: {{name: halt}}
spec: {{halt: {{sources: [{{file: {{path: {place}/switch}}}}]}}}}
"""


def times(turn: Callable[[Path], None]) -> list[float]:
    """Seconds from each turn of the switch to the revert, in runs one after the other."""
    found = []
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            found.append(_one(Path(folder), turn))
    return found


def _one(place: Path, turn: Callable[[Path], None]) -> float:
    (place / "experiment.yaml").write_text(_EXPERIMENT.format(place=place))
    (place / "policy.yaml").write_text(_POLICY.format(place=place))
    (place / "switch").write_text("off\n")
    run = subprocess.Popen(
        [sys.executable, "-m", "chaosrun", "run", "experiment.yaml", "--quiet", "--policy",
         "policy.yaml"],
        cwd=place, env={**os.environ, "CHAOSRUN_STATE_DIR": str(place)},
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        _wait(place / "harm")
        began = time.time()
        turn(place)
        _wait(place / "reverted")
        run.wait(_PATIENCE)
        return float((place / "reverted").read_text()) - began
    finally:
        run.kill()
        run.wait()


def _wait(path: Path) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not path.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"{path.name} did not appear")
        time.sleep(0.005)


def _in_journal(place: Path) -> None:
    journal = open_journal(f"sqlite:///{place}/journal.db")
    journal.set_halt(Halt(by="bench", reason="measuring", at=time.time()))
    journal.close()


def _in_file(place: Path) -> None:
    (place / "switch").write_text("on measuring\n")


def _figure(turn: Callable[[Path], None]) -> Figure:
    found = times(turn)
    text = f"{median(found) * 1e3:.0f} ms, at most {max(found) * 1e3:.0f} ms in {RUNS} runs"
    return Figure(text, max(found) <= MOST)


def journal() -> Figure:
    return _figure(_in_journal)


def file() -> Figure:
    return _figure(_in_file)


AIMS = (
    Aim("`halt on` to the first revert of another process' run", "at most 1 s", journal),
    Aim("the same by a halt source in a file, read every 200 ms", "at most 1 s", file),
)
