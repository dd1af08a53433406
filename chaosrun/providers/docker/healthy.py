"""The gate `docker.healthy`: enough containers are well before anything is harmed."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.gate import Gate, Measured
from chaosrun.providers.docker.client import Docker
from chaosrun.providers.docker.containers import Some
from chaosrun.units import JSON, Duration


class Healthy(Some, Gate[Docker], frozen=True, kw_only=True):
    """Opens while every container that matches runs and is not unhealthy or still starting.

    And at least so many of them do: an empty selection is closed.
    """

    name: ClassVar[str] = "docker.healthy"
    example: ClassVar[dict[str, JSON]] = {"project": "shop", "minimum": 3}

    minimum: Annotated[int, Meta(ge=1, le=100_000, description="How many there must be")] = 1
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(5)

    def measure(self, client: Docker) -> Measured:
        found = self.matching(client, client.engine(self.engine))
        ill = [
            f"{each.name} is {each.health if each.state == 'running' else each.state}"
            for each in found
            if each.state != "running" or each.health not in ("", "healthy")
        ]
        well = len(found) - len(ill)
        shown = ", ".join(ill[:5]) + (f" and {len(ill) - 5} more" if len(ill) > 5 else "")
        return Measured(
            open=not ill and well >= self.minimum,
            measured=f"{well} of {len(found)} are well" + (f"; {shown}" if ill else ""),
            rule=f"all are well, and at least {self.minimum}",
            hint="" if not ill and well >= self.minimum else "wait until they are, or start them",
        )
