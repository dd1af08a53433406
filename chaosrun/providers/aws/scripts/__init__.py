"""Shell scripts that hosts are given: each holds its fault until its own deadline (law L3)."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path

STARTING = "start"


@cache
def _hold() -> str:
    return (Path(__file__).parent / "hold.sh").read_text()


def starting(mark: str, deadline: float, run: str, undo: str, seen: str) -> str:
    """A script that starts `run`, and undoes it by `undo` at the deadline, in whole seconds.

    `seen` succeeds while the fault can be seen. Each is a script of its own; `undo` and `seen` know
    as RUN_PID whose process group `run` is.
    """
    parts = [_quoted(f"write_{name}", text, mark)
             for name, text in (("run", run), ("undo", undo), ("seen", seen))]  # fmt: skip
    return "\n".join([
        f"MARK={mark} DEADLINE={math.ceil(deadline)}",
        *parts,
        # The keeper runs the same text, so it is kept in a file of its own for a moment.
        "self=$(mktemp) && trap 'rm -f \"$self\"' EXIT || exit 1",
        f"cat >\"$self\" <<'CHAOSRUN_{mark}'\n{_hold()}CHAOSRUN_{mark}",
        '. "$self"',
        STARTING,
    ])  # fmt: skip


def looking(mark: str) -> str:
    """A script that tells how it is there."""
    return f"MARK={mark} DEADLINE=0\n{_hold()}\nlook\n"


def stopping(mark: str, undo: str) -> str:
    """A script that ends it, and fails while it is not undone; `undo` is for what a reboot took."""
    return f"MARK={mark} DEADLINE=0\n{_quoted('write_undo', undo, mark)}\n{_hold()}\nstop\n"


def _quoted(name: str, text: str, mark: str) -> str:
    return f"{name}() {{\ncat <<'CHAOSRUN_{mark}'\n{text.rstrip()}\nCHAOSRUN_{mark}\n}}"
