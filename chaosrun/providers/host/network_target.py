"""Where in the network a fault is, and which packets it means, as a person writes it.

Law (L4): names of hosts become addresses when it is planned, and those are what is harmed. One of
our own addresses is never taken for a peer's.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.mechanisms.inside import Inside
from chaosrun.mechanisms.traffic import Direction, Protocol, Traffic
from chaosrun.network import has_reference
from chaosrun.providers.host.client import Host
from chaosrun.targeting import Target
from chaosrun.units import JSON

Port = Annotated[int, Meta(ge=1, le=65535)]
NET_ADMIN = Permission("linux", "CAP_NET_ADMIN", "queueing disciplines, nftables, routes")
SYS_ADMIN = Permission("linux", "CAP_SYS_ADMIN", "other network namespaces")
NET_RAW = Permission("linux", "CAP_NET_RAW", "packets sent on by the TUN mechanism")


class Spot(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True,
    rename="camel",
):  # fmt: skip
    """A network interface: of this machine, or of the network namespace of somebody else."""

    interface: Annotated[
        str,
        Meta(
            description="The interface; without it the one that leads to the peers, or out",
            examples=["eth0"],
        ),
    ] = ""
    namespace: Annotated[
        str,
        Meta(
            description="A network namespace: a name of `ip netns`, or the path of its file",
            examples=["blue", "/run/netns/blue"],
        ),
    ] = ""
    pid: (
        Annotated[int, Meta(ge=1, description="A process whose network namespace it is")] | None
    ) = None
    process: Annotated[
        str, Meta(description="The name of a program; all that run are in one network namespace")
    ] = ""

    def __post_init__(self) -> None:
        if sum(map(bool, (self.namespace, self.pid, self.process))) > 1:
            raise ValueError("say one of namespace, pid and process")

    def inside(self, client: Host) -> Inside:
        """The namespace, found. Raises Refused."""
        if self.namespace:
            return client.found(Inside(net=self.namespace))
        if self.pid:
            return client.found(Inside(pid=self.pid))
        if not self.process:
            return client.found(Inside())
        found = [each for each in client.processes() if each.name == self.process]
        places = {
            each.network: each
            for each in (
                client.found(Inside(pid=each.pid)) for each in sorted(found, key=lambda p: -p.pid)
            )
        }
        if not places:
            raise Refused(f"no process has the name {self.process}")
        if len(places) > 1:
            raise Refused(
                f"the processes {self.process} are in {len(places)} network namespaces",
                hint="say which with pid",
            )
        return next(iter(places.values()))

    def interface_in(self, inside: Inside, client: Host, peers: tuple[str, ...]) -> str:
        """The interface, checked. Raises Refused."""
        if not self.interface:
            return client.usual_interface(inside, peers)
        there = sorted(client.interfaces(inside))
        if self.interface not in there:
            where = f" {inside}" if str(inside) else ""
            raise Refused(
                f"there is no interface {self.interface}{where}",
                hint=f"there are {', '.join(there)}",
            )
        return self.interface


class Packets(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True,
    rename="camel",
):  # fmt: skip
    """Which packets are meant. All that is given must be met; nothing given means all packets."""

    direction: Annotated[
        Direction,
        Meta(
            description="What goes out, what comes in, or both: then a question and its answer "
            "are harmed once each"
        ),
    ] = "out"
    peers: Annotated[
        tuple[str, ...],
        Meta(
            description="Addresses, CIDRs or host names of the other side; names are looked up "
            "when it is planned",
            examples=[["10.0.0.7", "10.2.0.0/16", "db.example"]],
        ),
    ] = ()
    ports: Annotated[
        tuple[Port, ...], Meta(description="Ports of the other side", examples=[[5432]])
    ] = ()
    local_ports: Annotated[
        tuple[Port, ...], Meta(description="Ports of this side", examples=[[8080]])
    ] = ()
    protocol: Annotated[Protocol, Meta(description="Which protocol")] = "any"

    def __post_init__(self) -> None:
        if (self.ports or self.local_ports) and self.protocol == "icmp":
            raise ValueError("icmp has no ports")
        for peer in self.peers:
            if not peer.strip():
                raise ValueError("a peer is an address, a CIDR or a host name, not nothing")
            if "/" in peer and not has_reference(peer):
                _network(peer)

    def traffic(self, client: Host) -> Traffic:
        """The packets, with addresses for names. Raises Refused and Transient."""
        found: set[str] = set()
        for peer in self.peers:
            literal = _network(peer) if "/" in peer else _address(peer)
            found |= {literal} if literal else {_exactly(a) for a in client.addresses(peer)}
        return Traffic(
            direction=self.direction, peers=tuple(sorted(found)), ports=self.ports,
            local_ports=self.local_ports, protocol=self.protocol,
        )  # fmt: skip


def target_of(
    kind: Literal["network", "partition"], inside: Inside, interface: str, client: Host
) -> Target:
    """An interface, or a whole network namespace, as a target."""
    place = client.place()
    where = f" {inside}" if str(inside) else ""
    return Target(
        kind=kind,
        id=f"{interface or '*'}.{inside.network}.{place.key}",
        name=f"{interface or 'all interfaces'}{where}",
        domain=place.node,
    )


def rights_for(inside: Inside, client: Host, *more: Permission) -> tuple[Permission, ...]:
    """The permissions that are needed there. Raises Refused when one is missing."""
    used: tuple[JSON, ...] = (NET_ADMIN, *(() if inside.is_here else (SYS_ADMIN,)), *more)
    client.require([permission.action for permission in used])
    return used


def _network(text: str) -> str:
    try:
        return str(ipaddress.ip_network(text))
    except ValueError as error:
        raise ValueError(f"{text!r} is not a CIDR such as 10.2.0.0/16: {error}") from None


def _address(text: str) -> str:
    """A literal address as a CIDR; empty for a name."""
    try:
        return _exactly(text)
    except ValueError:
        return ""


def _exactly(address: str) -> str:
    return str(ipaddress.ip_network(address.partition("%")[0]))
