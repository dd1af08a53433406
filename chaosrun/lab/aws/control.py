"""`chaosrun lab up --aws`, and its part of `status` and `down`.

Law: one directory holds at most one world; `up` returns when all of the shop is there, or leaves
nothing; after `down` no process of it is left.
"""

from __future__ import annotations

import fcntl
import importlib.util
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import chaosrun
from chaosrun import commands
from chaosrun.errors import ChaosrunError, Rejected
from chaosrun.lab import processes, web
from chaosrun.lab.aws import world
from chaosrun.lab.aws.world import AwsWorld
from chaosrun.lab.world import MARK
from chaosrun.units import Duration

FIRST_PORT = 8890
_START_SECONDS = 60.0
_ANSWER_SECONDS = 2.0


def up(directory: Path, *, port: int = FIRST_PORT, lasts: Duration) -> AwsWorld:
    """Start a world and wait until the shop is in it; one that is up already stays as it is.

    Raises Rejected when moto is missing or the port cannot be used, and ChaosrunError when the
    world does not come up.
    """
    missing = [name for name in ("moto", "boto3", "flask") if not importlib.util.find_spec(name)]
    if missing:
        raise Rejected(
            f"a world of AWS needs {', '.join(missing)}, not installed",
            hint="pip install 'chaosrun[aws-lab]'",
            code="missing-extra",
        )
    if not lasts:
        raise Rejected("a lab lasts longer than 0s", hint="--for 1h")
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = os.open(directory / "lab.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _need_free(port)
        processes.end_all(directory)
        (directory / world.FILE).unlink(missing_ok=True)
        started = _start(directory, lock, port, time.time() + lasts.seconds)
    except BlockingIOError:
        found = world.read(directory)
        if found is not None and found.port == port:
            return found
        at = f" at port {found.port}" if found else ", or about to be"
        raise Rejected(f"another world of AWS is up{at}", hint="chaosrun lab down") from None
    finally:
        os.close(lock)
    return _wait(directory, started)


def status(directory: Path) -> AwsWorld | None:
    """The world, if it is up and answers."""
    found = world.read(directory.absolute())
    if found is None or processes.state(found.pid, directory.absolute()) != "running":
        return None
    return found if web.answers(found.port, timeout=_ANSWER_SECONDS) else None


def down(directory: Path) -> int:
    """End the world of that directory; how many processes there were. Twice is once."""
    ended = processes.end_all(directory.absolute())
    (directory / world.FILE).unlink(missing_ok=True)
    return ended


def _need_free(port: int) -> None:
    if not 1024 <= port <= 65535:
        raise Rejected(f"a port of the lab is between 1024 and 65535, not {port}")
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((web.HOST, port))
        except OSError as error:
            raise Rejected(
                f"the port {port} cannot be used: {error.strerror}",
                hint="another --base-port: AWS is 90 above it",
            ) from None


def _start(directory: Path, lock: int, port: int, ends_at: float) -> subprocess.Popen[bytes]:
    """Its own session, so that it outlives the terminal; the lock goes on living in it."""
    places = [str(Path(chaosrun.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    environment[MARK] = str(directory)
    for marks in (commands.MARK, commands.TOKEN):  # a lab outlives the command that started it
        environment.pop(marks, None)
    with (directory / "aws.log").open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "chaosrun.lab.aws.server", str(directory), str(port),
             str(ends_at)],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=directory,
            start_new_session=True, pass_fds=(lock,),
        )  # fmt: skip


def _wait(directory: Path, started: subprocess.Popen[bytes]) -> AwsWorld:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and started.poll() is None:
        if (found := world.read(directory)) is not None:
            started.returncode = 0  # it is on its own from here: nobody waits for it
            return found
        time.sleep(0.05)
    last = (directory / "aws.log").read_text(errors="replace").strip().splitlines()[-1:]
    down(directory)
    started.wait()
    raise ChaosrunError(
        f"the world of AWS did not come up: {' '.join(last) or 'it took too long'}",
        hint=f"all it said is in {directory / 'aws.log'}",
    )
