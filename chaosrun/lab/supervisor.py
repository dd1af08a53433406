"""The process that keeps a lab alive: starts every part, starts again what crashed, ends all.

    python -m chaosrun.lab.supervisor DIRECTORY

Law: at the lab's end, or when asked to stop, it ends every part and then itself. If it is
killed itself, the kernel ends its parts (Linux), and each part's own clock does elsewhere.
It holds the lock on `lab.lock` as long as it lives: that is how others know.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from threading import Event

from chaosrun.lab import part, processes
from chaosrun.lab.world import Part, World, read_world

_LOOK_EVERY_SECONDS = 0.1
_RESTART_SECONDS = 0.5
_LONGEST_RESTART_SECONDS = 5.0
_END_SECONDS = 1.0


class Kept:
    """One part and its present process."""

    def __init__(self, part: Part, world: World) -> None:
        self.part = part
        self._world = world
        self._process: subprocess.Popen[bytes] | None = None
        self._began = 0.0
        self._due = 0.0
        self._delay = _RESTART_SECONDS

    @property
    def pid(self) -> int:
        return self._process.pid if self._process else 0

    def keep(self, now: float) -> bool:
        """Start the part when it does not run and its time has come; whether that changed it."""
        if self._process and self._process.poll() is not None:
            self._note(f"ended with {self._process.returncode}")
            lasted = now - self._began
            self._delay = (
                _RESTART_SECONDS
                if lasted > _LONGEST_RESTART_SECONDS
                else min(self._delay * 2, _LONGEST_RESTART_SECONDS)
            )
            self._process, self._due = None, now + self._delay
            return True
        if self._process or now < self._due:
            return False
        with self._world.log(self.part.name).open("ab") as log:
            self._process = subprocess.Popen(
                part.command(self.part, self._world),
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        self._began = now
        self._note(f"started as {self._process.pid}")
        return True

    def ask_to_end(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        """Wait until it has ended, but not for long."""
        if self._process:
            try:
                self._process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _note(self, text: str) -> None:
        print(f"{time.strftime('%H:%M:%S')} {self.part.title} {text}", flush=True)


def main(directory: str) -> None:
    world = read_world(Path(directory))
    if world is None:
        raise SystemExit(f"no lab was started in {directory}")
    asked = Event()
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: asked.set())
    kept = [Kept(part, world) for part in world.parts]
    try:
        while not asked.is_set() and time.time() < world.ends_at:
            now = time.monotonic()
            changed = [one.keep(now) for one in kept]
            if any(changed):
                pids = {one.part.name: one.pid for one in kept}
                processes.write_pids(world, {"supervisor": os.getpid(), **pids})
            asked.wait(_LOOK_EVERY_SECONDS)
    finally:
        for one in kept:
            one.ask_to_end()
        for one in kept:
            one.end()


if __name__ == "__main__":
    main(*sys.argv[1:])
