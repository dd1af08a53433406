"""Packets pass a process of ours by a TUN device: what netem does, where the kernel has none.

What goes out is led there by a routing rule and sent on through a socket that is bound to the
interface, which the rule does not catch. What comes in is led there by a filter, and handed back
as if it had come in through the device. Nothing else passes it.

Law (L3): with the process its device is gone, and with that the routes: what goes out flows again
whoever was killed. The filter for what comes in is taken away by whichever of the two processes
is left.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import msgspec

from chaosrun.codec import to_json
from chaosrun.errors import Indeterminate, Refused
from chaosrun.mechanisms import tools
from chaosrun.mechanisms.harm import Harm, Here, Seen
from chaosrun.mechanisms.impairment import Impairment
from chaosrun.mechanisms.queue import absent, redirect_ingress, redirected, unredirect_ingress
from chaosrun.mechanisms.tools import Failed
from chaosrun.mechanisms.traffic import Traffic, Way

_READY_WITHIN = 10.0
_MAIN = "254"
_RULES = (10, 89)
_TABLES = (1_000_000, 1_999_999)


class Tun(Harm, frozen=True, kw_only=True, tag="tun"):
    """That traffic of an interface is impaired by a process of ours."""

    needs: ClassVar[tuple[str, ...]] = ("CAP_NET_ADMIN", "CAP_NET_RAW")
    held_in = "network"
    ends_with_workers: ClassVar[bool] = True

    interface: str
    impairment: Impairment
    traffic: Traffic = Traffic()
    ingress_was: bool = False

    def apply(self, here: Here) -> None:
        if self.look(here).there and here.workers():
            return
        if here.workers():
            raise Indeterminate("its process runs, and what leads there is gone")
        self.remove(here)
        link = tools.run_json(["ip", "-j", "link", "show", "dev", self.interface])[0]
        self._start(here)
        for way in self.traffic.ways:
            name = device(here, way)
            tools.run(["ip", "link", "set", name, "addrgenmode", "none"])
            tools.run(["ip", "link", "set", name, "mtu", str(link["mtu"]), "txqlen", "10000", "up"])
            if way == "out":
                self._route(name, here)
            else:
                _accept_replies(name, here)
                redirect_ingress(self.interface, self.traffic, name, here, spare=True)

    def _start(self, here: Here) -> None:
        told = Told(
            interface=self.interface,
            impairment=self.impairment,
            out=device(here, "out") if "out" in self.traffic.ways else "",
            incoming=device(here, "in") if "in" in self.traffic.ways else "",
            harm=self,
            mark=here.mark,
        )
        worker = here.start(
            [sys.executable, "-m", "chaosrun.mechanisms.shaper", to_json(told).decode()],
            env={"PYTHONPATH": ":".join(path for path in sys.path if path)},
            stdout=subprocess.PIPE,
            dies_of=signal.SIGTERM,
        )
        assert worker.stdout is not None
        ready = select.select([worker.stdout], [], [], _READY_WITHIN)[0]
        said = worker.stdout.readline().decode().strip() if ready else ""
        if said != "ready":
            raise Refused(f"the process that shapes packets does not start: {said or 'no answer'}")

    def _route(self, name: str, here: Here) -> None:
        """A table that is the main one with our device in the place of the interface, and rules
        that lead to it."""
        table = _table(here)
        for family in _families():
            shown = ["ip", "-j", "-details", family, "route", "show", "table", _MAIN]
            for route in tools.run_json(shown):
                added = _route_words(route, family, self.interface, name)
                tools.run(["ip", family, "route", "replace", *added, "table", table])
            for match in _rule_matches(self.traffic, 4 if family == "-4" else 6):
                rule = ["ip", family, "rule", "add", "pref", _pref(here), "iif", "lo"]
                tools.run([*rule, *match, "lookup", table])

    def look(self, here: Here) -> Seen:
        there, left, measured = True, False, {"packets": 0, "dropped": 0}
        for way in self.traffic.ways:
            stats = _statistics(device(here, way))
            led = _rules(here) if way == "out" else redirected(self.interface, here)
            there = there and stats is not None and bool(led)
            left = left or stats is not None or bool(led)
            if stats is not None:
                measured["packets"] += stats["tx"]["packets"]
                measured["dropped"] += stats["tx"]["dropped"]
        if there:
            said = f"{measured['packets']} packets of {self.interface} passed our device"
            return Seen(True, said, dict(measured))
        return Seen(False, "part of it is there" if left else "nothing of ours is there", left=left)

    def remove(self, here: Here) -> None:
        if "in" in self.traffic.ways:
            unredirect_ingress(self.interface, here, was=self.ingress_was)
        if "out" in self.traffic.ways:
            while left := _rules(here):  # one a call: peers and ports have one each
                for family in left:
                    words = ["ip", family, "rule", "del", "pref", _pref(here)]
                    tools.run([*words, "table", _table(here)])
            for family in _families():
                _flush(family, _table(here))
        for way in self.traffic.ways:
            if _statistics(device(here, way)) is not None:
                raise Indeterminate("the device is there still, and so its process")


class Told(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the process is told: the devices, and how to let go when its parent was killed."""

    interface: str
    impairment: Impairment
    out: str
    incoming: str
    harm: Tun
    mark: str


def device(here: Here, way: Way) -> str:
    """The name of our device for that way."""
    return f"cr{here.short}{way[0]}"


def _pref(here: Here) -> str:
    return str(here.number(*_RULES))


def _table(here: Here) -> str:
    return str(here.number(*_TABLES))


def _families() -> tuple[str, ...]:
    """Those that this kernel has, in words of ip."""
    return ("-4", "-6") if os.path.exists("/proc/self/net/if_inet6") else ("-4",)


def _rules(here: Here) -> list[str]:
    """The families that have rules of ours."""
    found = []
    for family in _families():
        listed = tools.run_json(["ip", "-j", family, "rule", "show", "pref", _pref(here)])
        if any(str(each.get("table")) == _table(here) for each in listed):
            found.append(family)
    return found


def _rule_matches(traffic: Traffic, version: int) -> list[list[str]]:
    """The selectors of the rules (ip-rule(8)): one rule for each."""
    protocols = {"any": [""], "icmp": ["icmp" if version == 4 else "ipv6-icmp"]}.get(
        traffic.protocol, [traffic.protocol]
    )
    if traffic.protocol == "any" and (traffic.ports or traffic.local_ports):
        protocols = ["tcp", "udp"]
    found = []
    for network in traffic.networks(version):
        for protocol in protocols:
            for port in traffic.ports or (0,):
                for local in traffic.local_ports or (0,):
                    words = ["to", network]
                    words += ["ipproto", protocol] if protocol else []
                    words += ["dport", str(port)] if port else []
                    words += ["sport", str(local)] if local else []
                    found.append(words)
    return found


def _route_words(route: dict[str, Any], family: str, interface: str, name: str) -> list[str]:
    """A route of the main table as ours: through our device, or to be looked up further on."""
    words = [str(route["dst"])]
    if "metric" in route:
        words += ["metric", str(route["metric"])]
    if route.get("dev") != interface or route.get("type", "unicast") != "unicast":
        return ["throw", *words]
    words += ["dev", name]
    source = route.get("prefsrc") or _source(family, interface)
    if family == "-4":
        words += ["scope", "link"]
    return [*words, "src", source] if source else words


def _source(family: str, interface: str) -> str:
    """The address that packets out of that interface have."""
    words = ["ip", "-j", family, "address", "show", "dev", interface, "scope", "global"]
    for link in tools.run_json(words):
        for address in link.get("addr_info", []):
            return str(address["local"])
    return ""


def _flush(family: str, table: str) -> None:
    try:
        tools.run(["ip", family, "route", "flush", "table", table])
    except Failed as failed:
        if "FIB table does not exist" not in str(failed) and not absent(failed):
            raise


def _statistics(name: str) -> dict[str, Any] | None:
    try:
        found = tools.run_json(["ip", "-s", "-j", "link", "show", "dev", name])
    except Failed as failed:
        if "does not exist" in str(failed) or absent(failed):
            return None
        raise
    stats: dict[str, Any] = found[0]["stats64"]
    return stats


def _accept_replies(name: str, here: Here) -> None:
    """A packet handed back comes from a peer that is not reached by our device: that is allowed.

    The kernel takes the larger of two settings. Where the one for all devices filters, ours is
    loose, and a device that is loose needs an address (fib_validate_source in fib_frontend.c).
    """
    settings = Path("/proc/sys/net/ipv4/conf")
    try:
        loose = (settings / "all/rp_filter").read_text().strip() != "0"
        (settings / name / "rp_filter").write_text("2" if loose else "0")
    except OSError as error:
        raise Refused(f"cannot let {name} give packets back: {error.strerror}") from None
    if loose:
        address = f"169.254.{here.number(1, 254)}.{here.number(1, 253)}/32"
        tools.run(["ip", "address", "replace", address, "dev", name, "scope", "link"])
