"""Which packets a person means, and what is to happen to them.

Law (L4): names of hosts become addresses when it is planned, and those are what is harmed.
"""

from __future__ import annotations

import ipaddress
from typing import Annotated, Protocol

import msgspec
from msgspec import Meta

from chaosrun.mechanisms.choosing import Mechanism
from chaosrun.mechanisms.impairment import Distribution, GilbertElliott, Impairment
from chaosrun.mechanisms.traffic import Direction, Traffic
from chaosrun.mechanisms.traffic import Protocol as OverIp
from chaosrun.network import has_reference
from chaosrun.units import Duration, Share, Size

Port = Annotated[int, Meta(ge=1, le=65535)]
_NONE = Share(0)


class KnowsNames(Protocol):
    """A client that can look names up."""

    def addresses(self, name: str) -> list[str]: ...


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
    protocol: Annotated[OverIp, Meta(description="Which protocol")] = "any"

    def __post_init__(self) -> None:
        if (self.ports or self.local_ports) and self.protocol == "icmp":
            raise ValueError("icmp has no ports")
        for peer in self.peers:
            if not peer.strip():
                raise ValueError("a peer is an address, a CIDR or a host name, not nothing")
            if "/" in peer and not has_reference(peer):
                _network(peer)

    def traffic(self, client: KnowsNames) -> Traffic:
        """The packets, with addresses for names. Raises Refused and Transient."""
        found: set[str] = set()
        for peer in self.peers:
            literal = _network(peer) if "/" in peer else _address(peer)
            found |= {literal} if literal else {_exactly(a) for a in client.addresses(peer)}
        return Traffic(
            direction=self.direction, peers=tuple(sorted(found)), ports=self.ports,
            local_ports=self.local_ports, protocol=self.protocol,
        )  # fmt: skip


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


class Impaired(Packets, frozen=True, kw_only=True):
    """What happens to these packets."""

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


class Cut(Packets, frozen=True, kw_only=True):
    """These packets do not pass."""

    direction: Annotated[Direction, Meta(description="What is cut: out, in, or both")] = "both"
    refuse: Annotated[
        bool, Meta(description="Answer with an error (unreachable) and do not just be silent")
    ] = False


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
