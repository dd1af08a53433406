"""What each mechanism does to packets, measured with real sockets before, during and after.

Each runs with the mechanisms that this kernel has; `make uml` runs them with netem in another.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import socket
import time
import uuid
from collections.abc import Iterator
from statistics import median
from typing import Any

import pytest
from msgspec.structs import replace

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.providers.host.client import Host
from tests.wire import TwoHosts, offered

QUICK = 0.01
"""A round trip on the bare wire takes less than this many seconds, also on a busy machine."""


@pytest.fixture
def hosts() -> Iterator[TwoHosts]:
    with TwoHosts() as made:
        yield made


@contextlib.contextmanager
def harmed(hosts: TwoHosts, fault: str = "host.network", **with_: Any) -> Iterator[Any]:
    """Host a harmed so; afterwards all is as it was, byte for byte."""
    client, kind = Host(), discovery.fault(fault)
    target = {"namespace": hosts.names["a"]}
    if fault == "host.network":
        target["interface"] = "e0"
    before = hosts.state()
    planned = from_plain({"target": target, **with_}, kind).plan(client, random.Random(1))
    hold = replace(planned, mark=uuid.uuid4().hex, deadline=time.time() + 60)
    kind.inject(hold, client)
    try:
        assert kind.took_effect(hold, client).seen
        yield lambda: kind.took_effect(hold, client).measured
    finally:
        kind.revert(hold, client)
    assert kind.restored(hold, client).seen
    assert hosts.state() == before


def numbers(packets: list[bytes]) -> list[int]:
    return [int(packet[:8]) for packet in packets]


@pytest.mark.parametrize("direction", ["out", "in", "both"])
@pytest.mark.parametrize("mechanism", offered("netem", "tun"))
def test_a_delay_is_what_was_asked_for(hosts: TwoHosts, mechanism: str, direction: str) -> None:
    delay = 0.04
    expected = 2 * delay if direction == "both" else delay
    assert hosts.round_trip() < QUICK
    with harmed(hosts, mechanism=mechanism, delay=f"{delay}s", direction=direction):
        for address in (hosts.four["b"], hosts.six["b"]):
            assert abs(hosts.round_trip(to=address) - expected) < QUICK
    assert hosts.round_trip() < QUICK


@pytest.mark.parametrize("distribution", ["uniform", "normal"])
@pytest.mark.parametrize("mechanism", offered("netem", "tun"))
def test_jitter_spreads_the_delay(hosts: TwoHosts, mechanism: str, distribution: str) -> None:
    with harmed(hosts, mechanism=mechanism, delay="30ms", jitter="15ms", distribution=distribution):
        trips = hosts.round_trips(40, within=60)
    assert len(trips) == 40
    assert max(trips) - min(trips) > 0.01  # 40 draws of it lie nearer once in 10^18 times
    if distribution == "uniform":
        assert min(trips) > 0.0145
        assert 0.015 < median(trips) < 0.045 + QUICK


@pytest.mark.parametrize("direction", ["out", "in"])
@pytest.mark.parametrize("mechanism", offered("netem", "nftables", "tun"))
def test_that_share_of_packets_is_lost(hosts: TwoHosts, mechanism: str, direction: str) -> None:
    count, back = 1500, direction == "in"
    with harmed(hosts, mechanism=mechanism, loss="30%", direction=direction):
        for address in (hosts.four["b"], hosts.six["b"]):
            lost = 1 - len(hosts.arrived(count, to=address, back=back)) / count
            assert abs(lost - 0.3) < 0.08  # nearly 7 deviations
        assert len(hosts.arrived(200, back=not back)) == 200
    assert len(hosts.arrived(200, back=back)) == 200


@pytest.mark.parametrize("mechanism", offered("netem", "tun"))
def test_losses_come_in_bursts(hosts: TwoHosts, mechanism: str) -> None:
    count = 3000
    with harmed(hosts, mechanism=mechanism, bursts={"worse": "5%", "better": "20%"}):
        there = set(numbers(hosts.arrived(count)))
    lost = [number not in there for number in range(count)]
    runs = [len(list(run)) for gone, run in itertools.groupby(lost) if gone]
    assert 0.1 < sum(lost) / count < 0.3  # 5 / (5 + 20) = 20% in the long run
    assert 3 < sum(runs) / len(runs) < 8  # 1 / 20% = 5 in the mean; at random it would be 1.25


@pytest.mark.parametrize("mechanism", offered("netem", "tun"))
def test_that_share_arrives_twice(hosts: TwoHosts, mechanism: str) -> None:
    with harmed(hosts, mechanism=mechanism, duplicate="30%"):
        found = numbers(hosts.arrived(1000))
    assert len(set(found)) == 1000
    assert 1200 < len(found) < 1400


@pytest.mark.parametrize("mechanism", offered("netem", "tun"))
def test_what_is_corrupted_is_thrown_away_by_who_checks(hosts: TwoHosts, mechanism: str) -> None:
    with harmed(hosts, mechanism=mechanism, corrupt="30%"):
        found = len(hosts.arrived(1000))
    assert 600 < found < 830  # a bit of the Ethernet or IP header may do no harm
    assert len(hosts.arrived(200)) == 200


@pytest.mark.parametrize("mechanism", offered("netem", "tun"))
def test_some_overtake_the_others(hosts: TwoHosts, mechanism: str) -> None:
    with harmed(hosts, mechanism=mechanism, delay="20ms", reorder="30%"):
        found = numbers(hosts.arrived(500))
    assert sorted(found) == list(range(500))
    late = sum(number < most for number, most in zip(found, itertools.accumulate(found, max)))  # noqa: B905
    assert late > 100


@pytest.mark.parametrize("direction", ["out", "in"])
@pytest.mark.parametrize("mechanism", offered("netem", "tbf", "tun"))
def test_a_rate_is_kept(hosts: TwoHosts, mechanism: str, direction: str) -> None:
    rate, back = 500_000, direction == "in"

    def quickest(size: int, least: float, *, back: bool, most: float = float("inf")) -> float:
        """Of up to three: a machine that stands still meanwhile only makes it slower."""
        found: list[float] = []
        while len(found) < 3 and max(found, default=0) <= least:
            found.append(hosts.transfer(size, back=back))
            assert found[-1] < most
        return max(found)

    assert quickest(10 * rate, 10 * rate, back=back) > 10 * rate
    with harmed(hosts, mechanism=mechanism, rate="500k", direction=direction):
        assert quickest(rate // 2, 0.5 * rate, back=back, most=1.3 * rate) > 0.5 * rate
        assert quickest(2 * rate, 4 * rate, back=not back) > 4 * rate
    assert quickest(10 * rate, 10 * rate, back=back) > 10 * rate


@pytest.mark.parametrize("mechanism", offered("netem", "tun"))
def test_only_what_was_named_is_harmed(hosts: TwoHosts, mechanism: str) -> None:
    named: dict[str, Any] = {
        "peers": [hosts.four["b"], hosts.six["b"]],
        "ports": [7001],
        "protocol": "udp",
    }
    with harmed(hosts, mechanism=mechanism, delay="40ms", direction="both", **named) as measured:
        for address in (hosts.four["b"], hosts.six["b"]):
            assert abs(hosts.round_trip(to=address, port=7001) - 0.08) < QUICK
            assert hosts.round_trip(to=address, port=7002) < QUICK
        for address in (hosts.other_four, hosts.other_six):
            assert hosts.round_trip(to=address, port=7001) < QUICK
        assert 28 <= measured()["packets"] < 60


@pytest.mark.parametrize("direction", ["out", "in", "both"])
def test_a_partition_cuts_exactly_the_named_peers(hosts: TwoHosts, direction: str) -> None:
    peers = [hosts.four["b"], f"{hosts.six['b']}/128"]
    with harmed(hosts, "host.partition", peers=peers, direction=direction):
        for address in (hosts.four["b"], hosts.six["b"]):
            assert hosts.round_trips(2, to=address, within=0.1) == []
        for address in (hosts.other_four, hosts.other_six):
            assert hosts.round_trip(to=address) < QUICK
        arrived = len(hosts.arrived(20, back=direction == "out"))
        assert arrived == (0 if direction == "both" else 20)
    for address in (hosts.four["b"], hosts.six["b"]):
        assert hosts.round_trip(to=address) < QUICK


def test_a_partition_of_a_port_cuts_only_that_port(hosts: TwoHosts) -> None:
    with harmed(hosts, "host.partition", ports=[7001]):
        assert hosts.round_trips(2, port=7001, within=0.1) == []
        assert hosts.round_trip(port=7002) < QUICK


def test_a_partition_that_refuses_answers_at_once(hosts: TwoHosts) -> None:
    with harmed(hosts, "host.partition", peers=[hosts.four["b"]], refuse=True), hosts.on("a"):
        began = time.monotonic()
        with pytest.raises(OSError, match=r"unreachable|refused|No route|not permitted"):
            socket.create_connection((hosts.four["b"], 7001), timeout=30)
        assert time.monotonic() - began < 15
