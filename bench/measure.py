"""Timing: processes in turns, and percentiles."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import msgspec

LONGEST = 120.0


class Pair(msgspec.Struct, frozen=True):
    """Ours against a peer's: the medians in seconds, and the median of the ratios of turns."""

    ours: float
    peer: float
    ratio: float

    def __str__(self) -> str:
        return f"{self.ratio:.2f} x ({self.ours * 1e3:.0f} ms against {self.peer * 1e3:.0f} ms)"


def seconds(command: Sequence[str | Path], *, cwd: Path, expect: int = 0) -> float:
    """The wall time of a whole process. Raises RuntimeError when it does not end as expected.

    Both find the module `world` in `cwd`, and both start from compiled code, as what is
    installed does.
    """
    environment = {**os.environ, "PYTHONPATH": str(cwd)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    began = time.perf_counter()
    done = subprocess.run(
        command, cwd=cwd, env=environment, check=False,
        capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    took = time.perf_counter() - began
    if done.returncode != expect:
        raise RuntimeError(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return took


def in_turns(
    ours: Sequence[str | Path], peer: Sequence[str | Path], *, cwd: Path, turns: int = 15
) -> Pair:
    """Time two commands in turns, after one of each that does not count."""
    seconds(ours, cwd=cwd), seconds(peer, cwd=cwd)
    mine, theirs = [], []
    for turn in range(turns):
        if turn % 2:  # who goes second finds a warmer machine: take it in turns too
            theirs.append(seconds(peer, cwd=cwd))
            mine.append(seconds(ours, cwd=cwd))
        else:
            mine.append(seconds(ours, cwd=cwd))
            theirs.append(seconds(peer, cwd=cwd))
    ratios = [a / b for a, b in zip(mine, theirs, strict=True)]
    return Pair(median(mine), median(theirs), median(ratios))


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` of them lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
