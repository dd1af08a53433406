"""Which interface is meant where none was named."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaosrun.errors import Refused
from chaosrun.mechanisms import interfaces
from chaosrun.mechanisms.inside import Inside
from tests.two_hosts import made


@pytest.fixture(scope="module")
def near() -> Iterator[Inside]:
    """10.77.0.1 and fd77::1 at eth0, which leads to 10.77.0.2 and fd77::2 and nowhere else."""
    with made() as hosts:
        yield Inside(net=hosts.near).found()


@pytest.mark.parametrize(
    ("peers", "interface"),
    [
        (("10.77.0.2/32",), "eth0"),
        (("fd77::2/128",), "eth0"),
        # A pod may be among the peers that were found by their labels.
        (("10.77.0.1/32", "10.77.0.2/32"), "eth0"),
        (("fd77::1/128", "10.77.0.1/32", "fd77::2/128"), "eth0"),
        (("10.99.0.1/32", "10.77.0.2/32"), "eth0"),
        (("10.77.0.1/32",), "lo"),
        (("127.0.0.1/32", "10.77.0.2/32"), "lo"),
    ],
)
def test_it_is_the_one_that_leads_to_a_peer_who_is_not_ourselves(
    near: Inside, peers: tuple[str, ...], interface: str
) -> None:
    assert interfaces.usual(near, peers) == interface


@pytest.mark.parametrize("peers", [(), ("10.99.0.1/32",)])
def test_where_no_route_tells_it_is_refused(near: Inside, peers: tuple[str, ...]) -> None:
    with pytest.raises(Refused, match="no route says"):
        interfaces.usual(near, peers)
