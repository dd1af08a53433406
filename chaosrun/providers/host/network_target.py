"""Where in the network a fault is, and which packets it means, as a person writes it.

Law (L4): names of hosts become addresses when it is planned, and those are what is harmed. One of
our own addresses is never taken for a peer's.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.mechanisms.inside import Inside
from chaosrun.providers.host.client import Host
from chaosrun.targeting import Target
from chaosrun.units import JSON

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
