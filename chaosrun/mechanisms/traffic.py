"""Which packets are meant: by direction, peers, ports and protocol; as nftables and tc say it.

Law (L4): what was not narrowed is all; an address family that was not named is not touched.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Literal

import msgspec

Direction = Literal["out", "in", "both"]
Protocol = Literal["any", "tcp", "udp", "icmp"]
Way = Literal["out", "in"]
EVERYBODY = ("0.0.0.0/0", "::/0")
_NUMBERS = {"tcp": 6, "udp": 17}


class Traffic(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True
):
    """Packets of one place. `peers` are addresses and CIDRs of both families; none means all.

    `ports` are those of the peer, `local_ports` those of this side.
    """

    direction: Direction = "both"
    peers: tuple[str, ...] = ()
    ports: tuple[int, ...] = ()
    local_ports: tuple[int, ...] = ()
    protocol: Protocol = "any"

    @property
    def ways(self) -> tuple[Way, ...]:
        """The directions, one by one."""
        return ("out", "in") if self.direction == "both" else (self.direction,)

    @property
    def everything(self) -> bool:
        """Whether it is not narrowed at all, but by direction."""
        return not (self.peers or self.ports or self.local_ports or self.protocol != "any")

    @property
    def loopback(self) -> bool:
        """Whether an address of loopback was named: `everybody` does not mean ourselves."""
        return any(ipaddress.ip_network(peer).is_loopback for peer in self.peers)

    def networks(self, version: int) -> list[str]:
        """The peers of IPv4 or IPv6 as CIDRs, without those that are in others."""
        found = (ipaddress.ip_network(peer) for peer in self.peers or EVERYBODY)
        if version == 4:
            four = [each for each in found if isinstance(each, ipaddress.IPv4Network)]
            return [str(each) for each in ipaddress.collapse_addresses(four)]
        six = [each for each in found if isinstance(each, ipaddress.IPv6Network)]
        return [str(each) for each in ipaddress.collapse_addresses(six)]

    def __str__(self) -> str:
        """In words, as in `tcp to 10.0.0.2 port 5432`."""
        words: list[str] = [] if self.protocol == "any" else [self.protocol]
        word = {"out": "to", "in": "from", "both": "to and from"}[self.direction]
        peers = [peer.removesuffix("/128" if ":" in peer else "/32") for peer in self.peers]
        words.append(f"{word} {', '.join(peers) or 'everybody'}")
        for ports, of in ((self.ports, ""), (self.local_ports, "our ")):
            if ports:
                word = "port" if len(ports) == 1 else "ports"
                words.append(f"{of}{word} {', '.join(map(str, ports))}")
        return " ".join(words)


def nft_match(traffic: Traffic, way: Way, version: int) -> str:
    """The match of one rule, without addresses: protocol and ports."""
    words = []
    if traffic.protocol == "icmp":
        words.append("meta l4proto icmp" if version == 4 else "meta l4proto icmpv6")
    elif traffic.protocol != "any":
        words.append(f"meta l4proto {traffic.protocol}")
    elif traffic.ports or traffic.local_ports:
        words.append("meta l4proto { tcp, udp }")
    theirs, ours = ("dport", "sport") if way == "out" else ("sport", "dport")
    for ports, which in ((traffic.ports, theirs), (traffic.local_ports, ours)):
        if ports:
            words.append(f"th {which} {{ {', '.join(map(str, ports))} }}")
    return " ".join(words)


def tc_matches(traffic: Traffic, way: Way) -> Iterator[tuple[str, list[str]]]:
    """The u32 filters that select it: the protocol's name for tc, and the match. One for each."""
    for version, name, word in ((4, "ip", "ip"), (6, "ipv6", "ip6")):
        for network in traffic.networks(version):
            for number in _protocols(traffic, version):
                for match in _ports(traffic, way, version):
                    words = ["match", word, "dst" if way == "out" else "src", network]
                    if number:
                        words += ["match", word, "protocol", str(number), "0xff"]
                    yield name, words + match


def _protocols(traffic: Traffic, version: int) -> list[int]:
    if traffic.protocol == "icmp":
        return [1 if version == 4 else 58]
    if traffic.protocol != "any":
        return [_NUMBERS[traffic.protocol]]
    return [6, 17] if traffic.ports or traffic.local_ports else [0]


def _ports(traffic: Traffic, way: Way, version: int) -> Iterator[list[str]]:
    """Ports stand right behind the header: 20 bytes in IPv4 (without options), 40 in IPv6."""
    at = 20 if version == 4 else 40
    theirs, ours = (at + 2, at) if way == "out" else (at, at + 2)
    for port in traffic.ports or (0,):
        for local in traffic.local_ports or (0,):
            words = []
            for number, offset in ((port, theirs), (local, ours)):
                if number:
                    words += ["match", "u16", f"0x{number:04x}", "0xffff", "at", str(offset)]
            yield words
