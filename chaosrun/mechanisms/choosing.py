"""Which mechanism impairs packets here, and the harm that it takes.

Law (L8): what is chosen is said in the plan, and what was asked for by name is used or refused,
never replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from chaosrun.errors import Refused
from chaosrun.mechanisms.harm import Harm
from chaosrun.mechanisms.impairment import Impairment, netem_words, tbf_words
from chaosrun.mechanisms.kernel import Offers
from chaosrun.mechanisms.partition import Partition
from chaosrun.mechanisms.queue import Queue
from chaosrun.mechanisms.traffic import Traffic
from chaosrun.mechanisms.tun import Tun

Mechanism = Literal["auto", "netem", "nftables", "tbf", "tun"]
NAMES = {
    "netem": "netem, a queueing discipline of the kernel",
    "tbf": "tbf, a token bucket of the kernel",
    "nftables": "nftables, with the kernel's own timeout",
    "tun": "a TUN device and a process of ours",
}


def choose(
    asked: Mechanism, offers: Offers, interface: str, impairment: Impairment, traffic: Traffic
) -> str:
    """The mechanism's name. Raises Refused with what stands against each."""
    against = {
        "netem": _netem(offers, traffic),
        "nftables": _nftables(offers, impairment),
        "tbf": _tbf(offers, impairment, traffic),
        "tun": _tun(offers, interface),
    }
    if offers.unknown:
        raise Refused(f"what this kernel can do is {offers}", hint=offers.hint)
    if asked != "auto":
        if against[asked]:
            able = [name for name, why in against.items() if not why]
            hint = f"here it can be done by {', '.join(able)}" if able else ""
            raise Refused(f"{asked} cannot do this here: {against[asked]}", hint=hint)
        return asked
    for name, why in against.items():
        if not why:
            return name
    said = "; ".join(f"{name}: {why}" for name, why in against.items())
    raise Refused(f"nothing here can do this ({said})")


def harm_by(
    mechanism: str,
    offers: Offers,
    interface: str,
    impairment: Impairment,
    traffic: Traffic,
    *,
    remake: Sequence[str] = (),
    ingress_was: bool = False,
    filtered: Sequence[str] = (),
) -> Harm:
    """The harm as that mechanism does it. `filtered` are filters of others for what comes in.

    Raises Refused where those are asked before ours: what they decide about is not harmed, and
    nothing would tell (law L6).
    """
    if mechanism == "nftables":
        return Partition(traffic=traffic, share=impairment.loss, interface=interface)
    if filtered and "in" in traffic.ways:
        raise Refused(
            f"{interface} has filters of somebody for what comes in, which decide before ours: "
            f"{', '.join(filtered)}",
            hint="direction: out, or another interface; loss can also be done by nftables",
        )
    if mechanism == "tun":
        return Tun(
            interface=interface, impairment=impairment, traffic=traffic, ingress_was=ingress_was
        )
    leaf = netem_words(impairment) if mechanism == "netem" else tbf_words(impairment.rate)
    return Queue(
        interface=interface, leaf=leaf, traffic=traffic, remake=tuple(remake),
        splitter="prio" if "prio" in offers.works else "htb", ingress_was=ingress_was,
    )  # fmt: skip


def _split(offers: Offers, traffic: Traffic) -> str:
    if not traffic.everything and not {"prio", "htb"} & offers.works:
        return "this kernel has neither prio nor htb to tell that traffic from the rest"
    if "in" in traffic.ways and "ifb" not in offers.works:
        return "this kernel has no ifb for what comes in"
    return ""


def _netem(offers: Offers, traffic: Traffic) -> str:
    if "netem" not in offers.works:
        return "this kernel has no netem (module sch_netem)"
    return _split(offers, traffic)


def _nftables(offers: Offers, impairment: Impairment) -> str:
    if "nftables" not in offers.mechanisms:
        return "this kernel has no nftables with numgen"
    if not impairment.only_loss:
        return "it can only lose packets at random, without correlation"
    return ""


def _tbf(offers: Offers, impairment: Impairment, traffic: Traffic) -> str:
    if "tbf" not in offers.works:
        return "this kernel has no tbf (module sch_tbf)"
    return _split(offers, traffic) if impairment.only_rate else "it can only limit a rate"


def _tun(offers: Offers, interface: str) -> str:
    if "tun" not in offers.mechanisms:
        return "this kernel has no TUN device, or no routing rules by port"
    if interface == "lo":
        return "what this machine sends to itself does not pass routing rules"
    return ""
