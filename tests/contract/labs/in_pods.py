"""Worlds for what agents do inside of pods: a server, and a client that measures it.

All labs share the pods. What is seen is seen by programs in them: how a request of the client
fares, what a lookup in the server's pod gets, what its control group uses. So the same labs tell
the truth on any cluster.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from typing import Any, ClassVar

from chaosrun.fault import Hold
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.agents import IMAGE
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import POD, Ref, annotations_of
from chaosrun.providers.kubernetes.marks import LABEL, key
from chaosrun.testing import PROMISES, Lab
from chaosrun.units import JSON
from tests.cluster import images
from tests.cluster.session import agent
from tests.contract.labs.kubernetes import (
    ClusterLab,
    Object,
    deployment,
    is_whole,
    namespace,
    outside,
    pods,
    until,
)

PLACE = "lab-in-pods"
NAME_SERVER = "10.79.0.253"
SERVER = """
import http.server
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b"x" * 100_000 if self.path == "/large" else b"fine"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("", 8080), H).serve_forever()
"""
ASK = """
import json, sys, time, urllib.error, urllib.request
began = time.monotonic()
try:
    with urllib.request.urlopen("http://" + sys.argv[1] + ":8080" + sys.argv[2], timeout=1) as got:
        got.read()
        status = got.status
except urllib.error.HTTPError as error:
    status = error.code
except OSError:
    status = 0
print(json.dumps([status, time.monotonic() - began]))
"""
LOOK_UP = """
import json, socket, sys
asked = b"\\1\\2\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0\\4shop\\7example\\0\\0\\1\\0\\1"
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
    sock.settimeout(0.3)
    try:
        sock.connect((sys.argv[1], 53))
        sock.send(asked)
        said = sock.recv(512)[3] & 15
    except OSError:
        said = "no answer"
print(json.dumps(said))
"""
USES = """
import json, pathlib, time
groups = pathlib.Path("/sys/fs/cgroup")
def used():
    if (groups / "cpu.stat").exists():
        return int((groups / "cpu.stat").read_text().split()[1]) / 1e6
    return int((groups / "cpuacct/cpuacct.usage").read_text()) / 1e9
def taken():
    new, old = groups / "memory.current", groups / "memory/memory.usage_in_bytes"
    return int((new if new.exists() else old).read_text())
before = used()
time.sleep(0.5)
files = sorted(path.name for path in pathlib.Path("/tmp").glob("chaosrun-*"))
print(json.dumps([used() - before, taken(), files]))
"""


def execute(place: str, pod: str, container: str, *words: str) -> Any:
    """What a program in a pod says, as JSON."""
    client = Kubernetes()
    try:
        return json.loads(client.execute(Access(), Ref(POD, pod, place), container, words, 20))
    finally:
        client.close()


def python(place: str, pod: str, code: str, *words: str) -> Any:
    return execute(place, pod, "main", "python3", "-c", code, *words)


def make(place: str) -> None:
    """The server and its clients."""
    namespace(place)
    serves = ["python3", "-c", SERVER]
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1}
    image = images.PYTHON
    deployment(place, "web", 1, image=image, command=serves, startupProbe=probe)
    deployment(place, "client", 2, image=image, command=["python3", "-c", SERVER])


def whole(place: str) -> bool:
    return is_whole(place, "web") and is_whole(place, "client")


def point(cleanup: contextlib.ExitStack) -> None:
    """Say which image the agent has."""
    before = os.environ.get(IMAGE)
    os.environ[IMAGE] = agent()
    if before is None:
        cleanup.callback(os.environ.pop, IMAGE, None)
    else:
        cleanup.callback(os.environ.__setitem__, IMAGE, before)


class InPodsLab(ClusterLab):
    """The server's pod is harmed, and the client sees it."""

    expires_after = 20.0
    late = 10.0
    by: ClassVar[str] = "auto"
    given: ClassVar[dict[str, JSON]] = {}
    path: ClassVar[str] = "/"
    # A container takes a second to start and the kubelet another one to see its end: what begins
    # and ends a fault again and again is for the long lane. Partitions are held to more of it.
    slow = tuple(
        each.__name__
        for each in PROMISES
        if each.__name__
        in (
            "injecting_twice_is_once",
            "reverting_twice_is_once",
            "a_failure_at_any_call_can_be_reverted",
            "another_process_can_revert",
            "it_ends_though_the_runner_is_killed",
            "a_sweep_finds_it",
        )
    )

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        point(cleanup)
        self.place = PLACE
        if PLACE not in ClusterLab._made:
            make(PLACE)
            ClusterLab._made.add(PLACE)
        until(lambda: whole(PLACE), f"{PLACE} should be whole")
        self._leases: list[Hold] = []
        cleanup.callback(self._tidy)

    def _tidy(self) -> None:
        """What nobody reverted, as its runner was killed, has ended: its word goes, too."""
        core = f"/api/v1/namespaces/{PLACE}/pods"
        for hold in self._leases:
            for pod in outside().items(core):
                if key(hold) in annotations_of(pod):
                    gone = {"annotations": {key(hold): None}, "labels": {LABEL: None}}
                    outside().patch(f"{core}/{pod['metadata']['name']}", {"metadata": gone})
                    if pod["metadata"]["name"].startswith("chaosrun-"):
                        outside().delete(f"{core}/{pod['metadata']['name']}")

    def made(self) -> None:
        """All of it is shared."""

    def whole(self) -> bool:
        return True

    def pod(self, app: str, number: int = 0) -> Object:
        return sorted(pods(PLACE, app), key=lambda one: str(one["metadata"]["name"]))[number]

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": PLACE, "selector": "app=web", "pick": "one"},
            "with": {**self.given, "agent": {"by": self.by}},
        }

    def snapshot(self) -> JSON:
        return {"marks": self.marks(), "seen": self.seen()}

    def marks(self) -> JSON:
        """The marks of holds whose deadline is yet to come: who is killed takes back no mark."""
        there = annotations_of(self.pod("web"))
        now = time.time()
        return sorted(
            key(each) for each in self._leases if key(each) in there and each.deadline > now
        )

    def seen(self) -> JSON:
        """How a request of the client fares: its status, and whether it took long."""
        client = self.pod("client")["metadata"]["name"]
        address = self.pod("web")["status"]["podIP"]
        status, took = python(PLACE, client, ASK, address, self.path)
        return [status, took > 0.3]

    def lease(self, *, seconds: float = 90.0) -> Hold:
        hold = super().lease(seconds=seconds)
        self._leases.append(hold)
        return hold


class PartitionLab(InPodsLab):
    """Nothing passes between server and client."""

    fault = "kubernetes.network-partition"
    slow: ClassVar[tuple[str, ...]] = (
        "a_failure_at_any_call_can_be_reverted",
        "reverting_twice_is_once",
    )
    given: ClassVar[dict[str, JSON]] = {"peerPods": "app=client"}


class HelperPartitionLab(PartitionLab):
    """The same by a helper pod."""

    by = "helper"
    slow = (*PartitionLab.slow, "injecting_twice_is_once", "another_process_can_revert")


class LatencyLab(InPodsLab):
    """What the server sends comes later."""

    fault = "kubernetes.network-latency"
    given: ClassVar[dict[str, JSON]] = {"delay": "300ms"}


class LossLab(InPodsLab):
    """All that the server sends is lost."""

    fault = "kubernetes.network-loss"
    given: ClassVar[dict[str, JSON]] = {"loss": "100%"}


class CorruptLab(InPodsLab):
    """All that the server sends is damaged."""

    fault = "kubernetes.network-corrupt"
    by = "helper"
    given: ClassVar[dict[str, JSON]] = {"corrupt": "100%"}


class RateLab(InPodsLab):
    """What the server sends comes slowly."""

    fault = "kubernetes.network-rate"
    path = "/large"
    given: ClassVar[dict[str, JSON]] = {"rate": "60Ki"}


class DnsLab(InPodsLab):
    """A name server that nobody answers for says that there is no such name."""

    fault = "kubernetes.dns"
    given: ClassVar[dict[str, JSON]] = {
        "names": ["shop.example"], "answer": "nxdomain", "servers": [NAME_SERVER],
    }  # fmt: skip

    def seen(self) -> JSON:
        said: JSON = python(PLACE, self.pod("web")["metadata"]["name"], LOOK_UP, NAME_SERVER)
        return said


class HttpLab(InPodsLab):
    """The server answers 503."""

    fault = "kubernetes.http"

    def arguments(self) -> dict[str, JSON]:
        target = {"namespace": PLACE, "selector": "app=web", "pick": "one", "ports": [8080]}
        return {"target": target, "with": {"status": 503}}


class PressLab(InPodsLab):
    """What the server's control group uses, and what lies in its directory."""

    by = "helper"

    def uses(self) -> Any:
        return python(PLACE, self.pod("web")["metadata"]["name"], USES)


class CpuLab(PressLab):
    """A processor is kept busy."""

    fault = "kubernetes.cpu"
    given: ClassVar[dict[str, JSON]] = {"cores": 2, "mechanism": "worker"}

    def seen(self) -> JSON:
        return bool(self.uses()[0] > 0.15)


class MemoryLab(PressLab):
    """Memory is taken."""

    fault = "kubernetes.memory"
    given: ClassVar[dict[str, JSON]] = {"size": "256Mi"}

    def seen(self) -> JSON:
        return bool(self.uses()[1] > 200 << 20)


class IoLab(PressLab):
    """A disk is busy."""

    fault = "kubernetes.io"
    given: ClassVar[dict[str, JSON]] = {"directory": "/tmp", "size": "2Mi"}

    def seen(self) -> JSON:
        return bool(self.uses()[2])


LABS: list[type[Lab]] = [
    PartitionLab,
    HelperPartitionLab,
    LatencyLab,
    LossLab,
    CorruptLab,
    RateLab,
    DnsLab,
    HttpLab,
    CpuLab,
    MemoryLab,
    IoLab,
]
