"""HTTP requests of containers, or to them, wait, fail or break off."""

from __future__ import annotations

from typing import ClassVar

from chaosrun.fault import Permission
from chaosrun.mechanisms.asked.requests import (
    Addresses,
    HarmedRequests,
    Ports,
    Side,
    check_addresses,
)
from chaosrun.providers.docker import within
from chaosrun.providers.docker.containers import Containers
from chaosrun.units import JSON


class Calls(Containers, frozen=True, kw_only=True):
    """HTTP connections of containers, or to them."""

    ports: Ports
    direction: Side = "out"
    addresses: Addresses = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_addresses(self.addresses)


class Http(within.Within, HarmedRequests, frozen=True, kw_only=True):
    """Delay, fail or break off HTTP requests of containers or to them, by Envoy's fault filter.

    New connections to these ports are brought to an Envoy of ours by nftables, in the container's
    network namespace; it passes on all that is not meant. Only plain HTTP may run on these ports.
    Connections that are open keep their way. When Envoy is gone, however that came, new connections
    go their own way within two seconds.
    """

    name: ClassVar[str] = "docker.http"
    permissions: ClassVar[tuple[Permission, ...]] = within.IN_NETWORK
    example: ClassVar[dict[str, JSON]] = {
        "target": {"project": "shop", "service": "web", "pick": "one", "ports": [8000]},
        "with": {"paths": ["/stock*"], "share": "50%", "status": 503},
    }

    target: Calls

    def part(self, at: within.At) -> within.Part:
        meant = self.target
        harm = self.harm(at.client.envoy(), meant.ports, meant.direction, meant.addresses)
        ports = ", ".join(map(str, harm.ports))
        return within.Part(
            harm=harm,
            effect=self.in_words(),
            mechanism=f"Envoy's fault filter, by nftables redirect of port {ports}, in the "
            "container's network namespace",
            used=within.IN_NETWORK,
        )
