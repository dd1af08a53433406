"""HTTP requests wait, fail or break off, as when a service is sick, and no proxy must be put up."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.fault import Hold, Permission
from chaosrun.mechanisms.asked.requests import (
    Addresses,
    HarmedRequests,
    Ports,
    Side,
    check_addresses,
)
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held, machine_target
from chaosrun.providers.host.network_place import PERMISSIONS, NetworkPlace
from chaosrun.units import JSON


class Traffic(
    NetworkPlace,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """Connections of one place to TCP ports that speak HTTP without TLS."""

    ports: Ports
    direction: Side = "out"
    addresses: Addresses = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_addresses(self.addresses)


class Http(Held, HarmedRequests, frozen=True, kw_only=True):
    """Delay, fail or break off HTTP requests to chosen ports, by Envoy's fault filter.

    New connections to these ports are brought to an Envoy of ours by nftables; it passes on all
    that is not meant, to where it was going, from an address of this machine. Connections that are
    open are reset when something is sent on them, so that clients make new ones.
    Only plain HTTP (1.0, 1.1 and 2) may run on these ports: TLS would break. When Envoy is gone,
    however that came, new connections go their own way within two seconds.
    """

    name: ClassVar[str] = "host.http"
    permissions: ClassVar[tuple[Permission, ...]] = PERMISSIONS
    example: ClassVar[dict[str, JSON]] = {
        "target": {"ports": [8080]},
        "with": {"paths": ["/api/orders*"], "methods": ["POST"], "share": "20%", "status": 503},
    }

    target: Traffic

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        program = client.envoy()
        inside, used = self.target.found(client)
        meant = self.target
        harm = self.harm(program, meant.ports, meant.direction, meant.addresses)
        ports = ", ".join(map(str, harm.ports))
        return self.held(
            client,
            harm,
            targets=tuple(
                machine_target(
                    "http-port", client, f"port {port} of {self.target}",
                    f"{port}.{inside.network or 'here'}",
                )
                for port in harm.ports
            ),
            inside=inside,
            effect=self.in_words(),
            way_back="connections are no longer brought to Envoy, and it ends",
            mechanism=f"Envoy's fault filter, by nftables redirect of port {ports}",
            used=used,
        )  # fmt: skip
