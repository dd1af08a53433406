"""A place with schedules, an experiment that leaves marks, and daemons as processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaosrun.journal import Store, open_journal
from chaosrun.units import JSON

PATIENCE = 90.0
SKEWED = """
import sys, time
real, ahead = time.time, float(sys.argv.pop(1))
time.time = lambda: real() + ahead
from chaosrun.cli import main
sys.exit(main())
"""


def until(true: Callable[[], object], patience: float = PATIENCE, what: str = "it") -> None:
    """Wait until something is true; fail when it never is."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, f"{what} did not become true within {patience:g}s"
        time.sleep(0.02)


class Place:
    """A directory with schedules, a journal, and the daemons that were started on it."""

    def __init__(self, directory: Path, journal: str = "") -> None:
        self.directory = directory
        self.schedules = directory / "schedules"
        self.schedules.mkdir()
        self.url = journal or f"sqlite:///{directory}/state/journal.db"
        self.env = {
            key: value for key, value in os.environ.items() if not key.startswith("CHAOSRUN_")
        }
        self.env |= {
            "CHAOSRUN_JOURNAL": self.url,
            "CHAOSRUN_RUNTIME_DIR": str(directory / "runtime"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "PYTHONWARNINGS": "error",
        }
        self.daemons: list[subprocess.Popen[bytes]] = []
        self._journal: Store | None = None
        self._logs = 0

    @property
    def journal(self) -> Store:
        if self._journal is None:
            self._journal = open_journal(self.url)
        return self._journal

    # --- what a person writes -----------------------------------------------------------

    def experiment(self, name: str = "experiment", *, hold: str = "200ms", **spec: JSON) -> Path:
        """An experiment that puts a mark of its name in place, and counts that in a file."""
        mark = self.directory / f"{name}.mark"
        document = {
            "apiVersion": "chaosrun.dev/v1",
            "kind": "Experiment",
            "metadata": {"name": name},
            "spec": {
                "title": "A mark can be put in place and taken away",
                "parameters": {"hold": {"type": "duration", "default": hold}},
                "steadyState": [
                    {
                        "name": "true",
                        "probe": "command",
                        "with": {"command": ["true"]},
                        "every": "100ms",
                        "expect": "code == 0",
                    }
                ],
                "method": [
                    {
                        "name": "mark",
                        "fault": "host.command",
                        "with": {
                            "inject": f"echo >> {mark}.count; touch {mark}",
                            "revert": f"rm -f {mark}",
                            "tookEffect": f"test -e {mark}",
                            "restored": f"test ! -e {mark}",
                        },
                        "hold": "${hold}",
                    }
                ],
                "limits": {"share": "100%"},
                **spec,
            },
        }
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps(document))
        return path

    def schedule(self, name: str = "often", **spec: JSON) -> Path:
        """A schedule of an experiment; of `experiment` when nothing else is said."""
        if "experiment" not in spec and "suite" not in spec:
            spec["experiment"] = "../experiment.json"
        document = {
            "apiVersion": "chaosrun.dev/v1",
            "kind": "Schedule",
            "metadata": {"name": name},
            "spec": spec,
        }
        path = self.schedules / f"{name}.json"
        path.write_text(json.dumps(document, indent=1))
        return path

    def marked(self, name: str = "experiment") -> bool:
        return (self.directory / f"{name}.mark").exists()

    def injected(self, name: str = "experiment") -> int:
        """How often the mark was put in place."""
        path = self.directory / f"{name}.mark.count"
        return len(path.read_text().splitlines()) if path.exists() else 0

    # --- its daemons --------------------------------------------------------------------

    def chaosrun(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "chaosrun", *words], cwd=self.directory, env=self.env, text=True,
            capture_output=True, timeout=60, check=False,
        )  # fmt: skip

    def daemon(self, *words: str, ahead: float = 0.0) -> subprocess.Popen[bytes]:
        """Start a daemon; its clock may be ahead of the machine's by so many seconds."""
        program = ["-c", SKEWED, str(ahead)] if ahead else ["-m", "chaosrun"]
        self._logs += 1
        with (self.directory / f"daemon-{self._logs}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, *program, *words, "--log", "json", *self._listening(words)],
                cwd=self.directory, env=self.env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        self.daemons.append(process)
        return process

    def _listening(self, words: tuple[str, ...]) -> tuple[str, ...]:
        return () if "--listen" in words else ("--listen", "127.0.0.1:0")

    def said(self, number: int = 0) -> list[dict[str, Any]]:
        """What a daemon has said: the newest, or the one with that number."""
        path = self.directory / f"daemon-{number or self._logs}.log"
        lines = path.read_bytes().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith(b"\n")]

    def heard(self, event: str, number: int = 0) -> list[dict[str, Any]]:
        return [line for line in self.said(number) if line["event"] == event]

    def address(self, number: int = 0) -> str:
        until(lambda: self.heard("listening", number), what="the daemon listening")
        return f"http://{self.heard('listening', number)[0]['address']}"

    def close(self) -> None:
        for process in self.daemons:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
        if self._journal is not None:
            self._journal.close()
