"""Containers no longer reach chosen peers, nor they them."""

from __future__ import annotations

from typing import ClassVar

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.mechanisms import partition as mechanism
from chaosrun.mechanisms.asked.packets import Cut
from chaosrun.providers.docker import within
from chaosrun.providers.docker.containers import Containers
from chaosrun.providers.docker.network import Interface, interface_of
from chaosrun.units import JSON


class Partition(within.Within, Cut, frozen=True, kw_only=True):
    """Cut the traffic of containers with chosen peers: in both directions, or in one.

    nftables drops it in the container's network namespace, in a table of ours in which the peers
    have the kernel's own timeout: it ends at its deadline though every process of chaosrun was
    killed. Unlike docker.network-disconnect the container keeps its address and its name, and
    calls wait instead of failing. `peers` may be names of its neighbours; without peers or ports
    it is cut off from everybody.
    """

    name: ClassVar[str] = "docker.partition"
    permissions: ClassVar[tuple[Permission, ...]] = within.IN_NETWORK
    example: ClassVar[dict[str, JSON]] = {
        "target": {"project": "shop", "service": "web", "pick": "one"},
        "with": {"peers": ["store"]},
    }

    target: Containers
    interface: Interface = ""

    def part(self, at: within.At) -> within.Part:
        traffic = self.traffic(within.Names(at.client, at.engine, at.now))
        interface = ""
        if self.interface:
            interface = interface_of(self.interface, at.now, at.inside, traffic.peers, at.client)
        offers = at.client.offers()
        if "nftables" not in offers.works:
            raise Refused(
                f"a partition takes nftables, and this kernel offers {offers}",
                hint=offers.hint or "load the module nf_tables, or use docker.network, loss: 100%",
            )
        return within.Part(
            harm=mechanism.Partition(
                traffic=traffic, how="reject" if self.refuse else "drop", interface=interface
            ),
            effect=f"{traffic}: {'refused' if self.refuse else 'nothing passes'}",
            mechanism="nftables, with the kernel's own timeout, in the container's namespace",
            used=within.IN_NETWORK,
        )
