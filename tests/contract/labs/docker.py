"""Worlds of containers, on a real Docker engine.

What comes back as it was is used by the next promise again; what does not is made anew. Seen from
outside by the engine's own HTTP. A call that is not among the fault's permissions breaks the lab.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import threading
from types import TracebackType
from typing import Any, ClassVar, Self

import pytest

from chaosrun import procfs
from chaosrun.fault import Evidence, Hold
from chaosrun.mechanisms.directory import VARIABLE
from chaosrun.providers.docker import life, marks
from chaosrun.testing import BrokenPromise, Lab
from chaosrun.units import JSON
from tests.contract.labs.host import directory_of_ours, looked_at, with_word
from tests.contract.sweeps import in_a_sweep
from tests.docker_engine import DockerEngine, docker_engine, point_at

PROJECT = "chaosrun-lab"
MIB = 1 << 20
_IDS = re.compile(r"/(containers|volumes|networks)/(?!json|create)[^/]+")


class Shop:
    """Three containers of one compose service, on a network whose subnet a person chose."""

    def __init__(self, engine: DockerEngine, *, keeps_address: bool, **host: Any) -> None:
        self._engine, self._host, self._keeps = engine, host, keeps_address
        self.service = f"web{len(_shops)}"
        self._subnet = engine.subnet()
        self.network = engine.network(subnet=self._subnet)
        self.ids = [self._make(number) for number in (1, 2, 3)]
        self.fresh = self.looks()

    def whole(self) -> Shop:
        """The same, as it was in the beginning."""
        if self.looks() != self.fresh:
            self._engine.remove(*self.ids)
            self.ids = [self._make(number) for number in (1, 2, 3)]
        return self

    def looks(self) -> JSON:
        """How they are."""
        mine = f"com.docker.compose.service={self.service}"
        return [_looks(self._engine.inspect(each)) for each in self._engine.ids_with(mine)]

    def _make(self, number: int) -> str:
        labels = {"com.docker.compose.project": PROJECT, "com.docker.compose.service": self.service}
        endpoint: dict[str, Any] = {"Aliases": [f"{self.service}-{number}", "web"]}
        if self._keeps:
            first = ipaddress.ip_network(self._subnet)[4 + number]
            endpoint["IPAMConfig"] = {"IPv4Address": str(first)}
        return self._engine.run(
            name=f"{PROJECT}-{self.service}-{number}-{self._engine.session}",
            labels=labels, networks={self.network: endpoint}, **self._host,
        )  # fmt: skip


_shops: dict[str, Shop] = {}


def _looks(seen: Any) -> JSON:
    """What nobody could tell apart: not in which run it is."""
    networks = seen["NetworkSettings"]["Networks"]
    return {
        "name": seen["Name"],
        "state": seen["State"]["Status"],
        "networks": {
            name: {
                "address": there["IPAddress"],
                "aliases": sorted(set(there["Aliases"] or ()) - {seen["Id"][:12]}),
            }
            for name, there in networks.items()
        },
    }


class DockerLab(Lab):
    """Three containers, of which some are picked."""

    host: ClassVar[dict[str, Any]] = {}
    picks: ClassVar[Any] = "one"
    keeps_address: ClassVar[bool] = True
    """Whether a person chose their addresses; those that Docker chose change when they restart."""

    def build(self, cleanup: contextlib.ExitStack) -> None:
        self.engine = docker_engine()
        self.directory = directory_of_ours(cleanup)
        cleanup.callback(self._end_switches)
        point_at(self.engine, cleanup)
        key = repr((self.host, self.keeps_address))
        if key not in _shops:
            _shops[key] = Shop(self.engine, keeps_address=self.keeps_address, **self.host)
        self.shop = _shops[key].whole()
        self.calls: set[str] = set()
        before, life.LATER = life.LATER, 0.2  # this engine is quick
        cleanup.callback(setattr, life, "LATER", before)

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"project": PROJECT, "service": self.shop.service, "pick": self.picks}}

    def snapshot(self) -> JSON:
        return {
            "containers": self.shop.looks(),
            "marks": self.engine.marks(),
            "notes": len(list(self.directory.iterdir())),
            "held": any(self._ours(pid) for pid in with_word("hold")),
        }

    def _end_switches(self) -> None:
        """Those that a broken promise left: their engine may be gone before they are."""
        for pid in with_word("hold"):
            if self._ours(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def _ours(self, pid: int) -> bool:
        return procfs.variable(pid, VARIABLE) == str(self.directory)

    def __enter__(self) -> Self:
        super().__enter__()
        self.client.observers.append(self._called)
        return self

    def _called(self, method: str, path: str) -> None:
        if not in_a_sweep(marks.find):
            self.calls.add(_template(method, path))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        declared = {permission.action for permission in self.kind().permissions}
        if kind is None and (undeclared := self.calls - declared):
            raise BrokenPromise(f"{self.fault} calls what it does not declare: {undeclared}")


def _template(method: str, path: str) -> str:
    """A call as permissions name it."""
    return f"{method} {_IDS.sub(lambda found: f'/{found[1]}/{{id}}', path)}"


_SLOWEST = ("a_failure_at_any_call_can_be_reverted",)
"""What KillLab and DisconnectLab are held to each time, and the others by `make docker`."""
_AGAIN = (*_SLOWEST, "reverting_twice_is_once", "injecting_twice_is_once", "a_sweep_finds_it")


class FarLab(DockerLab):
    """The engine as if it were on another machine: reached by TCP."""

    slow = _AGAIN
    ends_by_runner = True

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        self.far = forwarded(self.engine, cleanup)

    def arguments(self) -> dict[str, JSON]:
        return self.from_afar(super().arguments())

    def from_afar(self, written: dict[str, JSON]) -> dict[str, JSON]:
        return {**written, "target": {**written["target"], "engine": self.far}}


def forwarded(engine: DockerEngine, cleanup: contextlib.ExitStack) -> str:
    """The address of a TCP port that leads to the engine."""
    door = cleanup.enter_context(socket.create_server(("127.0.0.1", 0)))
    cleanup.callback(lambda: door.shutdown(socket.SHUT_RDWR))
    threading.Thread(target=_forward, args=(door, engine.path), daemon=True).start()
    return f"tcp://127.0.0.1:{door.getsockname()[1]}"


def _forward(door: socket.socket, path: str) -> None:
    with contextlib.suppress(OSError):  # closed: the lab is over
        while True:
            near = door.accept()[0]
            far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            far.connect(path)
            open_ends = [near, far]
            for ends in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(*ends, open_ends), daemon=True).start()


def _pump(out: socket.socket, into: socket.socket, open_ends: list[socket.socket]) -> None:
    with contextlib.suppress(OSError):
        while part := out.recv(65536):
            into.sendall(part)
        into.shutdown(socket.SHUT_WR)
    open_ends.pop()
    if not open_ends:  # the last one closes both
        out.close()
        into.close()


class KillLab(DockerLab):
    """Nobody starts them again, but the revert."""

    fault = "docker.kill"


class KillHealedLab(KillLab):
    """Their restart policy starts them again."""

    slow = _SLOWEST
    host: ClassVar[dict[str, Any]] = {"RestartPolicy": {"Name": "always"}}

    def arguments(self) -> dict[str, JSON]:
        return {**super().arguments(), "with": {"within": "400ms"}}


class KillByEngineLab(FarLab):
    """By `docker kill`, which no restart policy answers."""

    fault = "docker.kill"
    ends_by_runner = False  # it never was anybody else
    host: ClassVar[dict[str, Any]] = {"RestartPolicy": {"Name": "always"}}


class StopLab(DockerLab):
    fault = "docker.stop"
    slow = _SLOWEST


class StopFarLab(FarLab):
    fault = "docker.stop"

    def arguments(self) -> dict[str, JSON]:
        return {**super().arguments(), "with": {"grace": "0s"}}


class PauseLab(DockerLab):
    fault = "docker.pause"
    slow = _SLOWEST
    picks = 2


class PauseFarLab(FarLab):
    fault = "docker.pause"


class RestartLab(DockerLab):
    fault = "docker.restart"
    slow = _SLOWEST

    def arguments(self) -> dict[str, JSON]:
        return {**super().arguments(), "with": {"grace": "0s"}}


class DisconnectLab(DockerLab):
    fault = "docker.network-disconnect"
    keeps_address = False
    picks = 2


class DisconnectFarLab(FarLab):
    fault = "docker.network-disconnect"


class RemoveLab(DockerLab):
    fault = "docker.remove"
    found_by_sweep = False  # nothing is left to bear a mark


_THE_SAME_CODE = (
    "a_failure_at_any_call_can_be_reverted", "another_process_can_revert",
    "reverting_twice_is_once", "a_sweep_finds_it", "injecting_twice_is_once",
    "it_ends_though_the_runner_is_killed",
)  # fmt: skip
"""Promises that all faults inside of containers keep, or break, by the same lines: PartitionLab is
held to them each time, and the others by `make docker`."""


class WithinLab(DockerLab):
    """What is done inside of containers, by whom and to whom nothing of them is changed."""

    slow: ClassVar[tuple[str, ...]] = _THE_SAME_CODE
    expires_after = 4.0
    with_: ClassVar[dict[str, JSON]] = {}
    target_with: ClassVar[dict[str, JSON]] = {}
    host: ClassVar[dict[str, Any]] = {
        "PidsLimit": 60, "Memory": 96 * MIB, "Tmpfs": {"/full": "size=24m"},
        "Ulimits": [{"Name": "nofile", "Soft": 512, "Hard": 1024}],
    }  # fmt: skip

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        need_root()

    def arguments(self) -> dict[str, JSON]:
        written = super().arguments()
        return {"target": {**written["target"], **self.target_with}, "with": self.with_}

    def snapshot(self) -> JSON:
        return {**super().snapshot(), "inside": [self.inside(each) for each in self.shop.ids]}

    def inside(self, container: str) -> JSON:
        """How that container is from inside."""
        return sorted(self.engine.children(container))


class NetworkInside(WithinLab):
    """Rules and disciplines of its network namespace."""

    def inside(self, container: str) -> JSON:
        return network_of(self.engine.pid(container))


class NetworkLab(NetworkInside):
    fault = "docker.network"
    with_ = {"loss": "30%"}


class DelayLab(NetworkInside):
    """By netem or, where the kernel has none, a TUN device."""

    fault = "docker.network"
    with_ = {"delay": "30ms", "peers": ["web"]}
    picks = 2


class PartitionLab(NetworkInside):
    fault = "docker.partition"
    slow = ()
    with_ = {"peers": ["web"]}


class RedirectLab(NetworkInside):
    """Traffic is brought to us."""

    def took_effect(self, hold: Hold) -> Evidence:
        look = super().took_effect
        return looked_at(lambda: look(hold), lambda seen: seen.seen, self._tables)

    def _tables(self) -> bool:
        return any("table inet chaosrun_" in str(self.inside(each)) for each in self.shop.ids)


class DnsLab(RedirectLab):
    fault = "docker.dns"
    with_ = {"names": ["web"], "answer": "nxdomain"}


class HttpLab(RedirectLab):
    fault = "docker.http"
    with_ = {"status": 503}
    target_with = {"ports": [8000]}


class CpuLab(WithinLab):
    fault = "docker.cpu"
    with_ = {"load": "10%", "cores": 1, "mechanism": "worker"}


class MemoryLab(WithinLab):
    fault = "docker.memory"
    with_ = {"size": "20Mi", "mechanism": "worker"}


class IoLab(WithinLab):
    fault = "docker.io"
    with_ = {"directory": "/var", "size": "1Mi", "mechanism": "worker"}


class DiskFillLab(WithinLab):
    fault = "docker.disk-fill"
    with_ = {"directory": "/full", "size": "4Mi", "leave": "16Mi"}


class PidsLab(WithinLab):
    fault = "docker.pids"
    with_ = {"count": 20}


class FdLab(WithinLab):
    fault = "docker.fd"
    with_ = {"leave": 2}

    def inside(self, container: str) -> JSON:
        return [resource.prlimit(self.engine.pid(container), resource.RLIMIT_NOFILE)]


def network_of(pid: int) -> JSON:
    """The rules and disciplines in a process's network namespace, without what counts up."""
    there = ["nsenter", f"--net=/proc/{pid}/ns/net"]
    commands = {
        "rules": ["nft", "-s", "list", "ruleset"],
        "disciplines": ["tc", "qdisc", "show"],
        "interfaces": ["ip", "-o", "-br", "link"],
        "routes": ["ip", "rule"],
    }
    return {
        name: [
            line.split(" expires")[0].split(" timeout")[0]
            for line in subprocess.run(
                [*there, *words], capture_output=True, text=True, check=True, timeout=10
            ).stdout.splitlines()
        ]
        for name, words in commands.items()
    }


def need_root() -> None:
    """Skip where no namespace of a container can be joined."""
    missing = [name for name in ("nft", "tc", "nsenter") if not shutil.which(name)]
    if os.geteuid() or missing:
        pytest.skip("needs root and: apt-get install nftables iproute2")


LABS: list[type[Lab]] = [
    CpuLab, DelayLab, DisconnectFarLab, DisconnectLab, DiskFillLab, DnsLab, FdLab, HttpLab, IoLab,
    KillByEngineLab, KillHealedLab, KillLab, MemoryLab, NetworkLab, PartitionLab, PauseFarLab,
    PauseLab, PidsLab, RemoveLab, RestartLab, StopFarLab, StopLab,
]  # fmt: skip
