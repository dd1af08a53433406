"""This machine, a namespace or a process no longer reaches chosen peers, nor they it."""

from __future__ import annotations

import random
from typing import ClassVar, Literal

from chaosrun.errors import Refused
from chaosrun.fault import Hold, Permission
from chaosrun.mechanisms import partition as mechanism
from chaosrun.mechanisms.asked.packets import Cut
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held
from chaosrun.providers.host.network_place import PERMISSIONS
from chaosrun.providers.host.network_target import Spot, target_of
from chaosrun.units import JSON


class Partition(Held, Cut, frozen=True, kw_only=True):
    """Cut the traffic with chosen peers: nothing passes in either direction, or in one.

    nftables drops it, in a table of ours in which the peers have the kernel's own timeout: the
    partition ends at its deadline though every process of chaosrun was killed. Open connections
    are cut too. Loopback is cut only when one of its addresses is named.
    """

    name: ClassVar[str] = "host.partition"
    permissions: ClassVar[tuple[Permission, ...]] = PERMISSIONS
    example: ClassVar[dict[str, JSON]] = {
        "with": {"peers": ["10.0.0.7", "10.2.0.0/16"], "ports": [5432]},
    }

    target: Spot = Spot()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.peers or self.ports or self.local_ports or self.target.interface):
            raise ValueError("say what is cut: peers, ports, localPorts, or target.interface")

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        traffic = self.traffic(client)
        inside, used = self.target.found(client)
        interface = ""
        if self.target.interface:
            interface = self.target.interface_in(inside, client, traffic.peers)
        offers = client.offers()
        if "nftables" not in offers.works:
            raise Refused(
                f"a partition takes nftables, and this kernel offers {offers}",
                hint=offers.hint
                or "load the module nf_tables, or use host.network with loss: 100%",
            )
        how: Literal["reject", "drop"] = "reject" if self.refuse else "drop"
        return self.held(
            client,
            mechanism.Partition(traffic=traffic, how=how, interface=interface),
            target=target_of("partition", inside, interface, client),
            effect=f"{traffic}: {'refused' if self.refuse else 'nothing passes'}",
            way_back="the kernel ends it at the deadline by its own timeout, or chaosrun before it",
            mechanism="nftables, with the kernel's own timeout",
            inside=inside,
            used=used,
        )
