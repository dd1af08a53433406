"""`chaosrun` as a process of its own, and the moments at which it is killed."""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import msgspec

from chaosrun.events import StopRequested
from chaosrun.run import Phase, Run, evolve
from tests.kills.world import HOLD, World

_LONGEST = 60.0
_WHOLE_RUN = 0.6 + HOLD
"""About how long a run takes on a quiet machine; moments are spread over it."""
CROSSINGS = (
    "started", "planned", "sampled", "leased", "injected", "effect-seen", "reverted", "restored",
    "finished",
)  # fmt: skip


class Moment(msgspec.Struct, frozen=True):
    """So long after the start, or after the first (later) event of that type was seen."""

    event: str
    seconds: float

    @classmethod
    def any(cls, rng: random.Random) -> Moment:
        if rng.random() < 0.4:
            return cls("", rng.uniform(0, _WHOLE_RUN))
        # Mostly right after the event, when the next effect is just under way.
        return cls(rng.choice(CROSSINGS), rng.choice((0.0, rng.uniform(0, 0.02), rng.random() / 5)))

    def __str__(self) -> str:
        return f"{self.seconds * 1000:.1f}ms after {self.event or 'the start'}"


class Runner:
    """A process of chaosrun on a world."""

    def __init__(self, world: World, *words: str) -> None:
        self.world = world
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed at exit
        self.began = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chaosrun", *words], env=world.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self._errors,
            start_new_session=True,
        )  # fmt: skip
        self._output = b""

    def wait_for(self, moment: Moment) -> None:
        """Return at that moment, or earlier when the process ends."""
        if moment.event:
            wanted = f'"type":"{moment.event}"'.encode()
            while wanted not in self._output and self._read(_LONGEST):
                pass
            self.began = time.monotonic()
        until = self.began + moment.seconds
        while (left := until - time.monotonic()) > 0 and self._read(left):
            pass

    def _read(self, seconds: float) -> bool:
        """Take in what it writes, for at most so long; False when it has ended."""
        assert self._process.stdout is not None
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            return True
        part = os.read(self._process.stdout.fileno(), 65536)
        self._output += part
        return bool(part)

    def send(self, number: signal.Signals, *, to_group: bool = False) -> None:
        """Signal it; or its whole process group, as a terminal does for Ctrl-C."""
        if self._process.poll() is None:
            (os.killpg if to_group else os.kill)(self._process.pid, number)

    def end(self) -> int:
        """Wait for it to end by itself, and return its exit code."""
        while self._read(_LONGEST):
            pass
        code = self._process.wait(_LONGEST)
        self._errors.seek(0)
        self.said = self._output.decode() + self._errors.read()
        return code

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._errors.close()


def chaosrun(world: World, *words: str) -> tuple[int, str]:
    """Run a command of chaosrun to its end: its exit code, and what it said."""
    with Runner(world, *words) as runner:
        return runner.end(), runner.said


def run(world: World, experiment: Path) -> Runner:
    return Runner(world, "run", str(experiment), "--events", "-", "--no-input")


def newest(world: World, known: set[str]) -> str:
    """The run that is not one of those known, or nothing."""
    with closing(world.journal()) as journal:
        return next((row.run for row in journal.runs() if row.run not in known), "")


def runs(world: World) -> set[str]:
    with closing(world.journal()) as journal:
        return {row.run for row in journal.runs()}


def where_hit(world: World, name: str, *, killed: bool = False) -> tuple[str, Run]:
    """In which phase a run was killed, or told to stop, and its fold at that moment."""
    run = Run()
    if not name:
        return "start-up", run
    with closing(world.journal()) as journal:
        for event in journal.events(name):
            if isinstance(event, StopRequested) and not killed:
                break
            run = evolve(run, event)
    return _phase(run), run


def _phase(run: Run) -> str:
    if run.stage is not Phase.METHOD:
        return str(run.stage)
    steps = [step for step in run.steps.values() if step.owed]
    if not steps:
        return "between leases"
    if run.stop is not None or any(step.reverting_since is not None for step in steps):
        return "reverting"
    if any(not step.inject_ended for step in steps):
        return "injecting"
    return "holding" if all(step.effect_seen for step in steps) else "looking for the effect"
