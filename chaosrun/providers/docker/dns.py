"""Containers look names up in vain, wrongly or slowly."""

from __future__ import annotations

from typing import ClassVar

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.mechanisms.asked.lookups import Lookups
from chaosrun.providers.docker import within
from chaosrun.providers.docker.containers import Containers
from chaosrun.units import JSON


class Dns(within.Within, Lookups, frozen=True, kw_only=True):
    """Answer lookups of chosen names wrongly, late or not at all, in containers only.

    Names of other containers too: what is asked of Docker's own name server is brought to a
    resolver of ours in the container's network namespace, which passes on all that is not meant.
    What a program keeps of earlier lookups, and /etc/hosts, are not touched. When our resolver is
    gone, lookups go their own way again within two seconds.
    """

    name: ClassVar[str] = "docker.dns"
    permissions: ClassVar[tuple[Permission, ...]] = within.IN_NETWORK
    example: ClassVar[dict[str, JSON]] = {
        "target": {"project": "shop", "service": "web", "pick": "one"},
        "with": {"names": ["store"], "answer": "nxdomain"},
    }

    target: Containers

    def part(self, at: within.At) -> within.Part:
        servers = self.servers or tuple(
            at.client.name_servers(f"/proc/{at.now.pid}/root/etc/resolv.conf")
        )
        if not servers:
            raise Refused(
                f"/etc/resolv.conf of {at.now.name} names no name server",
                hint="say which ones: servers: [10.0.0.2]",
            )
        harm = self.harm(servers)
        return within.Part(
            harm=harm,
            effect=self.in_words(harm),
            mechanism=f"nftables redirect of port 53 of {', '.join(servers)}, in the container's "
            "network namespace",
            used=within.IN_NETWORK,
        )
