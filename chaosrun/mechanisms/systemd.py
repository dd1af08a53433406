"""A second switch where systemd runs: a transient timer that ends the harm at its deadline.

Law (L3): it stands beside the process that holds the harm, so that one may be killed. Where
systemd does not run there is none, and nothing is said to be.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from chaosrun.mechanisms.directory import VARIABLE, runtime_directory
from chaosrun.mechanisms.harm import Order

RUNS = Path("/run/systemd/system")
_LATER = 1.0
"""How many seconds after the deadline, so that the one that holds the harm is first."""
_WITHIN = 5.0


def unit(mark: str) -> str:
    """The timer of that mark; empty where systemd does not run."""
    if not (RUNS.is_dir() and os.geteuid() == 0 and shutil.which("systemd-run")):
        return ""
    return f"chaosrun-{hashlib.sha256(mark.encode()).hexdigest()[:16]}"


def arm(order: Order) -> str:
    """Start the timer; its unit, or empty when there is none. Never raises: it is the second."""
    name = unit(order.mark)
    if not name:
        return ""
    seconds = max(0.0, order.deadline - time.time()) + _LATER
    words = [
        "systemd-run", "--quiet", "--collect", f"--unit={name}", f"--on-active={seconds:.3f}s",
        "--timer-property=AccuracySec=100ms",
        f"--setenv=PYTHONPATH={os.pathsep.join(path for path in sys.path if path)}",
        f"--setenv={VARIABLE}={runtime_directory()}",
        sys.executable, "-m", "chaosrun.mechanisms", "end", order.mark,
    ]  # fmt: skip
    return name if _done(words) else ""


def disarm(name: str) -> None:
    """Stop the timer. Its service goes on if it runs: it is who asks us to."""
    if name:
        _done(["systemctl", "stop", f"{name}.timer"])


def _done(words: list[str]) -> bool:
    try:
        return not subprocess.run(words, capture_output=True, timeout=_WITHIN).returncode
    except (OSError, subprocess.TimeoutExpired):
        return False
