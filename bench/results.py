"""What was measured: rows, where they are kept, and the table that the README shows.

Law: a row says what was aimed at, what was measured and against whom; a row that this
machine could not measure says why.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path

import msgspec

FILE = Path(__file__).parent / "results.json"


class Figure(msgspec.Struct, frozen=True):
    """What was measured, in words, and whether it meets the aim."""

    measured: str
    met: bool


class Aim(msgspec.Struct, frozen=True):
    """One line of the table: the work, the aim in words, and how it is measured.

    `measure` may raise Absent when this machine cannot have what it takes.
    """

    work: str
    aim: str
    measure: Callable[[], Figure]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One aim and its figure. `met` is None when it was not measured; `measured` then says why."""

    work: str
    aim: str
    measured: str
    met: bool | None = None
    machine: str = ""


def machine() -> str:
    """The machine in words that mean something to others."""
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {platform.system()} {platform.machine()}, "
        f"{platform.python_implementation()} {platform.python_version()}"
    )


def load() -> list[Row]:
    """The rows of the last measurement, in the order of the aims."""
    return msgspec.convert(json.loads(FILE.read_text()), list[Row]) if FILE.exists() else []


def save(rows: list[Row], order: list[str]) -> None:
    """Keep these rows; others that were measured before stay as they are."""
    kept = {row.work: row for row in [*load(), *rows] if row.work in order}
    plain = [msgspec.to_builtins(kept[work]) for work in order if work in kept]
    FILE.write_text(json.dumps(plain, indent=2, ensure_ascii=False) + "\n")


def markdown() -> str:
    """The table of the README."""
    rows = load()
    lines = ["| work | aim | measured | |", "|---|---|---|---|"]
    for row in rows:
        mark = {True: "met", False: "**missed**", None: "not measured"}[row.met]
        lines.append(f"| {row.work} | {row.aim} | {row.measured} | {mark} |")
    machines = sorted({row.machine for row in rows if row.machine})
    return "\n".join([*lines, "", f"Measured on {'; '.join(machines)}."])
