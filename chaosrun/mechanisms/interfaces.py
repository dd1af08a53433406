"""What is on a network interface: its queueing disciplines, and whether they can be made again.

Law: reads only, and changes nothing but in a network namespace made for the trial.
"""

from __future__ import annotations

import json
from ipaddress import ip_address
from typing import Any

from chaosrun.errors import Refused
from chaosrun.mechanisms import tools
from chaosrun.mechanisms.inside import Inside
from chaosrun.mechanisms.tools import Failed
from chaosrun.units import JSON

_DEFAULT = "0:"
"""The handle of what the kernel itself put there."""
_COUNTERS = ("bytes", "packets", "drops", "overlimits", "requeues", "backlog", "qlen", "refcnt")


def interfaces(inside: Inside) -> list[str]:
    """Their names, in that place."""
    found = tools.run_json(["ip", "-j", "link", "show"], inside=inside)
    return sorted(str(each["ifname"]) for each in found)


def usual(inside: Inside, peers: tuple[str, ...]) -> str:
    """The interface that leads to the first peer who is not ourselves, or to everybody.

    Raises Refused. (Peers that were found by what they are may be this very place as well.)
    """
    if not peers:
        found = [_dev(["ip", "-j", "route", "show", "default"], inside)]
    else:
        found = []
        for peer in peers:
            address = peer.partition("/")[0]
            family = ["-6"] if ":" in address else []
            found.append(_dev(["ip", "-j", *family, "route", "get", address], inside))
            if found[-1] not in ("", "lo") or ip_address(address).is_loopback:
                break
    named = [dev for dev in found if dev]
    if not named:
        names = ", ".join(interfaces(inside))
        raise Refused("no route says which interface is meant", hint=f"say one of {names}")
    return named[-1]


def _dev(words: list[str], inside: Inside) -> str:
    """The interface of the first route; empty where there is none."""
    try:
        routes = tools.run_json(words, inside=inside)
    except Failed:
        return ""
    return next((str(each["dev"]) for each in routes if each.get("dev")), "")


def qdiscs(interface: str, inside: Inside | None = None) -> list[dict[str, Any]]:
    """The queueing disciplines, with their statistics."""
    words = ["tc", "-s", "-j", "qdisc", "show", "dev", interface]
    return list(tools.run_json(words, inside=inside))


def root_of(listed: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The root, unless it is the kernel's default."""
    root = next((each for each in listed if each.get("root")), None)
    return root if root and root["handle"] != _DEFAULT else None


def has_ingress(listed: list[dict[str, Any]]) -> bool:
    """Whether somebody put a discipline for what comes in."""
    return any(each["kind"] in ("ingress", "clsact") for each in listed)


def remaking(interface: str, inside: Inside) -> tuple[str, ...]:
    """The words of tc that make the root of that interface again, exactly.

    Proven on an interface of the same size in a namespace made for it. Raises Refused when it has
    parts that cannot be made again.
    """
    listed = qdiscs(interface, inside)
    root = root_of(listed)
    if root is None:
        return ()
    said = f"the root qdisc {root['kind']} {root['handle']} of {interface} cannot be made again"
    hint = "choose another interface, or another mechanism"
    ways = _words(root)
    if not ways:
        raise Refused(f"{said}: its kind is not known here", hint=hint)
    link = tools.run_json(["ip", "-j", "link", "show", "dev", interface], inside=inside)[0]
    there = tools.run(["sh", "-c", _SHOW.format(interface)], inside=inside)
    for words in ways:
        if _trial(words, int(link["mtu"])) == _told(there):
            return words
    raise Refused(f"{said}: a trial gave another (it has filters, classes or parts)", hint=hint)


_SHOW = (
    "tc -s -j qdisc show dev {0} && echo && tc class show dev {0} && tc filter show dev {0} || true"
)


def _told(shown: str) -> tuple[JSON, str]:
    """The disciplines, and the text of classes and filters, of what `_SHOW` shows."""
    listed, _, rest = shown.partition("\n")
    return plain(json.loads(listed)), rest.strip()


def plain(listed: list[dict[str, Any]]) -> JSON:
    """Disciplines without what only counts; ingress ones are not a matter of the root."""
    kept = [each for each in listed if each["kind"] not in ("ingress", "clsact")]
    return [{key: value for key, value in each.items() if key not in _COUNTERS} for each in kept]


def _words(root: dict[str, Any]) -> list[tuple[str, ...]]:
    """Ways to tell tc to make it, the likeliest first. None for kinds that are not known."""
    options, kind = root["options"], str(root["kind"])
    match kind:
        case "pfifo" | "bfifo":
            ways = [["limit", str(options["limit"])]]
        case "tbf":
            # tc shows a burst as rounded to the kernel's ticks: a little more was asked for.
            shown = int(options["burst"])
            latency = "lat" in options
            end = (
                ["latency", f"{options['lat']}us"] if latency else ["limit", f"{options['limit']}"]
            )
            bursts = dict.fromkeys((-(-shown // 1024) * 1024, shown, shown + shown // 2000 + 1))
            ways = [["rate", f"{options['rate']}bps", "burst", str(b), *end] for b in bursts]
        case "fq_codel":
            words = [
                "limit", str(options["limit"]), "flows", str(options["flows"]),
                "quantum", str(options["quantum"]), "target", f"{options['target']}us",
                "interval", f"{options['interval']}us",
                "memory_limit", str(options["memory_limit"]),
                "drop_batch", str(options["drop_batch"]), "ecn" if options["ecn"] else "noecn",
            ]  # fmt: skip
            ways = [words]
        case _:
            return []
    return [("handle", str(root["handle"]), kind, *words) for words in ways]


def _trial(words: tuple[str, ...], mtu: int) -> tuple[JSON, str] | None:
    script = (
        f"ip link add trial mtu {mtu} type veth peer name other && "
        f"tc qdisc add dev trial root {' '.join(words)} && {_SHOW.format('trial')}"
    )
    try:
        return _told(tools.run(["unshare", "--net", "sh", "-c", script]))
    except (Failed, json.JSONDecodeError):
        return None
