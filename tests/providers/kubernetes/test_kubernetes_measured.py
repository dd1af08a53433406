"""What agents do inside of pods, measured: how much of it there is, by programs in other pods.

Delays, partitions and lookups are measured in test_kubernetes_in_pods.py and in the labs; what is
done to control groups, from the node, in test_kubernetes_deadlines.py. A share is measured on so
many packets that a wrong alarm has a chance of less than one in a million.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from typing import Any

import pytest

from chaosrun.providers.kubernetes.api import Kubernetes
from tests.cluster.inside import fault, held, make, one, point, python, whole
from tests.cluster.outside import until
from tests.cluster.programs import ASK, COUNT, FLOW, WRITTEN

PLACE = "inside-measured"
NUMBER = 2000


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[None]:
    with contextlib.ExitStack() as cleanup:
        point(cleanup)
        make(PLACE)
        until(lambda: whole(PLACE), f"{PLACE} should be whole", 90)
        yield


def of_client(code: str, *words: str, within: float = 20.0) -> Any:
    """What a program in another pod says about the server."""
    address = str(one(PLACE, "web")["status"]["podIP"])
    client = one(PLACE, "client")["metadata"]["name"]
    return python(PLACE, client, code, address, *words, within=within)


def flows(enough: float) -> Iterator[tuple[float, float]]:
    """The bytes and the seconds of up to three flows, until one has so many bytes a second.

    A machine that stands still makes a flow slower, and none faster.
    """
    for _ in range(3):
        size, took = of_client(FLOW, within=60)
        yield size, took
        if size > enough * took:
            return
    pytest.fail(f"no flow has more than {enough} bytes a second; the last: {size} in {took} s")


def likely(share: float, chance: float = 1e-6) -> range:
    """How many of `NUMBER` it is, if it is that share of them; it is another with that chance."""
    logs = [
        math.lgamma(NUMBER + 1) - math.lgamma(k + 1) - math.lgamma(NUMBER - k + 1)
        + k * math.log(share) + (NUMBER - k) * math.log(1 - share)
        for k in range(NUMBER + 1)
    ]  # fmt: skip
    ends = []
    for way in (1, -1):
        left, ks = chance / 2, list(range(NUMBER + 1))[::way]
        for k in ks:
            left -= math.exp(logs[k])
            if left < 0:
                ends.append(k)
                break
    return range(ends[0], ends[1] + 1)


def test_the_share_of_packets_that_was_asked_for_is_lost(cluster: Kubernetes) -> None:
    assert of_client(COUNT, str(NUMBER)) == [NUMBER, 0, 0]
    with held(fault("kubernetes.network-loss", PLACE, loss="30%"), cluster):
        came, damaged, _ = of_client(COUNT, str(NUMBER))
    assert NUMBER - came in likely(0.3)
    assert damaged == 0
    assert of_client(COUNT, str(NUMBER)) == [NUMBER, 0, 0]


def test_the_shares_of_packets_that_were_asked_for_are_damaged_and_doubled(
    cluster: Kubernetes,
) -> None:
    meant = fault("kubernetes.network-corrupt", PLACE, corrupt="20%", duplicate="40%")
    with held(meant, cluster):
        came, damaged, doubled = of_client(COUNT, str(NUMBER))
    # A bit that is turned over may be one of the port, or of the length: then it does not arrive.
    assert NUMBER - came in likely(0.2)
    assert damaged > NUMBER * 0.1
    # Twice and not damaged: a packet is damaged before it is doubled.
    assert doubled in likely(0.8 * 0.4)
    assert of_client(COUNT, str(NUMBER)) == [NUMBER, 0, 0]


def test_as_many_bytes_pass_as_were_asked_for(cluster: Kubernetes) -> None:
    asked, burst = 100 << 10, 20_000
    with held(fault("kubernetes.network-rate", PLACE, rate="100Ki"), cluster):
        # Of the bytes that pass, 1448 of 1500 are what is read; the rest are headers.
        for size, took in flows(0.6 * asked):
            assert size < asked * took + burst
    assert list(flows(10 * asked))


def test_only_the_requests_that_are_meant_fail_and_wait(cluster: Kubernetes) -> None:
    meant = {"paths": ["/large*"], "delay": "400ms", "status": 503}
    with held(fault("kubernetes.http", PLACE, target={"ports": [8080]}, **meant), cluster):
        status, took = of_client(ASK, "/large", "10")
        assert status == 503
        assert took > 0.4
        assert of_client(ASK, "/", "10")[0] == 200
    assert of_client(ASK, "/large", "10")[0] == 200


def test_a_disk_is_written_to(cluster: Kubernetes) -> None:
    def written() -> float:
        name = one(PLACE, "web")["metadata"]["name"]
        return float(python(PLACE, name, WRITTEN, within=60))

    before = written()
    with held(fault("kubernetes.io", PLACE, directory="/tmp", size="2Mi"), cluster):
        during = written()
    assert during > before + (4 << 20)
