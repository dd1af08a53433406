"""The network of this machine, of a namespace or of a process becomes bad."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold, Permission
from chaosrun.mechanisms.choosing import NAMES, Mechanism, choose, harm_by
from chaosrun.mechanisms.impairment import Distribution, GilbertElliott, Impairment
from chaosrun.mechanisms.inside import Inside
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held
from chaosrun.providers.host.network_target import (
    NET_ADMIN,
    NET_RAW,
    SYS_ADMIN,
    Packets,
    Spot,
    rights_for,
    target_of,
)
from chaosrun.units import JSON, Duration, Share, Size

_NONE = Share(0)


class Bursts(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True,
    rename="camel",
):  # fmt: skip
    """Loss in bursts (Gilbert-Elliott): the line turns bad and good again, packet by packet."""

    worse: Annotated[Share, Meta(description="The chance, with each packet, that it turns bad")]
    better: Annotated[
        Share, Meta(description="The chance, with each packet, that it is good again")
    ]
    lost_when_bad: Annotated[Share, Meta(description="What is lost while it is bad")] = Share(1)
    lost_when_good: Annotated[Share, Meta(description="What is lost while it is good")] = _NONE

    def __post_init__(self) -> None:
        if not self.worse.fraction or not self.better.fraction:
            raise ValueError("worse and better are more than 0%: else it never changes")
        if self.typed().mean == 0:
            raise ValueError("lostWhenBad and lostWhenGood are both 0%: nothing is lost")

    def typed(self) -> GilbertElliott:
        """The same in numbers."""
        return GilbertElliott(
            worse=self.worse.fraction, better=self.better.fraction,
            lost_when_bad=self.lost_when_bad.fraction, lost_when_good=self.lost_when_good.fraction,
        )  # fmt: skip


class Network(Held, Packets, frozen=True, kw_only=True):
    """Delay, lose, duplicate, corrupt, reorder or slow down packets of a network interface.

    The mechanism is netem where the kernel has it; else nftables for loss, a token bucket for a
    rate, and a TUN device for the rest. `chaosrun doctor` and the plan say which. A process of its
    own holds it and takes it away at the deadline, also when chaosrun is gone. With TUN, only what
    this machine itself sends and receives is harmed, not what it forwards.
    """

    name: ClassVar[str] = "host.network"
    permissions: ClassVar[tuple[Permission, ...]] = (NET_ADMIN, SYS_ADMIN, NET_RAW)
    example: ClassVar[dict[str, JSON]] = {
        "target": {"interface": "eth0"},
        "with": {"delay": "200ms", "jitter": "20ms", "peers": ["db.example"], "ports": [5432]},
    }

    target: Spot = Spot()
    delay: Annotated[Duration, Meta(description="How much later each packet goes on")] = Duration(0)
    jitter: Annotated[
        Duration, Meta(description="Up to how much more or less; packets may overtake each other")
    ] = Duration(0)
    correlation: Annotated[
        Share, Meta(description="How much the jitter of a packet is that of the one before")
    ] = _NONE
    distribution: Annotated[
        Distribution, Meta(description="How the jitter is spread; a deviation unless uniform")
    ] = "uniform"
    loss: Annotated[Share, Meta(description="The share of packets lost, at random")] = _NONE
    loss_correlation: Annotated[
        Share, Meta(description="How much the loss of a packet is that of the one before")
    ] = _NONE
    bursts: Bursts | None = None
    duplicate: Annotated[Share, Meta(description="The share of packets that arrive twice")] = _NONE
    corrupt: Annotated[
        Share, Meta(description="The share of packets in which one bit is turned over")
    ] = _NONE
    reorder: Annotated[
        Share, Meta(description="The share of packets that are not delayed, and so overtake")
    ] = _NONE
    rate: Annotated[Size, Meta(description="Bytes per second that pass")] | None = None
    mechanism: Annotated[Mechanism, Meta(description="What does it; auto takes the best")] = "auto"
    force: Annotated[
        bool,
        Meta(
            description="Also where the interface has a queueing discipline of somebody, if that "
            "can be made again exactly"
        ),
    ] = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.jitter > self.delay:
            raise ValueError(f"jitter ({self.jitter}) cannot be more than delay ({self.delay})")
        if self.correlation.fraction and not self.jitter:
            raise ValueError("correlation says how jitter goes on: give a jitter")
        if self.distribution != "uniform" and not self.jitter:
            raise ValueError("distribution says how jitter is spread: give a jitter")
        if self.reorder.fraction and not self.delay:
            raise ValueError("reorder lets packets overtake those that are delayed: give a delay")
        if self.loss_correlation.fraction and not self.loss.fraction:
            raise ValueError("lossCorrelation is for a loss at random: give a loss")
        if self.bursts and self.loss.fraction:
            raise ValueError("packets are lost at random (loss) or in bursts: say one")
        if self.rate is not None and self.rate.bytes < 1:
            raise ValueError("rate is at least 1 byte per second; or use host.partition")
        if self.impairment() == Impairment():
            raise ValueError(
                "say what harm: delay, loss, bursts, duplicate, corrupt, reorder or rate"
            )

    def impairment(self) -> Impairment:
        """What happens to each packet."""
        return Impairment(
            delay=self.delay.seconds,
            jitter=self.jitter.seconds,
            correlation=self.correlation.fraction,
            distribution=self.distribution,
            loss=self.loss.fraction,
            loss_correlation=self.loss_correlation.fraction,
            bursts=self.bursts.typed() if self.bursts else None,
            duplicate=self.duplicate.fraction,
            corrupt=self.corrupt.fraction,
            reorder=self.reorder.fraction,
            rate=float(self.rate.bytes) if self.rate else 0.0,
        )

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        traffic, impairment = self.traffic(client), self.impairment()
        inside = self.target.inside(client)
        interface = self.target.interface_in(inside, client, traffic.peers)
        offers = client.offers()
        mechanism = choose(self.mechanism, offers, interface, impairment, traffic)
        used = rights_for(inside, client, *((NET_RAW,) if mechanism == "tun" else ()))
        remake = self._remaking(mechanism, interface, inside, client)
        harm = harm_by(
            mechanism, offers, interface, impairment, traffic, remake=remake,
            ingress_was=client.has_ingress(interface, inside),
        )  # fmt: skip
        return self.held(
            client,
            harm,
            target=target_of("network", inside, interface, client),
            effect=f"{impairment} ({traffic})",
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
