"""The probes `docker.container` and `docker.containers`: how one is, and how many are well."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.probe import Probe
from chaosrun.providers.docker.client import Docker
from chaosrun.providers.docker.containers import OnEngine, Some, inspected
from chaosrun.units import JSON, Duration

_Timeout = Annotated[Duration, Meta(description="How long it may take")]


class ContainerState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a container is."""

    state: Annotated[
        str, Meta(description="running, paused, restarting, exited, created, dead, or missing")
    ]
    running: Annotated[bool, Meta(description="Whether it runs and is not paused")]
    health: Annotated[
        str, Meta(description="healthy, unhealthy or starting; empty without a health check")
    ]
    restarts: Annotated[
        int, Meta(description="How often its restart policy started it since a person did")
    ]
    exit_code: Annotated[int, Meta(description="Of its last end; 0 while it never ended")]
    out_of_memory: Annotated[bool, Meta(description="Whether the kernel ended it for its memory")]
    started: Annotated[str, Meta(description="When it started, in UTC; empty when missing")]


class ContainerProbe(OnEngine, Probe[Docker, ContainerState], frozen=True, kw_only=True):
    """Looks how one container is."""

    name: ClassVar[str] = "docker.container"
    Result = ContainerState
    example: ClassVar[dict[str, JSON]] = {
        "with": {"container": "shop-store-1"},
        "expect": 'running && health == "healthy"',
    }

    container: Annotated[str, Meta(description="Its name or id", min_length=1)]
    timeout: _Timeout = Duration(5)

    def observe(self, client: Docker) -> ContainerState:
        now = inspected(client, client.engine(self.engine), self.container)
        if now is None:
            return ContainerState(
                state="missing", running=False, health="", restarts=0, exit_code=0,
                out_of_memory=False, started="",
            )  # fmt: skip
        return ContainerState(
            state=now.state,
            running=now.runs and not now.paused,
            health=now.health,
            restarts=now.restarts,
            exit_code=now.exit_code,
            out_of_memory=now.out_of_memory,
            started=now.started,
        )


class Counts(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How many containers are how."""

    total: Annotated[int, Meta(description="How many there are, in whatever state")]
    running: Annotated[int, Meta(description="How many run and are not paused")]
    healthy: Annotated[
        int, Meta(description="How many run and are healthy, or have no health check")
    ]
    unhealthy: Annotated[int, Meta(description="How many run and are unhealthy")]
    states: Annotated[dict[str, int], Meta(description="How many are in each state")]


class ContainersProbe(Some, Probe[Docker, Counts], frozen=True, kw_only=True):
    """Counts containers by how they are."""

    name: ClassVar[str] = "docker.containers"
    Result = Counts
    example: ClassVar[dict[str, JSON]] = {
        "with": {"project": "shop", "service": "web"},
        "expect": "healthy >= 2",
    }

    timeout: _Timeout = Duration(5)

    def observe(self, client: Docker) -> Counts:
        found = self.matching(client, client.engine(self.engine))
        running = [each for each in found if each.state == "running"]
        states = [each.state for each in found]
        return Counts(
            total=len(found),
            running=len(running),
            healthy=len([each for each in running if each.health in ("", "healthy")]),
            unhealthy=len([each for each in running if each.health == "unhealthy"]),
            states={state: states.count(state) for state in sorted(set(states))},
        )
