"""Two hosts on one wire, and a bad network between them, by each mechanism of this kernel."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, ClassVar

from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.contract.labs.host import directory_of_ours, with_word
from tests.wire import TwoHosts, offered

_PATIENCE = (30.0, 30.0, 20.0) if "CHAOSRUN_UML" in os.environ else (2.5, 30.0, 20.0)
"""In User-Mode Linux all is slow, and most of all to start a program that looks."""


class Wire(Lab):
    """Two hosts on one wire. What is told of is the network of host a, and what we left."""

    with_: ClassVar[dict[str, JSON]] = {}

    def build(self, cleanup: contextlib.ExitStack) -> None:
        self.directory = directory_of_ours(cleanup)
        self.hosts = cleanup.enter_context(TwoHosts())
        self.prepare()

    def prepare(self) -> None:
        """What was there before us."""

    def target(self) -> dict[str, JSON]:
        return {"namespace": self.hosts.names["a"], "interface": "e0"}

    def arguments(self) -> dict[str, JSON]:
        return {"target": self.target(), "with": self.with_}

    def snapshot(self) -> JSON:
        seen: dict[str, Any] = self.hosts.state()
        # A count of packets that passed is not of the world's shape.
        seen["qdiscs"] = re.sub(r"direct_packets_stat \d+", "", seen["qdiscs"])
        # A set's elements count down, and the second of two injections has less time left.
        seen["tables"] = [
            line.split("timeout ")[0]
            for line in seen["tables"].splitlines()
            if "timeout" in line or "counter" not in line
        ]
        seen["holders"] = len(with_word(self.hosts.names["a"]))
        seen["notes"] = len(list(self.directory.iterdir()))
        return seen


class PartitionLab(Wire):
    """One of two peers is cut off."""

    fault = "host.partition"

    def prepare(self) -> None:
        """Somebody else's table is there, and stays."""
        self.hosts.exec("a", "nft", "add", "table", "inet", "theirs")

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"namespace": self.hosts.names["a"]},
            "with": {"peers": [self.hosts.four["b"], self.hosts.six["b"]]},
        }


class NftablesLab(Wire):
    """Packets are lost at random."""

    fault = "host.network"
    with_ = {"loss": "30%", "direction": "both", "mechanism": "nftables"}


class TbfLab(Wire):
    """A rate, in both directions, for one peer; on an interface with a discipline of somebody."""

    fault = "host.network"
    with_ = {
        "rate": "100k", "direction": "both", "peers": ["10.77.0.2"], "mechanism": "tbf",
        "force": True,
    }  # fmt: skip

    def prepare(self) -> None:
        words = ["tc", "qdisc", "add", "dev", "e0", "root", "handle", "7:", "tbf", "rate", "1gbit"]
        self.hosts.exec("a", *words, "burst", "64k", "latency", "20ms")


class TunLab(Wire):
    """A delay in both directions, for TCP and UDP to one port."""

    fault = "host.network"
    with_ = {"delay": "30ms", "direction": "both", "ports": [7000], "mechanism": "tun"}


class NetemLab(Wire):
    """A delay in both directions for one peer."""

    fault = "host.network"
    expires_after, settles, late = _PATIENCE
    with_ = {"delay": "30ms", "direction": "both", "peers": ["10.77.0.2"], "mechanism": "netem"}


class WholeNetemLab(Wire):
    """All that goes out, in the place of somebody's discipline."""

    fault = "host.network"
    expires_after, settles, late = _PATIENCE
    with_ = {"loss": "30%", "mechanism": "netem", "force": True}

    def prepare(self) -> None:
        words = ["tc", "qdisc", "add", "dev", "e0", "root", "handle", "7:", "pfifo"]
        self.hosts.exec("a", *words, "limit", "100")


_BY_MECHANISM: dict[str, list[type[Lab]]] = {
    "netem": [NetemLab, WholeNetemLab], "tbf": [TbfLab], "nftables": [NftablesLab],
    "tun": [TunLab],
}  # fmt: skip

# Those of the mechanisms that this kernel has; `make uml` has one that has netem.
LABS: list[type[Lab]] = [
    PartitionLab, *(lab for name in offered(*_BY_MECHANISM) for lab in _BY_MECHANISM[name])
]  # fmt: skip
