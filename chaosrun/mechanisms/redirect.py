"""Traffic to chosen ports is brought to a program of ours instead, for as long as it lives.

A table of our own in nftables; its set of ports has elements that the kernel itself removes two
seconds after the keeper of the program (keeper.py) last said that it lives. Law (L3): when the
program, its keeper or whoever held them is gone, traffic goes its own way again. What bears our
mark on its packets (SO_MARK) is left alone, so the program can reach the real address.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import Literal

import msgspec

from chaosrun.errors import Indeterminate, Refused
from chaosrun.mechanisms import keeper, tools
from chaosrun.mechanisms.harm import Here
from chaosrun.mechanisms.partition import PREFIX
from chaosrun.mechanisms.tools import Failed

PACKET_MARK = 0x0C4A05
"""What packets of our programs bear, so that they are not brought back to us."""

_FORGETS_WITHIN = 5.0
_BEGINS_WITHIN = 20.0
_FAMILIES = {0: "", 4: "meta nfproto ipv4 ", 6: "meta nfproto ipv6 "}
Protocol = Literal["tcp", "udp"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Packets of `protocol` to `port`, at `address` (or anywhere), are brought to `to`."""

    protocol: Protocol
    port: int
    to: int
    address: str = ""
    family: Literal[0, 4, 6] = 0
    incoming: bool = False
    outgoing: bool = True


def table(here: Here) -> str:
    """The name of the table of that mark."""
    return PREFIX + here.short


def start(here: Here, words: Sequence[str], ports: Sequence[int], *, says: bool = True) -> str:
    """Start a program and its keeper; the first line that it says, if it does. Raises Refused.

    The keeper keeps `ports` in the set of the table, once there is one.
    """
    arguments = {
        "deadline": here.deadline, "set": f"inet {table(here)} ports", "ports": list(ports),
        "words": list(words), "nft": _nft(),
    }  # fmt: skip
    started = here.start(
        [sys.executable, "-S", "-I", keeper.__file__, json.dumps(arguments)],
        env={"PYTHONPATH": os.pathsep.join(os.path.abspath(each or ".") for each in sys.path)},
        stdout=subprocess.PIPE if says else subprocess.DEVNULL,
    )
    if not says:
        return ""
    assert started.stdout is not None
    if not select.select([started.stdout], [], [], _BEGINS_WITHIN)[0]:
        raise Indeterminate(f"{words[0]} did not begin within {_BEGINS_WITHIN:g}s")
    said = started.stdout.readline().decode(errors="replace").strip()
    if not said:
        raise Refused(f"{words[0]} ended before it began")
    return said


def bring(here: Here, rules: Sequence[Rule]) -> None:
    """Put the table in place, all at once. Twice is once. Raises Refused."""
    name = table(here)
    ports = sorted({rule.port for rule in rules})
    own = sorted({(rule.protocol, rule.to) for rule in rules})
    lines = [
        f"add table inet {name}",
        f"delete table inet {name}",
        f"table inet {name} {{",
        f'comment "{here.mark}"',
        "set ports { type inet_service; flags timeout; elements = {",
        ", ".join(f"{port} timeout {keeper.left(here.deadline)}ms" for port in ports),
        "} }",
        "chain out { type nat hook output priority -105;",
        f"meta mark {PACKET_MARK:#x} return",
        *(_redirect(rule) for rule in rules if rule.outgoing),
        "}",
        "chain in { type nat hook prerouting priority -105;",
        *(_redirect(rule) for rule in rules if rule.incoming),
        "}",
        # Where a connection goes is decided once, so those that are open are reset: a client that
        # keeps connections would otherwise never come to us.
        "chain cut_out { type filter hook output priority 0;",
        f"meta mark {PACKET_MARK:#x} return",
        *(_reset(rule) for rule in rules if rule.outgoing and rule.protocol == "tcp"),
        "}",
        "chain cut_in { type filter hook input priority -1;",
        f"meta mark {PACKET_MARK:#x} return",  # what we pass on comes in here once more
        *(_reset(rule) for rule in rules if rule.incoming and rule.protocol == "tcp"),
        "}",
        # Only what was brought there comes in: a program that passes on to where a connection
        # was meant for would otherwise pass on to itself.
        "chain guard { type filter hook input priority 0;",
        *(f"{protocol} dport {port} ct status & dnat == 0 drop" for protocol, port in own),
        "}",
        "}",
    ]
    tools.run(["nft", "-f", "-"], stdin="\n".join(lines) + "\n")


def ports_in_place(here: Here) -> set[int] | None:
    """The ports whose traffic is brought to us now; None when there is no table of ours."""
    found = _nftables("-j", "list", "table", "inet", table(here))
    if found is None:
        return None
    ports: set[int] = set()
    for each in json.loads(found)["nftables"]:
        for element in each.get("set", {}).get("elem", []):
            value = element["elem"]["val"] if isinstance(element, dict) else element
            ports.add(int(value))
    return ports


def remove(here: Here, rules: Sequence[Rule]) -> None:
    """Take the table away, and let the kernel forget where flows were brought."""
    _nftables("delete", "table", "inet", table(here))
    forget(rules)


def forget(rules: Sequence[Rule]) -> None:
    """Make the kernel decide anew about flows of datagrams: it decides once for each.

    Where the tool conntrack is missing, flows from one socket keep their way for half a minute.
    """
    tool = shutil.which("conntrack", path=tools.PLACES)
    for rule in rules if tool else ():
        if rule.protocol == "udp":
            assert tool is not None
            family = ["-f", "ipv6"] if ":" in rule.address else []
            where = ["--orig-dst", rule.address] if rule.address else []
            subprocess.run(  # it fails when there is none, which is as good
                [tool, "-D", *family, "-p", "udp", "--orig-port-dst", str(rule.port), *where],
                capture_output=True, timeout=_FORGETS_WITHIN, check=False,
            )  # fmt: skip


def _redirect(rule: Rule) -> str:
    return f"{_match(rule)} redirect to :{rule.to}"


def _reset(rule: Rule) -> str:
    return f"{_match(rule)} ct state established ct status & dnat == 0 reject with tcp reset"


def _match(rule: Rule) -> str:
    family = "ip6" if ":" in rule.address else "ip"
    where = f"{family} daddr {rule.address} " if rule.address else _FAMILIES[rule.family]
    return f"{where}{rule.protocol} dport {rule.port} {rule.protocol} dport @ports"


def _nft() -> str:
    tool = shutil.which("nft", path=tools.PLACES)
    if tool is None:
        raise Refused("the program nft is not installed", hint="install the package nftables")
    return tool


def _nftables(*words: str, stdin: str = "") -> str | None:
    """What nft says; None when what is asked for is not there."""
    try:
        return tools.run(["nft", *words], stdin=stdin)
    except Failed as failed:
        if "No such file" in str(failed):
            return None
        raise
