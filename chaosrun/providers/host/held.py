"""What faults share whose harm is held by a process of its own (chaosrun.mechanisms).

Law (L1-L3): the hold has the whole order but its mark and deadline, so any process can look at
the harm, end it, or do it; its end at the deadline is the holder's, not ours.
"""

from __future__ import annotations

from typing import ClassVar

from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Expiry, Fault, Hold, Permission
from chaosrun.mechanisms.harm import Harm, Order
from chaosrun.mechanisms.inside import Inside
from chaosrun.place import Place, still_here
from chaosrun.providers.host.client import Host
from chaosrun.targeting import Target


class Held(Fault[Host], frozen=True, kw_only=True):
    """A fault that is one harm in one place. A subclass gives `plan`, by way of `held`."""

    expiry: ClassVar[Expiry] = Expiry.TARGET

    @classmethod
    def held(
        cls,
        client: Host,
        harm: Harm,
        *,
        target: Target | None = None,
        targets: tuple[Target, ...] = (),
        population: int = 1,
        effect: str,
        way_back: str,
        mechanism: str,
        inside: Inside | None = None,
        used: tuple[Permission, ...] = (),
    ) -> Hold:
        """The hold of a harm."""
        return Hold(
            fault=cls.name,
            targets=targets or ((target,) if target else ()),
            population=population,
            effect=effect,
            undo={
                "place": to_plain(client.place()),
                "harm": to_plain(harm),
                "inside": to_plain(inside or Inside()),
            },
            way_back=way_back,
            mechanism=mechanism,
            expiry=cls.expiry,
            used=used,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Host) -> None:
        if not still_here(from_plain(hold.undo["place"], Place)):
            raise Refused("the machine was restarted since this was planned")
        client.hold(_order(hold))

    @classmethod
    def revert(cls, hold: Hold, client: Host) -> None:
        client.end(_order(hold))

    @classmethod
    def took_effect(cls, hold: Hold, client: Host) -> Evidence:
        seen = client.look(_order(hold))
        return Evidence(seen.there, seen.detail, seen.measured)

    @classmethod
    def restored(cls, hold: Hold, client: Host) -> Evidence:
        seen = client.look(_order(hold))
        return Evidence(not seen.any, seen.detail, seen.measured)


def _order(hold: Hold) -> Order:
    return Order(
        mark=hold.mark,
        deadline=hold.deadline,
        harm=hold.undo["harm"],
        inside=from_plain(hold.undo["inside"], Inside),
        place=from_plain(hold.undo["place"], Place),
        about=to_plain(hold),
    )


def machine_target(kind: str, client: Host, name: str = "", id: str = "") -> Target:
    """A resource of this machine as a target; `id` tells it from others of that kind."""
    place = client.place()
    return Target(
        kind=kind,
        id=f"{id}.{place.key}" if id else place.key,
        name=name or place.node,
        domain=place.node,
    )
