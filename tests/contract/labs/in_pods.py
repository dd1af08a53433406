"""Worlds for what agents do inside of pods: a server, and a client that measures it.

All labs share the pods. What is seen is seen by programs in them: how a request of the client
fares, what a lookup in the server's pod gets, what its control group uses. So the same labs tell
the truth on any cluster.
"""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any, ClassVar

from chaosrun.fault import Hold
from chaosrun.providers.kubernetes.kinds import labels_of
from chaosrun.providers.kubernetes.marks import LABEL, key
from chaosrun.testing import PROMISES, Lab
from chaosrun.units import JSON
from tests.cluster.inside import make, one, point, python, whole
from tests.cluster.outside import Object, outside, until
from tests.cluster.programs import ADDRESS, ASK, LOOK_UP, USES
from tests.contract.cluster_lab import ClusterLab

PLACE = "lab-in-pods"


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

    def __init__(self, place: str = PLACE, server: str = "web", by: str = "") -> None:
        self._place, self.server, self.way = place, server, by or self.by
        self.through = ""
        """The kubeconfig by which it is planned and done; else the usual one."""

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        point(cleanup)
        self.place = self._place
        if (self.place, self.server) not in InPodsLab._there:
            make(self.place, self.server)
            InPodsLab._there.add((self.place, self.server))
        until(lambda: whole(self.place, self.server), f"{self.place} should be whole")
        self._leases: list[Hold] = []
        cleanup.callback(self._tidy)

    _there: ClassVar[set[tuple[str, str]]] = set()

    def _tidy(self) -> None:
        """What nobody reverted, as its runner was killed, has ended: its word goes, too."""
        core = f"/api/v1/namespaces/{self.place}/pods"
        for hold in self._leases:
            for pod in outside().items(core):
                if key(hold) in labels_of(pod):
                    gone = {"labels": {key(hold): None, LABEL: None}}
                    outside().patch(f"{core}/{pod['metadata']['name']}", {"metadata": gone})
                    if pod["metadata"]["name"].startswith("chaosrun-"):
                        outside().delete(f"{core}/{pod['metadata']['name']}")

    def made(self) -> None:
        """All of it is shared."""

    def whole(self) -> bool:
        return True

    def pod(self, app: str = "") -> Object:
        """The server's pod, or that of an application."""
        return one(self.place, app or self.server)

    def target(self) -> dict[str, JSON]:
        meant: dict[str, JSON] = {
            "namespace": self.place, "selector": f"app={self.server}", "pick": "one"
        }  # fmt: skip
        return {**meant, "kubeconfig": self.through} if self.through else meant

    def arguments(self) -> dict[str, JSON]:
        return {"target": self.target(), "with": {**self.given, "agent": {"by": self.way}}}

    def snapshot(self) -> JSON:
        return {"marks": self.marks(), "seen": self.seen()}

    def marks(self) -> JSON:
        """The marks of holds whose deadline is yet to come: who is killed takes back no mark."""
        there = labels_of(self.pod())
        now = time.time()
        return sorted(
            key(each) for each in self._leases if key(each) in there and each.deadline > now
        )

    def seen(self) -> JSON:
        """How the best of some requests of the client fares: its status, and whether it took long.

        A harm is one to each of them; a machine that is busy for a moment is not.
        """
        address, found = self.pod()["status"]["podIP"], []
        for _ in range(4):
            status, took = self.of("client", ASK, address, self.path)
            found.append([status != 200, took > 0.3, status])
            if found[-1] == [False, False, 200]:
                break
        _, late, status = min(found)
        return [status, late]

    def of(self, app: str, code: str, *words: str) -> Any:
        """What a program in the pod of that application says."""
        return python(self.place, self.pod(app)["metadata"]["name"], code, *words)

    def lease(self, *, seconds: float = 240.0) -> Hold:
        """Longer than the world may take to settle: an end by itself is not taken for a revert."""
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
    """A name server, the client, says that there is no such name; and tells the truth of others."""

    fault = "kubernetes.dns"

    def server_of_names(self) -> str:
        return str(self.pod("client")["status"]["podIP"])

    def arguments(self) -> dict[str, JSON]:
        given: dict[str, JSON] = {
            "names": ["shop.example"], "answer": "nxdomain", "servers": [self.server_of_names()],
            "agent": {"by": self.way},
        }  # fmt: skip
        return {"target": self.target(), "with": given}

    def seen(self) -> JSON:
        names = ("shop.example", "other.example")
        said = self.of(self.server, LOOK_UP, self.server_of_names(), *names)
        assert said[1] == ADDRESS, f"another name is harmed too: {said}"
        return list(said)


class HttpLab(InPodsLab):
    """The server answers 503."""

    fault = "kubernetes.http"

    def arguments(self) -> dict[str, JSON]:
        given: dict[str, JSON] = {"status": 503, "agent": {"by": self.way}}
        return {"target": {**self.target(), "ports": [8080]}, "with": given}


class PressLab(InPodsLab):
    """What the server's control group uses, and what lies in its directory."""

    by = "helper"

    def uses(self, times: int = 5, much: float = math.inf) -> Any:
        return self.of(self.server, USES, str(times), str(much))


class CpuLab(PressLab):
    """A processor is kept busy."""

    fault = "kubernetes.cpu"
    given: ClassVar[dict[str, JSON]] = {"cores": 2, "mechanism": "worker"}

    def seen(self) -> JSON:
        much = 0.15
        return bool(self.uses(30, much)[0] > much)


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
