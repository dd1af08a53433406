"""Processes that outlive who started them, and are ended by their ids.

Law: a process is only ended when its start time is that of the one we started.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_ENDS_WITHIN = 10.0


class Parts:
    """The parts in one directory: `parts.json` tells their ids, `log/` what they wrote."""

    def __init__(self, directory: Path) -> None:
        self._notes = directory / "parts.json"
        self._log = directory / "log"

    def start(self, name: str, words: Sequence[str | Path], namespace: str = "") -> None:
        """Start it in its own session, in that network namespace."""
        self._log.mkdir(exist_ok=True)
        inside = ["nsenter", f"--net=/run/netns/{namespace}"] if namespace else []
        with (self._log / name).open("ab") as log:
            process = subprocess.Popen(
                [*inside, *map(str, words)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                cwd=self._log,
            )  # fmt: skip
        process.returncode = 0  # it is meant to stay: no warning that nobody waits for it
        notes = self.notes()
        notes[name] = {
            "pid": process.pid, "started": _started(process.pid),
            "words": [str(word) for word in words], "namespace": namespace,
        }  # fmt: skip
        self._write(notes)

    def again(self, name: str) -> None:
        """Start it anew, as it was started before."""
        note = self.notes()[name]
        self.start(name, note["words"], note["namespace"])

    def end(self, name: str, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, by force when it does not go."""
        note = self.notes()[name]
        until = time.monotonic() + _ENDS_WITHIN
        while _runs(note):
            with contextlib.suppress(ProcessLookupError):
                os.kill(note["pid"], how if time.monotonic() < until else signal.SIGKILL)
            _reap(note["pid"])
            time.sleep(0.02)
        # Its last threads may hold its port for a moment more: until nothing of it is left.
        while Path(f"/proc/{note['pid']}").exists() and time.monotonic() < until:
            _reap(note["pid"])
            time.sleep(0.02)

    def signal(self, name: str, number: signal.Signals) -> None:
        note = self.notes()[name]
        if _runs(note):
            os.kill(note["pid"], number)

    def runs(self, name: str) -> bool:
        return name in (notes := self.notes()) and _runs(notes[name])

    def log(self, name: str) -> str:
        """The end of what it wrote."""
        with contextlib.suppress(OSError):
            return (self._log / name).read_text(errors="replace")[-2000:]
        return ""

    def notes(self) -> dict[str, dict[str, Any]]:
        with contextlib.suppress(OSError, ValueError):
            found: dict[str, dict[str, Any]] = json.loads(self._notes.read_text())
            return found
        return {}

    def _write(self, notes: dict[str, dict[str, Any]]) -> None:
        new = self._notes.with_suffix(".new")
        new.write_text(json.dumps(notes, indent=1))
        new.replace(self._notes)


def _started(pid: int) -> str:
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if words[0] in "ZX" else words[19]
    return ""


def _runs(note: dict[str, Any]) -> bool:
    return bool(note["started"]) and _started(int(str(note["pid"]))) == note["started"]


def _reap(pid: int) -> None:
    with contextlib.suppress(ChildProcessError, OSError):
        os.waitpid(pid, os.WNOHANG)
