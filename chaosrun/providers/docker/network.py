"""The network of containers becomes bad."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.mechanisms.asked.packets import Impaired
from chaosrun.mechanisms.choosing import NAMES, choose, harm_by
from chaosrun.mechanisms.inside import Inside
from chaosrun.providers.docker import within
from chaosrun.providers.docker.client import Docker
from chaosrun.providers.docker.containers import Container, Containers
from chaosrun.units import JSON

Interface = Annotated[
    str,
    Meta(
        description="Its interface; without it the one that leads to the peers, or out",
        examples=["eth0"],
    ),
]


class Network(within.Within, Impaired, frozen=True, kw_only=True):
    """Delay, lose, duplicate, corrupt, reorder or slow down packets of containers.

    It is done in the container's network namespace, from outside: the image needs no program for
    it, and the container no rights. `peers` may be names of its neighbours: containers, services
    or aliases on its networks. The mechanism is netem where the kernel has it; else nftables for
    loss, a token bucket for a rate, and a TUN device for the rest. The plan says which.
    """

    name: ClassVar[str] = "docker.network"
    permissions: ClassVar[tuple[Permission, ...]] = (*within.IN_NETWORK, within.NET_RAW)
    example: ClassVar[dict[str, JSON]] = {
        "target": {"project": "shop", "service": "web", "pick": "one"},
        "with": {"delay": "200ms", "jitter": "20ms", "peers": ["store"]},
    }

    target: Containers
    interface: Interface = ""

    def part(self, at: within.At) -> within.Part:
        traffic, impairment = (
            self.traffic(within.Names(at.client, at.engine, at.now)),
            self.impairment(),
        )
        interface = interface_of(self.interface, at.now, at.inside, traffic.peers, at.client)
        offers = at.client.offers()
        mechanism = choose(self.mechanism, offers, interface, impairment, traffic)
        remake: tuple[str, ...] = ()
        if mechanism in ("netem", "tbf") and self.direction != "in":
            there = at.client.root_qdisc(interface, at.inside)
            if there and not self.force:
                raise Refused(
                    f"{interface} of {at.now.name} has the root qdisc {there}, which is somebody's",
                    hint="force: true takes its place and makes it again afterwards",
                )
            remake = at.client.remaking(interface, at.inside) if there else ()
        harm = harm_by(
            mechanism, offers, interface, impairment, traffic, remake=remake,
            ingress_was=at.client.has_ingress(interface, at.inside),
            filtered=at.client.filters_coming_in(interface, at.inside),
        )  # fmt: skip
        raw = (within.NET_RAW,) if mechanism == "tun" else ()
        return within.Part(
            harm=harm,
            effect=f"{traffic}: {impairment}",
            mechanism=f"{NAMES[mechanism]}, in the container's network namespace",
            used=(*within.IN_NETWORK, *raw),
        )


def interface_of(
    asked: str, now: Container, inside: Inside, peers: tuple[str, ...], client: Docker
) -> str:
    """The interface, checked. Raises Refused."""
    if not asked:
        return client.usual_interface(inside, peers)
    there = sorted(client.interfaces(inside))
    if asked not in there:
        raise Refused(
            f"container {now.name} has no interface {asked}", hint=f"it has {', '.join(there)}"
        )
    return asked
