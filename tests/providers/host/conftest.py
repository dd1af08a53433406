"""What the tests of this machine's faults share: a runtime directory, workers, a proxy."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.fault import AnyFault, Hold
from chaosrun.providers.host.client import Host
from tests import control_groups
from tests.control_groups import ControlGroup

WORKER = [sys.executable, "-S", "-I", "-c"]


def eventually(promise: Callable[[], object], within: float = 30.0) -> bool:
    until = time.monotonic() + within
    while not promise():
        if time.monotonic() > until:
            return False
        time.sleep(0.005)
    return True


def fault(name: str, **fields: Any) -> AnyFault:
    return from_plain(fields, discovery.fault(name))


def leased(hold: Hold, seconds: float = 60.0) -> Hold:
    return msgspec.structs.replace(hold, mark=uuid.uuid4().hex, deadline=time.time() + seconds)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture(autouse=True)
def runtime(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path_factory.mktemp("rt")
    directory.chmod(0o700)
    monkeypatch.setenv("CHAOSRUN_RUNTIME_DIR", str(directory))
    return directory


class Workers:
    """Processes that do what a line of Python says, and that one word finds."""

    def __init__(self) -> None:
        self.word = f"worker-{uuid.uuid4().hex}"
        self.processes: list[subprocess.Popen[bytes]] = []

    def start(self, code: str = "time.sleep(600)") -> subprocess.Popen[bytes]:
        """Start one, and wait until it does it."""
        ready = f"import os, signal, socket, time\nos.write(1, b'ready')\n{code}"
        process = subprocess.Popen([*WORKER, ready, self.word], stdout=subprocess.PIPE)
        self.processes.append(process)
        assert process.stdout is not None
        assert process.stdout.read(5) == b"ready"
        return process

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()
            assert process.stdout is not None
            process.stdout.close()


@pytest.fixture
def control_group() -> Iterator[ControlGroup]:
    with control_groups.made() as group:
        yield group


@pytest.fixture
def workers() -> Iterator[Workers]:
    workers = Workers()
    yield workers
    workers.end()


class Proxy:
    """A proxy process before an echo service of ours, or before any other address."""

    def __init__(self, upstream: tuple[str, int], *words: str, host: str = "127.0.0.1") -> None:
        address = f"[{upstream[0]}]" if ":" in upstream[0] else upstream[0]
        listen = f"[{host}]:0" if ":" in host else f"{host}:0"
        self.host = host
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "chaosrun.providers.host.proxy", "--listen", listen,
                "--upstream", f"{address}:{upstream[1]}", *words,
            ],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert self.process.stdout is not None
        said = self.process.stdout.readline()
        found = re.match(r"(\S+:(\d+)) -> \S+, controlled by (\S+)", said)
        assert found, said
        self.listen, self.port, self.control = found[1], int(found[2]), found[3]

    def connect(self) -> socket.socket:
        connection = socket.create_connection((self.host, self.port), timeout=10)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


def serve(upstream: socket.socket) -> None:
    """Send back what is heard, until the other side closes; then close."""

    def one(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while heard := connection.recv(65536):
                connection.sendall(heard)

    with contextlib.suppress(OSError):
        while True:
            threading.Thread(target=one, args=(upstream.accept()[0],), daemon=True).start()


@contextlib.contextmanager
def echo(host: str = "127.0.0.1") -> Iterator[tuple[str, int]]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as upstream:
        thread = threading.Thread(target=serve, args=(upstream,), daemon=True)
        thread.start()
        yield host, upstream.getsockname()[1]
        upstream.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with echo() as upstream, Proxy(upstream) as proxy:
        yield proxy
