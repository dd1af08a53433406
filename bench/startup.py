"""Whole processes: the version, validating a file, a trivial run. The peer is Chaos Toolkit.

The trivial run asks one Python function whether all is well and lets another do the harm. Ours
gates, samples, leases durably, injects, looks for the effect, reverts, proves the restoration
and samples again; the peer's probes, acts, rolls back and probes.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench import peers
from bench.measure import Pair, in_turns
from bench.results import Aim, Figure

CHAOSRUN = Path(sys.executable).parent / "chaosrun"

WORLD = """
from pathlib import Path

def well() -> bool:
    return True

def harm() -> str:
    Path("harmed").touch()
    return "harmed"

def seen() -> bool:
    return Path("harmed").exists()

def undo() -> None:
    Path("harmed").unlink(missing_ok=True)

def unharmed() -> bool:
    return not seen()
"""

OURS = """
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {name: trivial}
spec:
  title: All stays well
  steadyState:
    - {name: all is well, probe: python, with: {function: "world:well"}, expect: value == true}
  method:
    - name: harm
      fault: python
      with:
        inject: "world:harm"
        revert: "world:undo"
        tookEffect: "world:seen"
        restored: "world:unharmed"
"""

THEIRS = """
title: All stays well
description: trivial
steady-state-hypothesis:
  title: all is well
  probes:
    - type: probe
      name: all is well
      tolerance: true
      provider: {type: python, module: world, func: well}
method:
  - type: action
    name: harm
    provider: {type: python, module: world, func: harm}
rollbacks:
  - type: action
    name: undo
    provider: {type: python, module: world, func: undo}
"""


@contextmanager
def world() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "world.py").write_text(WORLD)
        (directory / "ours.yaml").write_text(OURS)
        (directory / "theirs.yaml").write_text(THEIRS)
        yield directory


def _figure(pair: Pair, most: float) -> Figure:
    return Figure(str(pair), pair.ratio <= most)


def version() -> Figure:
    with world() as cwd:
        pair = in_turns([CHAOSRUN, "--version"], [peers.chaos_toolkit(), "--version"], cwd=cwd)
    return _figure(pair, 0.6)


def validate() -> Figure:
    with world() as cwd:
        pair = in_turns(
            [CHAOSRUN, "validate", "ours.yaml"],
            [peers.chaos_toolkit(), "validate", "theirs.yaml"],
            cwd=cwd,
        )
    return _figure(pair, 1.0)


def run() -> Figure:
    with world() as cwd:
        pair = in_turns(
            [CHAOSRUN, "run", "--journal", f"sqlite:///{cwd}/journal.db", "ours.yaml"],
            [peers.chaos_toolkit(), "run", "--rollback-strategy", "always", "theirs.yaml"],
            cwd=cwd,
        )
    return _figure(pair, 1.0)


AIMS = (
    Aim("`--version`, all our providers installed", "at most 0.6 x Chaos Toolkit's core", version),
    Aim("`validate`", "at most 1.0 x Chaos Toolkit", validate),
    Aim("a trivial `run`, ours durable", "at most 1.0 x Chaos Toolkit", run),
)
