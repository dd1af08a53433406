"""Packets of chosen peers are dropped or refused, all or a share of them, by nftables.

Law (L3): the peers are elements of sets with the kernel's own timeout, so it ends at its deadline
though every process of ours was killed. Nothing but our own table is touched.
"""

from __future__ import annotations

import time
from typing import ClassVar, Literal

from chaosrun.errors import Refused
from chaosrun.mechanisms import tools
from chaosrun.mechanisms.harm import Harm, Here, Seen
from chaosrun.mechanisms.tools import Failed
from chaosrun.mechanisms.traffic import Traffic, Way, nft_match
from chaosrun.units import JSON

PREFIX = "chaosrun_"
_PARTS = 1_000_000
_BEFORE_CONNECTIONS = -310  # before conntrack (-200) and raw (-300): what is dropped never was
_HALVES = {"0.0.0.0/0": ("0.0.0.0/1", "128.0.0.0/1"), "::/0": ("::/1", "8000::/1")}


class Partition(Harm, frozen=True, kw_only=True, tag="partition"):
    """That traffic does not pass: neither to and from this place, nor through it.

    With a `share`, each packet has that chance to be lost, and with an `interface` only what
    passes there is meant.
    """

    needs: ClassVar[tuple[str, ...]] = ("CAP_NET_ADMIN",)
    held_in = "network"

    traffic: Traffic = Traffic()
    how: Literal["drop", "reject"] = "drop"
    share: float = 1.0
    interface: str = ""

    def apply(self, here: Here) -> None:
        left = here.deadline - time.time()
        if left <= 0:
            raise Refused("the deadline has passed")
        table = PREFIX + here.short
        lines = [f"table inet {table}", f"delete table inet {table}", f"table inet {table} {{"]
        lines.append(f'comment "{here.mark}"')
        for version in (4, 6):
            elements = [
                f"{each} timeout {max(1, int(left * 1000))}ms"
                for network in self.traffic.networks(version)
                for each in _HALVES.get(network, (network,))
            ]
            kind = "ipv4_addr" if version == 4 else "ipv6_addr"
            lines.append(f"set peers{version} {{ type {kind}; flags interval, timeout;")
            lines.append(f"elements = {{ {', '.join(elements)} }}; }}" if elements else "}")
        for way in self.traffic.ways:
            hooks = ("input", "forward") if way == "in" else ("output", "forward")
            for hook in hooks:
                lines.append(f"chain {way}_{hook} {{")
                lines.append(f"type filter hook {hook} priority {_BEFORE_CONNECTIONS};")
                lines += [self._rule(way, version) for version in (4, 6)]
                lines.append("}")
        lines.append("}")
        tools.run(["nft", "-f", "-"], stdin="\n".join(lines) + "\n")

    def _rule(self, way: Way, version: int) -> str:
        family = "ip" if version == 4 else "ip6"
        side = "daddr" if way == "out" else "saddr"
        end = "drop"
        if self.how == "reject":
            end = "reject with icmpx type admin-prohibited"
        match = nft_match(self.traffic, way, version)
        if self.interface:
            match = f'{"oifname" if way == "out" else "iifname"} "{self.interface}" {match}'
        elif not self.traffic.loopback:
            match = f'{"oifname" if way == "out" else "iifname"} != "lo" {match}'
        if self.share < 1:
            match += f" numgen random mod {_PARTS} < {round(self.share * _PARTS)}"
        return f"{family} {side} @peers{version} {match} counter {end}"

    def look(self, here: Here) -> Seen:
        table = PREFIX + here.short
        try:
            listed = tools.run_json(["nft", "-j", "list", "table", "inet", table])["nftables"]
        except Failed as failed:
            if "No such file" not in str(failed):
                raise
            return Seen(False, "no table of ours is there")
        sets = [each["set"] for each in listed if "set" in each]
        elements = [element for each in sets for element in each.get("elem", [])]
        if not elements:
            return Seen(False, "the kernel has ended it; an empty table of ours is left", left=True)
        left = max(element["elem"].get("expires", 0) for element in elements)
        packets = sum(_counted(each["rule"]["expr"]) for each in listed if "rule" in each)
        word = "dropped" if self.how == "drop" else "refused"
        return Seen(
            True,
            f"the kernel has it for {left:g}s more; {packets} packets were {word}",
            {"packets": packets, "left": left},
        )

    def remove(self, here: Here) -> None:
        try:
            tools.run(["nft", "delete", "table", "inet", PREFIX + here.short])
        except Failed as failed:
            if "No such file" not in str(failed):
                raise


def _counted(expressions: list[dict[str, JSON]]) -> int:
    return sum(each["counter"]["packets"] for each in expressions if "counter" in each)
