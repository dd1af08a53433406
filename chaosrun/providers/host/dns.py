"""Names are looked up in vain, wrongly or slowly, as when a name server is sick."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.errors import Refused
from chaosrun.fault import Hold, Permission
from chaosrun.mechanisms.asked.lookups import Lookups
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held, machine_target
from chaosrun.providers.host.network_place import PERMISSIONS, NetworkPlace
from chaosrun.units import JSON


class Dns(Held, Lookups, frozen=True, kw_only=True):
    """Answer lookups of chosen names wrongly, late or not at all; all others as always.

    Lookups to port 53 of the place's name servers, by UDP and TCP, are brought to a resolver of
    ours, which asks the real one for all that is not meant. What was looked up before stays in
    caches of programs for as long as they like. Encrypted lookups (DoT, DoH) are not touched, and
    lookups in /etc/hosts never ask anybody. When our resolver is gone, however that came, lookups
    go their own way again within two seconds.
    """

    name: ClassVar[str] = "host.dns"
    permissions: ClassVar[tuple[Permission, ...]] = PERMISSIONS
    example: ClassVar[dict[str, JSON]] = {
        "with": {"names": ["db.shop.example", "*.cache.example"], "answer": "nxdomain"}
    }

    target: NetworkPlace = NetworkPlace()

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        inside, used = self.target.found(client)
        servers = self.servers or self._servers(client, self.target.resolv_conf(client, inside))
        harm = self.harm(servers)
        return self.held(
            client,
            harm,
            target=machine_target(
                "lookups", client, f"lookups of {self.target}", inside.network or "here"
            ),
            inside=inside,
            effect=self.in_words(harm),
            way_back="lookups are no longer brought to our resolver, and it ends",
            mechanism=f"nftables redirect of port 53 of {', '.join(servers)}",
            used=used,
        )

    @staticmethod
    def _servers(client: Host, files: list[str]) -> tuple[str, ...]:
        found = dict.fromkeys(each for path in files for each in client.name_servers(path))
        if not found:
            raise Refused(
                f"{files[0]} names no name server", hint="say which ones: servers: [10.0.0.2]"
            )
        return tuple(found)
