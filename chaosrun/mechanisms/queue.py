"""Packets of an interface pass a queueing discipline of ours: netem, or a token bucket.

What goes out passes it at the interface's root, what comes in on an intermediate device (ifb).
Narrowed traffic has a class of its own, and the rest goes on beside it.

Law: only what has our handle, preference or name is taken away, and a root that was there before
is made again exactly as it was.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from chaosrun.mechanisms import interfaces, tools
from chaosrun.mechanisms.harm import Harm, Here, Seen
from chaosrun.mechanisms.inside import Inside
from chaosrun.mechanisms.tools import Failed
from chaosrun.mechanisms.traffic import Traffic, Way, tc_matches

_PREFERENCES = (10_000, 14_999)
_ICMP6 = ("match", "ip6", "protocol", "58", "0xff", "match", "u8")
_OF_THE_WIRE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("ip", ("match", "ip", "dst", "224.0.0.0/3")),
    ("ipv6", ("match", "ip6", "dst", "ff00::/8")),
    # Router and neighbour discovery, types 133 to 137 (RFC 4861).
    ("ipv6", (*_ICMP6, "0x85", "0xff", "at", "40")),
    ("ipv6", (*_ICMP6, "0x86", "0xfe", "at", "40")),
    ("ipv6", (*_ICMP6, "0x88", "0xfe", "at", "40")),
)
_ABSENT = ("Cannot find device", "No such file", "Invalid handle", "does not exist", "not found",
           "Cannot find specified filter chain")  # fmt: skip
_PRIO = ("prio", "bands", "4", "priomap", *"1222120011111111")
_HTB = ("htb", "default", "0", "direct_qlen", "1000")
_HTB_CLASS = ("htb", "rate", "32gbit", "ceil", "32gbit", "burst", "1m", "cburst", "1m",
              "quantum", "60000")  # fmt: skip


class Queue(Harm, frozen=True, kw_only=True, tag="queue"):
    """A discipline (`leaf`, in words of tc) before which that traffic has to queue."""

    needs: ClassVar[tuple[str, ...]] = ("CAP_NET_ADMIN",)
    held_in = "network"

    interface: str
    leaf: tuple[str, ...]
    traffic: Traffic = Traffic()
    splitter: Literal["prio", "htb"] = "prio"
    remake: tuple[str, ...] = ()
    ingress_was: bool = False

    def apply(self, here: Here) -> None:
        if self.look(here).there:
            return
        self.remove(here)
        for way in self.traffic.ways:
            if way == "out":
                self._grow(self.interface, way, here)
            else:
                name = _ifb(here)
                tools.run(["ip", "link", "add", name, "type", "ifb"])
                # No address of its own: the kernel would go on giving it one after this returned.
                tools.run(["ip", "link", "set", name, "addrgenmode", "none", "up"])
                self._grow(name, way, here)
                redirect_ingress(self.interface, Traffic(), name, here)

    def _grow(self, device: str, way: Way, here: Here) -> None:
        """Put the tree at the root of a device; filters last, so nothing passes half of it."""
        handle = _handle(here)
        root = ["tc", "qdisc", "replace", "dev", device, "root", "handle", f"{handle:x}:"]
        if self.traffic.everything:
            tools.run([*root, *self.leaf])
            return
        minor = 4 if self.splitter == "prio" else 1
        tools.run([*root, *(_PRIO if self.splitter == "prio" else _HTB)])
        flow = f"{handle:x}:{minor}"
        if self.splitter == "htb":
            made = ["tc", "class", "replace", "dev", device, "parent", f"{handle:x}:"]
            tools.run([*made, "classid", flow, *_HTB_CLASS])
        leaf = ["tc", "qdisc", "replace", "dev", device, "parent", flow]
        tools.run([*leaf, "handle", f"{handle + 1:x}:", *self.leaf])
        for protocol, match in tc_matches(self.traffic, way):
            added = ["tc", "filter", "add", "dev", device, "parent", f"{handle:x}:"]
            pref = str(preference(here, protocol))
            tools.run([*added, "protocol", protocol, "pref", pref, "u32", *match, "flowid", flow])

    def look(self, here: Here) -> Seen:
        seen: list[dict[str, Any]] = []
        left = False
        for way in self.traffic.ways:
            device = self.interface if way == "out" else _ifb(here)
            leaf = self._leaf(device, here)
            if way == "in":
                led = redirected(self.interface, here)
                left = left or led or leaf is not None
                leaf = leaf if led else None
            if leaf is not None:
                seen.append(leaf)
        there = len(seen) == len(self.traffic.ways)
        if not there:
            left = left or bool(seen)
            return Seen(False, "part of it is there" if left else "nothing of ours is there",
                        left=left)  # fmt: skip
        packets, drops = (sum(leaf.get(word, 0) for leaf in seen) for word in ("packets", "drops"))
        return Seen(
            True,
            f"{self.leaf[0]} on {self.interface}: {packets} packets passed, {drops} were dropped",
            {"packets": packets, "dropped": drops},
        )

    def _leaf(self, device: str, here: Here) -> dict[str, Any] | None:
        """Our discipline on a device, if all that leads to it is there."""
        found = _ours(device, here)
        handle = _handle(here)
        names = (
            [f"{handle:x}:"] if self.traffic.everything else [f"{handle:x}:", f"{handle + 1:x}:"]
        )
        by_handle = {each["handle"]: each for each in found}
        if any(name not in by_handle for name in names):
            return None
        if not self.traffic.everything:
            words = ["tc", "-j", "filter", "show", "dev", device, "parent", names[0]]
            wanted = len(list(tc_matches(self.traffic, "out")))
            flows = [each for each in tools.run_json(words) if "flowid" in each.get("options", {})]
            if len(flows) < wanted:
                return None
        return by_handle[names[-1]]

    def remove(self, here: Here) -> None:
        if "in" in self.traffic.ways:
            unredirect_ingress(self.interface, here, was=self.ingress_was)
            unless_absent(["ip", "link", "del", _ifb(here)])
        if "out" in self.traffic.ways:
            if any(each.get("root") for each in _ours(self.interface, here)):
                unless_absent(["tc", "qdisc", "del", "dev", self.interface, "root"])
            if self.remake and self._default_now():
                tools.run(["tc", "qdisc", "add", "dev", self.interface, "root", *self.remake])

    def _default_now(self) -> bool:
        try:
            return interfaces.root_of(interfaces.qdiscs(self.interface)) is None
        except Failed:  # the interface is gone
            return False


def redirect_ingress(
    interface: str, traffic: Traffic, device: str, here: Here, *, spare: bool = False
) -> None:
    """Lead what comes in on an interface to another device, which gives it back.

    Filters are at `ingress`: that is the same place under the kinds ingress and clsact, where
    `parent ffff:` is none.
    With `spare`, what speaks of the wire itself goes on as ever: neighbours, groups, broadcasts.
    """
    listed = interfaces.qdiscs(interface)
    if not interfaces.has_ingress(listed):
        tools.run(["tc", "qdisc", "add", "dev", interface, "handle", "ffff:", "ingress"])
    spared = _OF_THE_WIRE if spare else ()
    for protocol, match in spared:  # what was added first is asked first
        added = ["tc", "filter", "add", "dev", interface, "ingress", "protocol", protocol]
        pref = str(preference(here, protocol))
        tools.run([*added, "pref", pref, "u32", *match, "flowid", ":1"])
    for protocol, words in tc_matches(traffic, "in"):
        added = ["tc", "filter", "add", "dev", interface, "ingress", "protocol", protocol]
        redirect = ["action", "mirred", "egress", "redirect", "dev", device]
        pref = str(preference(here, protocol))
        tools.run([*added, "pref", pref, "u32", *words, *redirect])


def redirected(interface: str, here: Here) -> bool:
    """Whether filters of ours lead what comes in elsewhere."""
    try:
        listed = tools.run_json(["tc", "-j", "filter", "show", "dev", interface, "ingress"])
    except Failed as failed:
        if absent(failed):
            return False
        raise
    ours = {preference(here, protocol) for protocol in ("ip", "ipv6")}
    return any(each.get("pref") in ours and "options" in each for each in listed)


def filters_coming_in(interface: str, inside: Inside) -> list[str]:
    """The filters of others for what comes in, each by its kind and preference."""
    words = ["tc", "-j", "filter", "show", "dev", interface, "ingress"]
    found = {
        (each["pref"], f"{each['kind']} at pref {each['pref']}")
        for each in tools.run_json(words, inside=inside)
        if not is_ours(each["pref"])
    }
    return [said for _, said in sorted(found)]


def unredirect_ingress(interface: str, here: Here, *, was: bool) -> None:
    """Take our filters away, and what held them if it was not there before and is empty now."""
    try:
        listed = interfaces.qdiscs(interface)
    except Failed as failed:
        if absent(failed):
            return
        raise
    if not interfaces.has_ingress(listed):
        return
    for protocol in ("ip", "ipv6"):
        removed = ["tc", "filter", "del", "dev", interface, "ingress"]
        pref = str(preference(here, protocol))
        unless_absent([*removed, "protocol", protocol, "pref", pref])
    rest = tools.run_json(["tc", "-j", "filter", "show", "dev", interface, "ingress"])
    # Never what has filters for what goes out as well (clsact): that is not the one we put there.
    if not was and not rest and any(each["kind"] == "ingress" for each in listed):
        unless_absent(["tc", "qdisc", "del", "dev", interface, "ingress"])


def preference(here: Here, protocol: str) -> int:
    """The preference of our filters: one a family, and the same for the same mark."""
    return 2 * here.number(*_PREFERENCES) + (protocol == "ipv6")


def is_ours(pref: int) -> bool:
    """Whether filters with that preference may be ours, under whatever mark."""
    low, high = _PREFERENCES
    return 2 * low <= pref <= 2 * high + 1


def absent(failed: Failed) -> bool:
    """Whether a program failed because what it should look at or take away is not there."""
    return any(word in str(failed) for word in _ABSENT)


def unless_absent(words: list[str]) -> None:
    """Run it; that it was gone already is no failure."""
    try:
        tools.run(words)
    except Failed as failed:
        if not absent(failed):
            raise


def _ours(device: str, here: Here) -> list[dict[str, Any]]:
    """Our disciplines on a device; none when it is gone."""
    try:
        listed = interfaces.qdiscs(device)
    except Failed as failed:
        if absent(failed):
            return []
        raise
    handle = _handle(here)
    return [each for each in listed if each["handle"] in (f"{handle:x}:", f"{handle + 1:x}:")]


def _handle(here: Here) -> int:
    """The major number of our root; the leaf's is the next."""
    return 2 * here.number(0x0800, 0x3FF0)


def _ifb(here: Here) -> str:
    return f"cr{here.short}"
