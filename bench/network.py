"""Network faults: is a delay what was asked for, and how many bytes pass each mechanism's path.

Two hosts on one wire (network namespaces and a pair of veth). A delay is a round trip of one
datagram, less the median round trip on the bare wire at the same pace. A throughput is that of one
TCP connection, against the bare wire in turns, in the same kernel. netem is measured where this
kernel has it, else in User-Mode Linux, which is slow: there the share of the bare wire means
something, and the bytes per second do not.
"""

from __future__ import annotations

import json
import random
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from msgspec.structs import replace

from bench.measure import percentile
from bench.peers import Absent
from bench.results import Aim, Figure
from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.mechanisms import kernel
from chaosrun.providers.host.client import Host
from chaosrun.units import JSON
from tests.wire import TwoHosts, need_namespaces
from tools import uml

ASKED = 0.02
ROUND_TRIPS = 300
TURNS = 3
_QUICK_BYTES = 256 * 2**20
_SLOW_BYTES = 16 * 2**20
_UML_BYTES = 64 * 2**20
_UML_TURNS = 9  # on one processor that others use too, a single turn says little
_UML_WITHIN = 120.0
_NETEM = {"delay": "1us"}
_NETEM_LEAST = 0.5


@contextmanager
def injected(fault: str, target: dict[str, Any], **with_: Any) -> Iterator[dict[str, JSON]]:
    """Harm that is seen at the end, else RuntimeError; refused, it is Absent.

    What is yielded holds, after the block, what was measured when it was looked for.
    """
    client, kind = Host(), discovery.fault(fault)
    measured: dict[str, JSON] = {}
    try:
        hold = from_plain({"target": target, **with_}, kind).plan(client, random.Random(1))
        hold = replace(hold, mark=uuid.uuid4().hex, deadline=time.time() + 120)
        kind.inject(hold, client)
    except Refused as refused:
        raise Absent(f"{refused} ({refused.hint})" if refused.hint else str(refused)) from None
    try:
        yield measured
        seen = kind.took_effect(hold, client)
        measured.update(seen.measured)
        if not seen.seen:
            raise RuntimeError(f"{fault} was not there: {seen.detail}")
    finally:
        kind.revert(hold, client)


@contextmanager
def harmed(hosts: TwoHosts, **with_: Any) -> Iterator[None]:
    """Host a harmed so."""
    target = {"namespace": hosts.names["a"], "interface": "e0"}
    with injected("host.network", target, **with_):
        yield


def delays(mechanism: str) -> tuple[float, float]:
    """How far a delay is off, at p50 and p99, in seconds."""
    with TwoHosts() as hosts:
        quiet = median(hosts.round_trips(ROUND_TRIPS, pause=ASKED))
        with harmed(hosts, delay=f"{ASKED}s", mechanism=mechanism):
            off = [trip - quiet - ASKED for trip in hosts.round_trips(ROUND_TRIPS)]
    return median(off), percentile([abs(each) for each in off], 0.99)


def _delay(mechanism: str) -> Figure:
    _offered(mechanism)
    return _figure(*delays(mechanism))


def _figure(middle: float, most: float, where: str = "") -> Figure:
    text = f"{middle * 1e3:+.2f} ms at p50, {most * 1e3:.2f} ms off at p99"
    return Figure(f"{text} of {ROUND_TRIPS} round trips{where}", abs(middle) <= 0.001)


def tun_delay() -> Figure:
    return _delay("tun")


def netem_delay() -> Figure:
    if _has_netem():
        return _delay("netem")
    middle, most = _user_mode_linux()["delays"]
    return _figure(middle, most, " in User-Mode Linux")


def _has_netem() -> bool:
    return "netem" in kernel.offers().mechanisms


@cache
def _user_mode_linux() -> dict[str, Any]:
    """What is measured of netem by one boot of a kernel that has it."""
    with tempfile.TemporaryDirectory(prefix="bench-") as directory:
        command = uml.python("-m", "bench.network")
        try:
            code, said = uml.boot(Path(directory), command, _UML_WITHIN)
        except uml.Missing as missing:
            raise Absent(f"this kernel has no netem; User-Mode Linux {missing}") from None
    if code:
        raise RuntimeError(said)
    measured: dict[str, Any] = json.loads(said.splitlines()[-1])
    return measured


def throughputs(
    mechanism: str, turns: int, bare_size: int, size: int, **with_: Any
) -> list[tuple[float, float]]:
    """Bytes per second of what is harmed so and of the bare wire, in turns."""
    pairs = []
    with TwoHosts() as hosts:
        for _ in range(turns):
            bare = hosts.transfer(bare_size)
            with harmed(hosts, mechanism=mechanism, **with_):
                pairs.append((hosts.transfer(size), bare))
    return pairs


def _throughput(mechanism: str, size: int, least: float, **with_: Any) -> Figure:
    _offered(mechanism)
    return _share(throughputs(mechanism, TURNS, _QUICK_BYTES, size, **with_), least)


def _share(pairs: Sequence[Sequence[float]], least: float, where: str = "") -> Figure:
    """The share of the bare wire's throughput that is left."""
    ratio = median(ours / bare for ours, bare in pairs)
    ours, bare = (median(column) / 1e6 for column in zip(*pairs, strict=True))
    return Figure(f"{ratio:.3f} x ({ours:,.0f} of {bare:,.0f} MB/s{where})", ratio >= least)


def netem_throughput() -> Figure:
    if _has_netem():
        return _throughput("netem", _QUICK_BYTES, _NETEM_LEAST, **_NETEM)
    return _share(_user_mode_linux()["throughputs"], _NETEM_LEAST, ", in User-Mode Linux")


def tun_throughput() -> Figure:
    return _throughput("tun", _SLOW_BYTES, 0.02, delay="1us")


def nftables_throughput() -> Figure:
    return _throughput("nftables", _QUICK_BYTES, 0.7, loss="0.0001%", ports=[9])


def tbf_throughput() -> Figure:
    return _throughput("tbf", _QUICK_BYTES, 0.7, rate="4G", peers=["10.77.0.9"])


def need_hosts() -> None:
    """Raise Absent where no network namespaces can be made."""
    try:
        need_namespaces()
    except pytest.skip.Exception as skipped:
        raise Absent(str(skipped)) from None


def _offered(mechanism: str) -> None:
    need_hosts()
    if mechanism not in kernel.offers().mechanisms:
        raise Absent(f"this kernel has no {mechanism}")


AIMS = (
    Aim("`host.network` by netem: a delay of 20 ms", "within 1 ms of asked at p50", netem_delay),
    Aim("`host.network` by TUN: a delay of 20 ms", "within 1 ms of asked at p50", tun_delay),
    Aim(
        "`host.network` by netem: throughput of what is harmed",
        f"at least {_NETEM_LEAST} x the bare wire", netem_throughput,
    ),
    Aim(
        "`host.network` by TUN: throughput of what is harmed",
        "at least 0.02 x the bare wire", tun_throughput,
    ),
    Aim(
        "`host.network` by nftables: throughput beside what is harmed",
        "at least 0.7 x the bare wire", nftables_throughput,
    ),
    Aim(
        "`host.network` by tbf: throughput beside what is harmed",
        "at least 0.7 x the bare wire", tbf_throughput,
    ),
)  # fmt: skip

if __name__ == "__main__":  # in User-Mode Linux
    found = {
        "delays": delays("netem"),
        "throughputs": throughputs("netem", _UML_TURNS, _UML_BYTES, _UML_BYTES, **_NETEM),
    }
    print(json.dumps(found))
