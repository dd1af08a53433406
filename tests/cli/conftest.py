"""A real command line: `python -m chaosrun` as a process, with a journal of its own."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 40.0

EXPERIMENT = """\
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {{name: mark-appears}}
spec:
  title: The door stays shut while a mark is there
  steadyState:
    - name: door is shut
      probe: command
      with: {{command: ["test", "!", "-e", "{place}/open"]}}
      every: 100ms
      expect: code == 0
{gates}  method:
    - name: make a mark
      fault: host.command
      with:
        inject: ["touch", "{place}/mark"]
        revert: "{revert}"
        tookEffect: {took_effect}
        restored: ["test", "!", "-e", "{place}/mark"]
      hold: {hold}
      timeout: 30s
{guard}"""
GUARD = """\
  abortWhen:
    - name: it hurts
      probe: command
      with: {{command: ["test", "-e", "{place}/hurt"]}}
      every: 100ms
      when: code == 0
"""


class Chaosrun:
    """Runs command lines in a directory, with a state directory of their own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.env = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("CHAOSRUN_", "NO_COLOR", "FORCE_COLOR"))
        }
        self.env |= {
            "CHAOSRUN_STATE_DIR": str(place / "state"),
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "TERM": "xterm-256color",
            "PYTHONWARNINGS": "error",
        }
        self.started: list[subprocess.Popen[str]] = []

    def __call__(
        self, *words: str, stdin: str = "", **env: str
    ) -> subprocess.CompletedProcess[str]:
        """Run to the end."""
        return subprocess.run(
            [sys.executable, "-m", "chaosrun", *words], cwd=self.place, env=self.env | env,
            input=stdin, text=True, capture_output=True, timeout=60, check=False,
        )  # fmt: skip

    def json(self, *words: str) -> Any:
        """What the command says as JSON."""
        return json.loads(self(*words, "--output", "json").stdout)

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Run beside the test."""
        options.setdefault("stdout", subprocess.DEVNULL)
        options.setdefault("stderr", subprocess.DEVNULL)
        env = self.env | options.pop("env", {})
        process = subprocess.Popen(
            [sys.executable, "-m", "chaosrun", *words], cwd=self.place, env=env, text=True,
            stdin=subprocess.DEVNULL, **options,
        )  # fmt: skip
        self.started.append(process)
        return process

    def experiment(
        self,
        name: str = "experiment.yaml",
        *,
        hold: str = "100ms",
        guard: bool = False,
        gates: str = "",
        revert: str = "",
        took_effect: str = "",
    ) -> str:
        """Write an experiment that puts a file `mark` in place, and return its name."""
        place = self.place
        text = EXPERIMENT.format(
            place=place,
            hold=hold,
            gates=gates,
            guard=GUARD.format(place=place) if guard else "",
            revert=revert or f"rm -f {place}/mark",
            took_effect=took_effect or f'["test", "-e", "{place}/mark"]',
        )
        (place / name).write_text(text)
        return name

    @property
    def marked(self) -> bool:
        return (self.place / "mark").exists()

    def wait_for_mark(self) -> None:
        until(lambda: self.marked)


def until(true: Callable[[], object], patience: float = PATIENCE) -> None:
    """Wait until something is true; fail when it never is."""
    deadline = time.monotonic() + patience
    while not true():
        assert time.monotonic() < deadline, "it did not become true in time"
        time.sleep(0.01)


@pytest.fixture
def chaosrun(tmp_path: Path) -> Iterator[Chaosrun]:
    cli = Chaosrun(tmp_path)
    yield cli
    for process in cli.started:
        if process.poll() is None:
            process.kill()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        process.wait()


class Terminal:
    """A process on a pseudo-terminal of its own, as a person sees it."""

    def __init__(self, cli: Chaosrun, *words: str, rows: int = 30, columns: int = 100,
                 **env: str) -> None:  # fmt: skip
        import fcntl
        import struct
        import termios

        self.master, slave = os.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "chaosrun", *words], cwd=cli.place, env=cli.env | env,
            preexec_fn=lambda: os.login_tty(slave),
        )  # fmt: skip
        os.close(slave)
        self.seen = ""

    def read(self, seconds: float) -> bool:
        """Take what was written within `seconds`; False once the process has gone."""
        if not select.select([self.master], [], [], seconds)[0]:
            return True
        try:
            chunk = os.read(self.master, 65536)
        except OSError:  # Linux says EIO when nobody has the terminal any longer
            return False
        self.seen += chunk.decode("utf-8", "replace")
        return bool(chunk)

    def expect(self, text: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert self.read(0.1), f"it ended without {text!r}:\n{self.seen}"
            assert time.monotonic() < deadline, f"{text!r} did not appear:\n{self.seen}"

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self) -> int:
        """Read to the end, and return the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.read(0.1):
            assert time.monotonic() < deadline, f"it did not end:\n{self.seen}"
        return self.process.wait(PATIENCE)

    def hang_up(self) -> None:
        """Close the terminal, as a lost connection does."""
        os.close(self.master)
        self.master = -1

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self.master >= 0:
            os.close(self.master)


@pytest.fixture
def terminal(chaosrun: Chaosrun) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(*words: str, **options: Any) -> Terminal:
        opened.append(Terminal(chaosrun, *words, **options))
        return opened[-1]

    yield open_terminal
    for one in opened:
        one.close()
