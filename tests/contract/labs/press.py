"""Worlds of this machine under pressure: processors, memory, disks, descriptors, tasks, clocks."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import ClassVar

import pytest

from chaosrun.fault import Evidence, Hold
from chaosrun.mechanisms import worker
from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests import control_groups, two_hosts
from tests.contract.labs.host import directory_of_ours, looked_at, with_word

FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")
_SLEEPS = [sys.executable, "-S", "-I", "-c", "import time; print('x', flush=True); time.sleep(600)"]


class PressLab(Lab):
    """What workers of this world's harms there are, and what word is left of them."""

    def build(self, cleanup: contextlib.ExitStack) -> None:
        self.directory = directory_of_ours(cleanup)
        self.marks: list[str] = []

    def lease(self, *, seconds: float = 60.0) -> Hold:
        hold = super().lease(seconds=seconds)
        self.marks.append(hold.mark)
        return hold

    def snapshot(self) -> JSON:
        workers = [
            pid for pid in with_word(worker.SIGN) if any(mark in _words(pid) for mark in self.marks)
        ]
        return {"workers": len(workers), "notes": len(list(self.directory.iterdir()))}

    def sleeping(self, cleanup: contextlib.ExitStack, **env: str) -> subprocess.Popen[bytes]:
        """A process that does nothing, and that `self.word` finds."""
        self.word = f"worker-{uuid.uuid4().hex}"
        process = cleanup.enter_context(
            subprocess.Popen(
                [*_SLEEPS, self.word], stdout=subprocess.PIPE, env={**os.environ, **env}
            )
        )
        cleanup.callback(process.kill)
        assert process.stdout is not None
        process.stdout.readline()
        return process


def _words(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    except OSError:
        return []


def need(path: str, package: str) -> None:
    """Skip where that is not installed."""
    if not Path(path).exists():
        pytest.skip(f"needs {path}: apt-get install {package}")


class CpuLab(PressLab):
    """Half of one processor is wanted by a worker of ours."""

    fault = "host.cpu"

    def arguments(self) -> dict[str, JSON]:
        return {"with": {"cores": 1, "load": "20%", "nice": 10, "mechanism": "worker"}}


class MemoryLab(PressLab):
    """A little memory is taken by stress-ng."""

    fault = "host.memory"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        need("/usr/bin/stress-ng", "stress-ng")

    def arguments(self) -> dict[str, JSON]:
        return {"with": {"size": "32Mi", "mechanism": "stress-ng"}}


class IoLab(PressLab):
    """A file on a disk is written and read by a worker of ours."""

    fault = "host.io"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        self.disk = Path(cleanup.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp")))

    def arguments(self) -> dict[str, JSON]:
        return {"with": {"directory": str(self.disk), "size": "1Mi", "mechanism": "worker"}}

    def snapshot(self) -> JSON:
        return {**super().snapshot(), "files": len(list(self.disk.iterdir()))}


class DiskFillLab(PressLab):
    """A small file system is filled to nine tenths."""

    fault = "host.disk-fill"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        self.disk = small_file_system(cleanup)

    def arguments(self) -> dict[str, JSON]:
        return {"with": {"directory": str(self.disk), "share": "75%"}}

    def snapshot(self) -> JSON:
        return {**super().snapshot(), "free": os.statvfs(self.disk).f_bavail}


def small_file_system(cleanup: contextlib.ExitStack, size: str = "128m") -> Path:
    """A file system of that size, in memory."""
    if os.geteuid():
        pytest.skip("needs a mount: run as root, in Docker with --privileged")
    directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
    subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "chaosrun-test", str(directory)], check=True
    )
    cleanup.callback(subprocess.run, ["umount", str(directory)], check=True)
    return directory


class FdLab(PressLab):
    """One process may open two files more."""

    fault = "host.fd"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        self.process = self.sleeping(cleanup)

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"command": self.word}, "with": {"leave": 2}}

    def snapshot(self) -> JSON:
        limits = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)
        return {**super().snapshot(), "limits": list(limits)}


class PidsLab(PressLab):
    """A control group that may hold 64 tasks is filled up to all but four."""

    fault = "host.pids"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        self.process = self.sleeping(cleanup)
        self.group = cleanup.enter_context(control_groups.made())
        self.group.write("pids.max", "64")
        self.group.take(self.process.pid)

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"cgroup": self.group.path},
            "with": {"share": "90%", "leave": 4},
        }

    def snapshot(self) -> JSON:
        return {**super().snapshot(), "tasks": self.group.read("pids.current")}


class ClockLab(PressLab):
    """A process that was started with libfaketime is a day ahead."""

    fault = "host.clock"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        need(str(FAKETIME), "libfaketime")
        self.file = Path(cleanup.enter_context(tempfile.TemporaryDirectory())) / "clock"
        self.sleeping(
            cleanup, LD_PRELOAD=str(FAKETIME), FAKETIME_TIMESTAMP_FILE=str(self.file),
            FAKETIME_CACHE_DURATION="1",
        )  # fmt: skip

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"command": self.word}, "with": {"ahead": "24h"}}

    def snapshot(self) -> JSON:
        said = self.file.read_text() if self.file.exists() else None
        return {**super().snapshot(), "clock": said}


class RedirectLab(PressLab):
    """Traffic to another host is brought to us."""

    hosts: two_hosts.TwoHosts
    harmed: ClassVar[list[JSON]]

    def answers(self) -> list[JSON]:
        """What a client gets; `harmed` when the fault is in place."""
        raise NotImplementedError

    def tables(self) -> int:
        return self.hosts.rules(self.hosts.near).count("table inet chaosrun_")

    def took_effect(self, hold: Hold) -> Evidence:
        look = super().took_effect
        return looked_at(lambda: look(hold), lambda seen: seen.seen, self.tables)

    def snapshot(self) -> JSON:
        answers = looked_at(self.answers, lambda found: found == self.harmed, self.tables)
        return {**super().snapshot(), "answers": answers, "tables": self.tables()}


class DnsLab(RedirectLab):
    """A host that looks names up at another: one of them is no longer found."""

    fault = "host.dns"
    harmed: ClassVar[list[JSON]] = ["rcode-3", "192.0.2.1"]

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        self.hosts = cleanup.enter_context(two_hosts.made())
        cleanup.enter_context(self.hosts.program(self.hosts.far, two_hosts.NAME_SERVER))
        self.asker = cleanup.enter_context(self.hosts.program(self.hosts.near, two_hosts.ASKER))

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.hosts.near},
            "with": {"names": ["db.example"], "answer": "nxdomain", "servers": ["10.77.0.2"]},
        }

    def answers(self) -> list[JSON]:
        names = ("db.example", "other.example")
        return [self.asker.ask(f"10.77.0.2 53 {name} A udp 5").split()[0] for name in names]


class HttpLab(RedirectLab):
    """A client of a web server on another host: one path of it fails."""

    fault = "host.http"
    harmed: ClassVar[list[JSON]] = [503, 200, 503, 200]

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        self.hosts = cleanup.enter_context(two_hosts.made())
        cleanup.enter_context(self.hosts.program(self.hosts.far, two_hosts.WEB_SERVER, "8080"))
        self.browser = cleanup.enter_context(self.hosts.program(self.hosts.near, two_hosts.BROWSER))

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.hosts.near, "ports": [8080]},
            "with": {"paths": ["/orders*"], "status": 503},
        }

    def answers(self) -> list[JSON]:
        asked = [
            {"host": host, "port": 8080, "path": path, "timeout": 5}
            for host in ("10.77.0.2", "fd77::2")
            for path in ("/orders/1", "/other")
        ]
        return [json.loads(self.browser.ask(json.dumps(each)))["status"] for each in asked]


class HttpProxyLab(PressLab):
    """A web server behind a proxy: one path of it fails."""

    fault = "host.http-proxy"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        self.ports = free_ports(2)
        words = ["-c", two_hosts.WEB_SERVER, str(self.ports[0])]
        _start(cleanup, words)
        listen, upstream = (f"127.0.0.1:{port}" for port in reversed(self.ports))
        proxy = ["-m", "chaosrun.mechanisms.http_proxy", "--listen", listen]
        _start(cleanup, [*proxy, "--upstream", upstream])

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"listen": f"127.0.0.1:{self.ports[1]}"},
            "with": {"paths": ["/orders*"], "status": 503},
        }

    def snapshot(self) -> JSON:
        statuses = []
        for path in ("/orders/1", "/other"):
            connection = http.client.HTTPConnection("127.0.0.1", self.ports[1], timeout=30)
            connection.request("GET", path)
            statuses.append(connection.getresponse().status)
            connection.close()
        return {**super().snapshot(), "statuses": statuses}


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as cleanup:
        socks = [cleanup.enter_context(socket.create_server(("", 0))) for _ in range(count)]
        return [sock.getsockname()[1] for sock in socks]


def _start(cleanup: contextlib.ExitStack, words: list[str]) -> None:
    """Start a Python program, and wait until it says a line."""
    process = cleanup.enter_context(
        subprocess.Popen(
            [sys.executable, *words], stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    )  # fmt: skip
    cleanup.callback(process.terminate)
    assert process.stdout is not None
    assert process.stdout.readline()


LABS: list[type[Lab]] = [
    CpuLab, MemoryLab, IoLab, DiskFillLab, FdLab, PidsLab, ClockLab,
    DnsLab, HttpLab, HttpProxyLab,
]  # fmt: skip
