"""The probes `kubernetes.workload` and `kubernetes.recovered`: is it whole, and how soon."""

from __future__ import annotations

import time
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.probe import Probe
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.require import require
from chaosrun.providers.kubernetes.watching import single
from chaosrun.providers.kubernetes.workloads import Named, look
from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration


class WorkloadState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a workload is."""

    exists: Annotated[bool, Meta(description="Whether there is one of that name")]
    desired: Annotated[int, Meta(description="How many pods it wants")]
    ready: Annotated[int, Meta(description="How many of them are ready")]
    updated: Annotated[int, Meta(description="How many are of the newest revision")]
    whole: Annotated[
        bool, Meta(description="Whether all it wants are ready and of the newest revision")
    ]


class WorkloadProbe(Named, Probe[Kubernetes, WorkloadState], frozen=True, kw_only=True):
    """Looks at a Deployment, StatefulSet, DaemonSet or ReplicaSet, by its own status."""

    name: ClassVar[str] = "kubernetes.workload"
    Result = WorkloadState
    example: ClassVar[dict[str, JSON]] = {
        "with": {"namespace": "shop", "name": "checkout"},
        "expect": "ready >= 2",
    }

    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(10)

    def needs(self) -> tuple[Permission, ...]:
        return self.rights("get")

    def observe(self, client: Kubernetes) -> WorkloadState:
        state = look(client, client.settle(self.access()), self.ref())
        if state is None:
            return WorkloadState(exists=False, desired=0, ready=0, updated=0, whole=False)
        return WorkloadState(
            exists=True,
            desired=state.desired,
            ready=state.ready,
            updated=state.updated,
            whole=state.whole,
        )


class Recovery(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Whether and how soon a workload was whole."""

    recovered: Annotated[bool, Meta(description="Whether it was whole within the time")]
    took: Annotated[Duration, Meta(description="How long that took, as seen from here")]
    ready: Annotated[int, Meta(description="How many pods were ready in the end")]


class RecoveredProbe(Named, Probe[Kubernetes, Recovery], frozen=True, kw_only=True):
    """Waits until a workload is whole, and says how long that took: at once, if it is whole.

    Use it in the steady state with `within` as the recovery that is asked for; `recoverWithin`
    of the experiment must be longer.
    """

    name: ClassVar[str] = "kubernetes.recovered"
    Result = Recovery
    example: ClassVar[dict[str, JSON]] = {
        "with": {"namespace": "shop", "name": "checkout", "within": "30s"},
        "expect": "recovered",
    }

    within: Annotated[Duration, Meta(description="How long it may take to become whole")]

    def needs(self) -> tuple[Permission, ...]:
        return self.rights("get", "list", "watch")

    @property
    def time_needed(self) -> Duration:
        return Duration(self.within.seconds + 10)

    def observe(self, client: Kubernetes) -> Recovery:
        began = time.monotonic()
        access, ref = client.settle(self.access()), self.ref()
        require(client, access, self.needs())  # else it would be missed only once it is needed
        ready, since = 0, 0.0

        def whole(now: Kubernetes) -> bool:
            nonlocal ready, since
            state = look(now, access, ref)
            ready = state.ready if state is not None else 0
            good = state is not None and state.whole
            since = (since or time.monotonic()) if good else 0.0
            return good

        recovered = client.comes(whole, self.within.seconds, [single(access, ref)])
        took = (since if recovered else time.monotonic()) - began
        return Recovery(recovered=recovered, took=Duration(took), ready=ready)
