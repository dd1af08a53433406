"""The probes `kubernetes.workload` and `kubernetes.recovered`: is it whole, and how soon."""

from __future__ import annotations

import time
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun import commands
from chaosrun.probe import Probe
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.workloads import Named, look
from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration

_LOOK_AGAIN = 0.25


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
        return self.rights("get")

    @property
    def time_needed(self) -> Duration:
        return Duration(self.within.seconds + 10)

    def observe(self, client: Kubernetes) -> Recovery:
        access = client.settle(self.access())
        began = time.monotonic()
        while True:
            state = look(client, access, self.ref())
            whole = state is not None and state.whole
            took = time.monotonic() - began
            cancellation = commands.current.get()
            stopped = cancellation is not None and cancellation.cancelled
            if whole or stopped or took >= self.within.seconds:
                ready = state.ready if state is not None else 0
                return Recovery(recovered=whole, took=Duration(took), ready=ready)
            time.sleep(min(_LOOK_AGAIN, max(0.0, self.within.seconds - took)))
