"""`chaosrun lab up`, `status` and `down`.

Law: one directory holds at most one lab; `up` returns when every part answers, or leaves
nothing; after `down` no process of the lab is left, whatever had been killed or stopped.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

import chaosrun
from chaosrun import commands
from chaosrun.errors import ChaosrunError, Refused, Rejected
from chaosrun.lab import processes, web
from chaosrun.lab.processes import State
from chaosrun.lab.world import FIRST_PORT, MARK, World, read_world, write_world
from chaosrun.providers.host import runtime
from chaosrun.units import Duration

ONE_HOUR = Duration(3600)
_START_SECONDS = 15.0
_ANSWER_SECONDS = 0.5
_STOP_SECONDS = 3.0
_PORTS_SECONDS = 0.5  # a process that was killed loses its name first, its ports a moment later
_LOCK_SECONDS = 0.5  # others share the lock for a moment, to see whether it is held


class PartStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One part as it is now. `answers` is asked over its port; a stopped process does not."""

    name: str
    port: int
    pid: int
    state: State
    answers: bool
    tells: str


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """A lab as it is now; `world` and `parts` are empty when none is up."""

    up: bool
    world: World | None = None
    seconds_left: float = 0.0
    parts: tuple[PartStatus, ...] = ()

    @property
    def healthy(self) -> bool:
        return self.up and all(part.answers for part in self.parts)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """What `down` found: whether a lab was up, and how many processes it ended."""

    was_up: bool
    processes: int


def up(directory: Path, *, first_port: int = FIRST_PORT, lasts: Duration = ONE_HOUR) -> Status:
    """Start a lab and wait until every part answers; a lab that is up already stays as it is.

    Raises Rejected for wrong or busy ports, and ChaosrunError when a part does not come up.
    """
    directory = directory.absolute()
    if first_port % 10 or not 1020 <= first_port <= 65520:
        raise Rejected(
            f"a lab's first port ends in 0 and is between 1020 and 65520, not {first_port}",
            hint=f"--base-port {FIRST_PORT}",
        )
    if not lasts:
        raise Rejected("a lab lasts longer than 0s", hint="--for 1h")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with _lock(directory) as lock:
        if lock is None:
            return _same(directory, first_port)
        processes.end_all(directory)  # a supervisor that was killed may have left some
        for old in directory.iterdir():
            if old.name != "lab.lock":
                shutil.rmtree(old) if old.is_dir() else old.unlink()
        world = World(
            directory=str(directory), first_port=first_port, ends_at=time.time() + lasts.seconds
        )
        _need_free_ports(world)
        write_world(world)
        supervisor = _start_supervisor(world, lock)
    return _wait_until_up(directory, supervisor)


def status(directory: Path) -> Status:
    """Each part's process, port and health, asked now."""
    directory = directory.absolute()
    world = read_world(directory)
    if world is None or not _is_held(directory):
        return Status(up=False)
    pids = processes.read_pids(directory)
    with ThreadPoolExecutor(len(world.parts)) as pool:
        answers = pool.map(_answers, [part.port for part in world.parts])
    parts = tuple(
        PartStatus(
            name=part.name, port=part.port, pid=pids.get(part.name, 0), tells=part.tells,
            state=processes.state(pids.get(part.name, 0), directory), answers=answer,
        )
        for part, answer in zip(world.parts, answers, strict=True)
    )  # fmt: skip
    left = max(0.0, world.ends_at - time.time())
    return Status(up=True, world=world, seconds_left=round(left, 1), parts=parts)


def down(directory: Path) -> Ended:
    """End the lab of that directory, whatever is left of it. Twice is once."""
    directory = directory.absolute()
    before = len(processes.of_lab(directory))
    was_up = _is_held(directory)
    supervisor = processes.read_pids(directory).get("supervisor", 0)
    if was_up and processes.state(supervisor, directory) == "running":
        with contextlib.suppress(ProcessLookupError):
            os.kill(supervisor, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_SECONDS
        while _is_held(directory) and time.monotonic() < deadline:
            time.sleep(0.01)
    processes.end_all(directory)
    if world := read_world(directory):
        with contextlib.suppress(Refused):  # a directory that is not ours holds none of ours
            runtime.control_path(world.proxied).unlink(missing_ok=True)  # of a killed proxy
    for name in ("lab.json", "pids.json"):
        (directory / name).unlink(missing_ok=True)
    return Ended(was_up=was_up, processes=before)


def _same(directory: Path, first_port: int) -> Status:
    """The lab that is up, if it is the one asked for."""
    world = read_world(directory)
    if world is not None and world.first_port == first_port:
        return status(directory)
    at = f" at port {world.first_port}" if world else ""
    raise Rejected(f"another lab is up{at}", hint="chaosrun lab down")


def _need_free_ports(world: World) -> None:
    deadline = time.monotonic() + _PORTS_SECONDS
    for port in world.ports:
        while why := _why_not(port):
            if time.monotonic() >= deadline:
                raise Rejected(
                    f"the lab needs the ports {world.ports[0]} to {world.ports[-1]}, and {port} "
                    f"cannot be used: {why}",
                    hint=f"another --base-port, such as {world.first_port + 100}",
                )
            time.sleep(0.02)


def _why_not(port: int) -> str:
    """Why nobody can listen there; empty if somebody can."""
    with socket.socket() as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((web.HOST, port))
        except OSError as error:
            return error.strerror or str(error)
    return ""


def _start_supervisor(world: World, lock: int) -> subprocess.Popen[bytes]:
    """Its own session, so that it outlives the terminal; the lock goes on living in it."""
    places = [str(Path(chaosrun.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    environment[MARK] = world.directory
    for marks in (commands.MARK, commands.TOKEN):  # a lab outlives the command that started it
        environment.pop(marks, None)
    with world.log("supervisor").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "chaosrun.lab.supervisor", world.directory],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
            cwd=world.directory, start_new_session=True, pass_fds=(lock,),
        )  # fmt: skip


def _wait_until_up(directory: Path, supervisor: subprocess.Popen[bytes]) -> Status:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and supervisor.poll() is None:
        now = status(directory)
        if now.healthy:
            supervisor.returncode = 0  # it is on its own from here: nobody waits for it
            return now
        time.sleep(0.05)
    silent = [part.name for part in status(directory).parts if not part.answers]
    down(directory)
    supervisor.wait()
    silent = silent or ["supervisor"]
    raise ChaosrunError(
        f"the lab did not come up: {', '.join(silent)}: {_last_words(directory, silent[0])}",
        hint=f"the logs are in {directory}",
    )


def _last_words(directory: Path, name: str) -> str:
    """The last line that a part wrote before it was given up."""
    lines = (directory / f"{name}.log").read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else f"no answer within {_START_SECONDS:g}s"


def _answers(port: int) -> bool:
    try:
        return web.call(port, "/health", timeout=_ANSWER_SECONDS)[0] == 200
    except web.NoAnswer:
        return False


def _is_held(directory: Path) -> bool:
    """Whether a lab lives in that directory: its supervisor holds the lock until it ends."""
    try:
        file = os.open(directory / "lab.lock", os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not _try_lock(file, fcntl.LOCK_SH)
    finally:
        os.close(file)


@contextlib.contextmanager
def _lock(directory: Path) -> Iterator[int | None]:
    """The directory's lock, or None while a lab holds it."""
    file = os.open(directory / "lab.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while not _try_lock(file, fcntl.LOCK_EX):
            if time.monotonic() >= deadline:
                yield None
                return
            time.sleep(0.02)
        yield file
    finally:
        os.close(file)


def _try_lock(file: int, how: int) -> bool:
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
