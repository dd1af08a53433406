"""The way to the networks of this machine: what planning their faults needs to see.

Law: reads only; what kernels can do is tried in a network namespace made for it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from chaosrun import network
from chaosrun.errors import Refused, Transient
from chaosrun.mechanisms import interfaces, kernel, queue, rights
from chaosrun.mechanisms.inside import Inside
from chaosrun.mechanisms.kernel import Offers

_NAMES_WITHIN = 5.0


class Networks:
    """Network interfaces of this machine and of other network namespaces. Part of the client."""

    def require(self, capabilities: Sequence[str]) -> None:
        """Raise Refused when we lack one of these Linux capabilities."""
        if missing := rights.lacking(capabilities):
            raise Refused(
                f"this takes {', '.join(missing)}", hint="run as root, or give chaosrun that right"
            )

    def found(self, inside: Inside) -> Inside:
        """That place with what tells it from others later."""
        return inside.found()

    def offers(self) -> Offers:
        """What this kernel can do to packets."""
        return kernel.offers()

    def interfaces(self, inside: Inside) -> list[str]:
        """The network interfaces there."""
        return interfaces.interfaces(inside)

    def usual_interface(self, inside: Inside, peers: tuple[str, ...]) -> str:
        """The one that leads to these peers, or to everybody."""
        return interfaces.usual(inside, peers)

    def root_qdisc(self, interface: str, inside: Inside) -> str:
        """Kind and handle of its root discipline; empty for the kernel's default."""
        root = interfaces.root_of(interfaces.qdiscs(interface, inside))
        return f"{root['kind']} {root['handle']}" if root else ""

    def has_ingress(self, interface: str, inside: Inside) -> bool:
        """Whether somebody put a discipline there for what comes in."""
        return interfaces.has_ingress(interfaces.qdiscs(interface, inside))

    def filters_coming_in(self, interface: str, inside: Inside) -> list[str]:
        """The filters that others put there for what comes in."""
        return queue.filters_coming_in(interface, inside)

    def remaking(self, interface: str, inside: Inside) -> tuple[str, ...]:
        """How its root discipline is made again, exactly. Raises Refused when it cannot be."""
        return interfaces.remaking(interface, inside)

    def addresses(self, name: str) -> list[str]:
        """The addresses of a host by its name, now. Raises Transient when nobody knows."""
        try:
            return network.addresses(name, time.monotonic() + _NAMES_WITHIN)
        except OSError as error:
            raise Transient(f"{name}: {network.failure(error)}") from None
