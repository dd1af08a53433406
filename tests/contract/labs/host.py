"""Worlds of this machine: files, processes, and connections through a proxy."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar, TypeVar

from chaosrun.testing import Lab
from chaosrun.units import JSON

_WORKER = [sys.executable, "-S", "-I", "-c", "import time; time.sleep(600)"]
_SLOW = 0.3
T = TypeVar("T")


def directory_of_ours(cleanup: contextlib.ExitStack) -> Path:
    """A directory for what this machine's provider leaves word of."""
    directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="cr-")))
    directory.chmod(0o700)
    before = os.environ.get("CHAOSRUN_RUNTIME_DIR")
    os.environ["CHAOSRUN_RUNTIME_DIR"] = str(directory)

    def put_back() -> None:
        if before is None:
            del os.environ["CHAOSRUN_RUNTIME_DIR"]
        else:
            os.environ["CHAOSRUN_RUNTIME_DIR"] = before

    cleanup.callback(put_back)
    return directory


def with_word(word: str) -> dict[int, str]:
    """The state of every process with that text in its command line, but not of ended ones."""
    found: dict[int, str] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if word.encode() in (entry / "cmdline").read_bytes():
                found[int(entry.name)] = (entry / "stat").read_text().rpartition(")")[2].split()[0]
    return {pid: state for pid, state in found.items() if state not in "ZX"}


def looked_at(look: Callable[[], T], good: Callable[[T], bool], still: Callable[[], object]) -> T:
    """What is seen of traffic that is brought to us.

    The kernel is told so anew again and again, for two seconds each time. Where a machine stood
    still for longer, and `still` what does it is there, it is looked at again.
    """
    until = time.monotonic() + 5
    while not good(seen := look()) and still() and time.monotonic() < until:
        pass
    return seen


class CommandLab(Lab):
    """A file that is moved away, and a process left in the background."""

    fault = "host.command"
    found_by_sweep = False  # only what it leaves running has a mark, and a revert ends that

    def build(self, cleanup: contextlib.ExitStack) -> None:
        self.directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        (self.directory / "cache").write_text("warm")

    def arguments(self) -> dict[str, JSON]:
        return {
            "with": {
                "inject": "test ! -e cache || mv cache away; sleep 600 & : $WORD",
                "revert": "test ! -e away || mv away cache",
                "tookEffect": "! test -e cache",
                "restored": ["test", "-e", "cache"],
                "cwd": str(self.directory),
            }
        }

    def snapshot(self) -> JSON:
        return {path.name: path.read_text() for path in self.directory.iterdir()}


class Workers(Lab):
    """Three processes of one name."""

    supervised: ClassVar[bool] = False

    def build(self, cleanup: contextlib.ExitStack) -> None:
        self.directory = directory_of_ours(cleanup)
        self.word = f"worker-{uuid.uuid4().hex}"
        cleanup.callback(self._kill_all)
        self._processes = [self._start() for _ in range(3)]
        cleanup.callback(self._reap)
        while len(with_word(self.word)) < 3:  # an exec shows its words a little later
            time.sleep(0.001)
        self._stop = threading.Event()
        if self.supervised:
            thread = threading.Thread(target=self._supervise)
            thread.start()
            cleanup.callback(thread.join)
            cleanup.callback(self._stop.set)

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"command": self.word, "pick": 2}}

    def snapshot(self) -> JSON:
        states = with_word(self.word).values()
        return {
            "running": len([state for state in states if state != "T"]),
            "stopped": len([state for state in states if state == "T"]),
            "watchdogs": len(with_word(str(self.directory))),
            "notes": len(list(self.directory.iterdir())),
        }

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen([*_WORKER, self.word])

    def _supervise(self) -> None:
        while not self._stop.wait(0.02):
            for number, process in enumerate(self._processes):
                if process.poll() is not None:
                    self._processes[number] = self._start()

    def _kill_all(self) -> None:
        for pid in with_word(self.word):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


class KillLab(Workers):
    """A supervisor starts again what was killed."""

    fault = "host.process-kill"
    supervised = True
    found_by_sweep = False  # a process that is gone bears no mark


class KillAndRestartLab(Workers):
    """Nobody starts them again, but the revert."""

    fault = "host.process-kill"
    found_by_sweep = False

    def arguments(self) -> dict[str, JSON]:
        restart = shlex.join([*_WORKER, self.word])
        return {
            "target": {"command": self.word, "pick": "one"},
            "with": {"signal": "TERM", "restart": restart},
        }


class PauseLab(Workers):
    """They stand still."""

    fault = "host.process-pause"


class ProxyLab(Lab):
    """An echo service behind a proxy, with one connection open all the time."""

    fault = "host.tcp-proxy"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        directory_of_ours(cleanup)
        upstream = cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
        service = threading.Thread(target=_echo, args=(upstream,), daemon=True)
        service.start()
        cleanup.callback(lambda: upstream.shutdown(socket.SHUT_RDWR))
        listen = ["--listen", "127.0.0.1:0"]
        there = ["--upstream", f"127.0.0.1:{upstream.getsockname()[1]}"]
        proxy = cleanup.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", "chaosrun.providers.host.proxy", *listen, *there],
                stdout=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        cleanup.callback(proxy.terminate)
        assert proxy.stdout is not None
        said = re.match(r"127\.0\.0\.1:(\d+) -> ", proxy.stdout.readline())
        assert said is not None
        self.port = int(said[1])
        self.open = cleanup.enter_context(socket.create_connection(("127.0.0.1", self.port)))

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"listen": f"127.0.0.1:{self.port}"},
            "with": {"latency": f"{_SLOW}s"},
        }

    def snapshot(self) -> JSON:
        with socket.create_connection(("127.0.0.1", self.port)) as new:
            return {"open": _feels(self.open), "new": _feels(new)}


def _echo(upstream: socket.socket) -> None:
    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while heard := connection.recv(4096):
                connection.sendall(heard)

    with contextlib.suppress(OSError):  # closed: the lab is over
        while True:
            threading.Thread(target=serve, args=(upstream.accept()[0],), daemon=True).start()


def _feels(connection: socket.socket) -> str:
    """How a connection feels: fast if it ever is."""
    connection.settimeout(10)
    for _ in range(2):
        began = time.monotonic()
        connection.sendall(b"x")
        connection.recv(1)
        if time.monotonic() - began < _SLOW / 2:
            return "fast"
    return "slow"


LABS: list[type[Lab]] = [CommandLab, KillLab, KillAndRestartLab, PauseLab, ProxyLab]
