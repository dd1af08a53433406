"""A real Docker engine for tests: the one that is there, or as root one of our own.

Our own has data, a socket, cgroups, a network namespace and a mount namespace of its own, so that
its bridges, rules and mounts end with it. A pair of veth and one route lead there. Nothing is
pulled: the image is made of busybox, and containers that need Python see this machine's files.
Seen from here through its API's own HTTP, and not through the library that chaosrun uses.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import http.client
import io
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest

IMAGE = "localhost/chaosrun-test:1"
LABEL = "dev.chaosrun.test"
_BUSYBOX = ("/bin/busybox", "/usr/bin/busybox")
_PROGRAMS = ("sh", "sleep", "cat", "true", "nc", "wget", "nslookup", "ip", "ping", "id", "dd", "df")
_STARTS_WITHIN = 30.0
_CGROUPS = Path("/sys/fs/cgroup")


class EngineError(AssertionError):
    """The engine said no."""

    def __init__(self, said: str, status: int) -> None:
        super().__init__(said)
        self.status = status


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class DockerEngine:
    """An engine, and all that tests make on it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.session = uuid.uuid4().hex[:8]

    @property
    def url(self) -> str:
        return f"unix://{self.path}"

    def ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        """One call; its JSON. Raises EngineError."""
        answer = self.raw(method, path, body, **query)
        return json.loads(answer) if answer.strip() else None

    def raw(self, method: str, path: str, body: Any = None, **query: Any) -> bytes:
        connection = _Connection(self.path)
        with contextlib.closing(connection):
            content, kind = body, "application/x-tar"
            if not isinstance(body, bytes):
                content, kind = json.dumps(body or {}).encode(), "application/json"
            url = path + (f"?{urlencode(query)}" if query else "")
            connection.request(method, url, content, {"Content-Type": kind})
            response = connection.getresponse()
            answer = response.read()
        if response.status >= 400:
            raise EngineError(f"{method} {path}: {answer.decode()}", response.status)
        return answer

    # What tests make

    def run(
        self,
        *command: str,
        name: str = "",
        labels: dict[str, str] | None = None,
        networks: dict[str, dict[str, Any]] | None = None,
        python: bool = False,
        binds: Sequence[str] = (),
        health: dict[str, Any] | None = None,
        **host: Any,
    ) -> str:
        """Start a container; its id. `networks` maps a name to an endpoint's configuration."""
        name = name or f"cr-{uuid.uuid4().hex[:12]}"
        first, *more = networks or {"": {}}
        endpoint = {first: (networks or {})[first]} if first else {}
        config = {
            "Image": IMAGE,
            "Cmd": list(command) or ["sleep", "3600"],
            "Labels": {LABEL: self.session, **(labels or {})},
            "StopSignal": "SIGKILL" if not python else "SIGTERM",
            "Healthcheck": health,
            "HostConfig": {
                "NetworkMode": first or "none",
                "CgroupParent": self.cgroups(),
                "Binds": [*(_python_files() if python else []), *binds],
                **host,
            },
            "NetworkingConfig": {"EndpointsConfig": endpoint},
        }
        made = self.ask("POST", "/containers/create", config, name=name)["Id"]
        for network in more:
            self.connect(network, made, (networks or {})[network])
        self.ask("POST", f"/containers/{made}/start")
        return str(made)

    def cgroups(self) -> str:
        return ""

    def connect(self, network: str, container: str, endpoint: dict[str, Any]) -> None:
        body = {"Container": container, "EndpointConfig": endpoint}
        self.ask("POST", f"/networks/{network}/connect", body)

    def network(self, name: str = "", subnet: str = "") -> str:
        """Make a network; its name."""
        name = name or f"cr-{uuid.uuid4().hex[:8]}"
        ipam = {"Config": [{"Subnet": subnet}]} if subnet else {}
        body = {"Name": name, "Labels": {LABEL: self.session}, "IPAM": ipam}
        self.ask("POST", "/networks/create", {**body, "CheckDuplicate": True})
        return name

    def subnet(self) -> str:
        """A subnet that no network has yet."""
        taken = {
            each["Subnet"]
            for network in self.ask("GET", "/networks")
            for each in network["IPAM"]["Config"] or ()
        }
        return next(net for net in self.subnets() if net not in taken)

    def subnets(self) -> list[str]:
        """Those that tests may take: nobody's real network (RFC 2544)."""
        return [f"198.18.77.{number}/28" for number in range(0, 256, 16)]

    def ids_with(self, label: str) -> list[str]:
        """Containers with that label, in whatever state, by name."""
        filters = json.dumps({"label": [label, f"{LABEL}={self.session}"]})
        found = self.ask("GET", "/containers/json", all="true", filters=filters)
        return [each["Id"] for each in sorted(found, key=lambda each: each["Names"])]

    def inspect(self, container: str) -> Any:
        return self.ask("GET", f"/containers/{container}/json")

    def pid(self, container: str) -> int:
        return int(self.inspect(container)["State"]["Pid"])

    def children(self, container: str) -> list[str]:
        """What runs in its control groups, by name."""
        found: set[str] = set()
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it ended
                if container in (path / "cgroup").read_text():
                    found.add((path / "comm").read_text().strip())
        return sorted(found)

    def remove(self, *containers: str) -> None:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(self._remove, containers))

    def _remove(self, container: str) -> None:
        with contextlib.suppress(EngineError):  # it is gone already
            self.raw("DELETE", f"/containers/{container}", force="true", v="true")

    def remove_network(self, name: str) -> None:
        with contextlib.suppress(EngineError):
            self.raw("DELETE", f"/networks/{name}")

    def execute(self, container: str, *command: str, check: bool = True) -> str:
        """What a command in a container writes."""
        body = {"Cmd": list(command), "AttachStdout": True, "AttachStderr": True, "Tty": True}
        made = self.ask("POST", f"/containers/{container}/exec", body)["Id"]
        said = self.raw("POST", f"/exec/{made}/start", {"Tty": True}).decode(errors="replace")
        code = self.ask("GET", f"/exec/{made}/json")["ExitCode"]
        if check and code:
            raise AssertionError(f"{' '.join(command)} ended with {code}: {said}")
        return said

    def marks(self) -> list[str]:
        """The volumes that faults leave as marks."""
        label = json.dumps({"label": ["dev.chaosrun.mark"]})
        found = self.ask("GET", "/volumes", filters=label)["Volumes"] or ()
        return sorted(each["Name"] for each in found)

    def prepare(self) -> None:
        """Have the image."""
        with contextlib.suppress(EngineError):
            self.ask("GET", f"/images/{quote(IMAGE, safe='')}/json")
            return
        self.raw(
            "POST", "/images/create", _image(), fromSrc="-", repo=IMAGE.rpartition(":")[0], tag="1"
        )

    def clean(self) -> None:
        """Remove all that this session made."""
        mine = json.dumps({"label": [f"{LABEL}={self.session}"]})
        found = self.ask("GET", "/containers/json", all="true", filters=mine)
        for each in found:  # one by one: at the end of Python no thread can be started
            self._remove(each["Id"])
        for each in self.ask("GET", "/networks", filters=mine):
            self.remove_network(each["Id"])

    def stop(self) -> None:
        self.clean()
        with contextlib.suppress(EngineError):
            self.raw("DELETE", f"/images/{quote(IMAGE, safe='')}", force="true")


_BEFORE = """
set -e
ip link set lo up
mkdir -p /etc/docker
mount -t tmpfs none /etc/docker # this machine's settings and its key are not ours
exec "$@"
"""


class OwnEngine(DockerEngine):
    """One that we started."""

    def __init__(self) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="crd-"))
        super().__init__(str(self._root / "sock"))
        self._veth = f"crd{self.session[:6]}"
        routes = subprocess.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
        free = [block for block in range(256) if f"198.18.{block}.0/24" not in routes]
        block = random.SystemRandom().choice(free)
        # 198.18.0.0/15 is for tests between networks (RFC 2544): nobody's real network.
        self._inside, self._near, self._far = (
            f"198.18.{block}.0/24", f"198.19.{block}.1", f"198.19.{block}.2",
        )  # fmt: skip
        self._daemon = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        words = [
            "unshare", "--net", "--mount", "--propagation", "private", "--",
            "sh", "-c", _BEFORE, "dockerd", "dockerd",
            "--data-root", str(self._root / "data"), "--exec-root", str(self._root / "exec"),
            "--pidfile", str(self._root / "pid"), "--host", self.url,
            "--iptables=false", "--ip6tables=false", "--userland-proxy=false",
            "--bridge", "none", "--default-address-pool", f"base={self._inside},size=28",
            "--cgroup-parent", self.cgroups(), "--log-level", "warn",
            "--max-concurrent-downloads", "1", "--shutdown-timeout", "5",
        ]  # fmt: skip
        with (self._root / "log").open("wb") as log:
            daemon = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                preexec_fn=_dies_with_us,
            )  # fmt: skip
        until = time.monotonic() + _STARTS_WITHIN
        while True:
            with contextlib.suppress(OSError, EngineError):
                self.ask("GET", "/version")
                break
            if daemon.poll() is not None or time.monotonic() > until:
                daemon.kill()
                said = (self._root / "log").read_text()[-2000:]
                raise AssertionError(f"dockerd does not start:\n{said}")
            time.sleep(0.02)
        self._join(daemon.pid)
        return daemon

    def _join(self, pid: int) -> None:
        """A way from this machine to the engine's networks."""
        far = f"{self._veth}p"
        _do("ip", "link", "add", self._veth, "type", "veth", "peer", "name", far, "netns", str(pid))
        _do("ip", "addr", "add", f"{self._near}/30", "dev", self._veth)
        _do("ip", "link", "set", self._veth, "up")
        inside = ("nsenter", f"--net=/proc/{pid}/ns/net", "ip")
        _do(*inside, "addr", "add", f"{self._far}/30", "dev", far)
        _do(*inside, "link", "set", far, "up")
        _do("ip", "route", "add", self._inside, "via", self._far)

    def cgroups(self) -> str:
        return f"/chaosrun-{self.session}"

    def subnets(self) -> list[str]:
        return [self._inside.replace(".0/24", f".{n}/28") for n in range(240, -1, -16)]

    def stop(self) -> None:
        with contextlib.suppress(EngineError, OSError):
            self.clean()
        self._daemon.send_signal(signal.SIGTERM)
        try:
            self._daemon.wait(60)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()
        subprocess.run(["ip", "link", "del", self._veth], stderr=subprocess.DEVNULL, check=False)
        until = time.monotonic() + 10
        while self._left() and time.monotonic() < until:  # what was killed takes a moment to go
            time.sleep(0.05)

    def _left(self) -> bool:
        """Remove our control groups and files; whether some are left."""
        found = [each / self.cgroups().lstrip("/") for each in (_CGROUPS, *_CGROUPS.iterdir())]
        for group in found:
            with contextlib.suppress(OSError):
                group.rmdir()
        shutil.rmtree(self._root, ignore_errors=True)
        return self._root.exists() or any(group.exists() for group in found)


@functools.cache
def docker_engine() -> DockerEngine:
    """An engine for this session; it ends with it. Skips the test by name where there is none."""
    found = _there() or _own()
    found.prepare()
    atexit.register(found.stop)
    return found


def _there() -> DockerEngine | None:
    """The engine that is there already."""
    url = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    if not url.startswith("unix://"):
        return None
    engine = DockerEngine(url.removeprefix("unix://"))
    try:
        engine.ask("GET", "/version")
    except (OSError, EngineError):
        return None
    return engine


def _own() -> DockerEngine:
    if os.geteuid():
        pytest.skip("needs a Docker engine that this user may use, or root to start one")
    needed = {
        "dockerd": "docker.io", "ip": "iproute2", "nsenter": "util-linux", "iptables": "iptables",
    }  # fmt: skip
    missing = sorted({package for program, package in needed.items() if not shutil.which(program)})
    if not any(map(os.path.exists, _BUSYBOX)):
        missing.append("busybox-static")
    if missing:
        pytest.skip(f"needs a Docker engine: apt-get install {' '.join(missing)}")
    trial = ["unshare", "--net", "--mount", "--propagation", "private", "true"]
    if subprocess.run(trial, capture_output=True, check=False).returncode:
        pytest.skip("needs a mount namespace, and this container may not make one")
    return OwnEngine()


@contextlib.contextmanager
def containers_of(engine: DockerEngine) -> Iterator[list[str]]:
    """A list: what is put into it is removed in the end."""
    made: list[str] = []
    try:
        yield made
    finally:
        engine.remove(*made)


def point_at(engine: DockerEngine, cleanup: contextlib.ExitStack) -> None:
    """Have this process, and those that it starts, use that engine."""
    before = os.environ.get("DOCKER_HOST")
    os.environ["DOCKER_HOST"] = engine.url
    if before is None:
        cleanup.callback(os.environ.pop, "DOCKER_HOST", None)
    else:
        cleanup.callback(os.environ.__setitem__, "DOCKER_HOST", before)


def _image() -> bytes:
    """A root directory of busybox, where this machine's /usr can be seen if it is mounted."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("bin", "etc", "tmp", "proc", "sys", "dev", "usr", "run", "opt", "var"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            tar.addfile(directory)
        busybox = next(path for path in _BUSYBOX if os.path.exists(path))
        tar.add(os.path.realpath(busybox), "bin/busybox")
        links = {f"bin/{name}": "busybox" for name in _PROGRAMS}
        for name in ("lib", "lib64"):
            links[name] = f"usr/{name}"
        for name, target in links.items():
            link = tarfile.TarInfo(name)
            link.type, link.linkname = tarfile.SYMTYPE, target
            tar.addfile(link)
    return buffer.getvalue()


def _python_files() -> list[str]:
    """What a container mounts to have this machine's Python, read-only."""
    roots = {"/usr", sys.base_prefix}
    kept = [root for root in roots if root == "/usr" or not root.startswith("/usr/")]
    return [f"{root}:{root}:ro" for root in sorted(kept)]


PYTHON = os.path.realpath(sys.executable)
"""The interpreter, as containers with `python=True` have it."""


def _do(*words: str) -> None:
    done = subprocess.run(words, capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"


def _dies_with_us() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM, 0, 0, 0)
