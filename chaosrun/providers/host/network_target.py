"""A network interface, or a whole network namespace, as what is harmed."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.mechanisms.inside import Inside
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.network_place import NetworkPlace
from chaosrun.targeting import Target

NET_RAW = Permission("linux", "CAP_NET_RAW", "packets sent on by the TUN mechanism")


class Spot(NetworkPlace, frozen=True, kw_only=True):
    """A network interface: of this machine, or of the network namespace of somebody else."""

    interface: Annotated[
        str,
        Meta(
            description="The interface; without it the one that leads to the peers, or out",
            examples=["eth0"],
        ),
    ] = ""

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
