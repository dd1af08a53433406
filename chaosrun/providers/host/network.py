"""The network of this machine, of a namespace or of a process becomes bad."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.errors import Refused
from chaosrun.fault import Hold, Permission
from chaosrun.mechanisms.asked.packets import Impaired
from chaosrun.mechanisms.choosing import NAMES, choose, harm_by
from chaosrun.mechanisms.inside import Inside
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held
from chaosrun.providers.host.network_place import PERMISSIONS
from chaosrun.providers.host.network_target import NET_RAW, Spot, target_of
from chaosrun.units import JSON


class Network(Held, Impaired, frozen=True, kw_only=True):
    """Delay, lose, duplicate, corrupt, reorder or slow down packets of a network interface.

    The mechanism is netem where the kernel has it; else nftables for loss, a token bucket for a
    rate, and a TUN device for the rest. `chaosrun doctor` and the plan say which. A process of its
    own holds it and takes it away at the deadline, also when chaosrun is gone. With TUN, only what
    this machine itself sends and receives is harmed, not what it forwards.
    """

    name: ClassVar[str] = "host.network"
    permissions: ClassVar[tuple[Permission, ...]] = (*PERMISSIONS, NET_RAW)
    example: ClassVar[dict[str, JSON]] = {
        "target": {"interface": "eth0"},
        "with": {"delay": "200ms", "jitter": "20ms", "peers": ["db.example"], "ports": [5432]},
    }

    target: Spot = Spot()

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        traffic, impairment = self.traffic(client), self.impairment()
        inside, used = self.target.found(client)
        interface = self.target.interface_in(inside, client, traffic.peers)
        offers = client.offers()
        mechanism = choose(self.mechanism, offers, interface, impairment, traffic)
        if mechanism == "tun":
            client.require([NET_RAW.action])
            used = (*used, NET_RAW)
        remake = self._remaking(mechanism, interface, inside, client)
        harm = harm_by(
            mechanism, offers, interface, impairment, traffic, remake=remake,
            ingress_was=client.has_ingress(interface, inside),
            filtered=client.filters_coming_in(interface, inside),
        )  # fmt: skip
        return self.held(
            client,
            harm,
            target=target_of("network", inside, interface, client),
            effect=f"{traffic}: {impairment}",
            way_back=_WAYS_BACK.get(mechanism, _HELD),
            mechanism=NAMES[mechanism],
            inside=inside,
            used=used,
        )

    def _remaking(
        self, mechanism: str, interface: str, inside: Inside, client: Host
    ) -> tuple[str, ...]:
        """How the root that is there is made again. Raises Refused when it must be left alone."""
        if mechanism not in ("netem", "tbf") or self.direction == "in":
            return ()
        there = client.root_qdisc(interface, inside)
        if there and not self.force:
            raise Refused(
                f"{interface} has the root qdisc {there}, which somebody put there",
                hint="force: true takes its place and makes it again afterwards",
            )
        return client.remaking(interface, inside) if there else ()


_HELD = "a process of its own takes it away at the deadline, or when chaosrun says so before"
_WAYS_BACK: dict[str, str] = {
    "nftables": "the kernel ends it at the deadline by its own timeout, or chaosrun before it",
    "tun": f"{_HELD}; when that process is killed its device goes with it",
}
