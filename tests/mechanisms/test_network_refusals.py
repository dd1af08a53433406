"""What must not be harmed is refused when it is planned; what was there before is there after."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms import asking, kernel, rights, supervisor
from chaosrun.mechanisms.kernel import Offers
from chaosrun.procfs import runs
from chaosrun.providers.host.client import Host
from tests.mechanisms.conftest import eventually
from tests.wire import TwoHosts, offered


@pytest.fixture
def hosts() -> Iterator[TwoHosts]:
    with TwoHosts() as made:
        yield made


def planned(hosts: TwoHosts, fault: str = "host.network", **with_: Any) -> Hold:
    target = {"namespace": hosts.names["a"], "interface": "e0", **with_.pop("target", {})}
    kind = discovery.fault(fault)
    return from_plain({"target": target, **with_}, kind).plan(Host(), random.Random(1))


def leased(hold: Hold, seconds: float = 60.0) -> Hold:
    return replace(hold, mark=uuid.uuid4().hex, deadline=time.time() + seconds)


@pytest.mark.parametrize(
    ("with_", "said"),
    [
        ({}, "say what harm"),
        ({"delay": "10ms", "jitter": "20ms"}, "cannot be more than delay"),
        ({"delay": "10ms", "correlation": "20%"}, "give a jitter"),
        ({"delay": "10ms", "distribution": "normal"}, "give a jitter"),
        ({"reorder": "10%"}, "give a delay"),
        ({"loss": "10%", "bursts": {"worse": "1%", "better": "1%"}}, "say one"),
        ({"bursts": {"worse": "0%", "better": "1%"}}, "more than 0%"),
        ({"delay": "1s", "lossCorrelation": "1%"}, "give a loss"),
        ({"rate": 0}, "at least 1 byte"),
        ({"delay": "1s", "peers": ["10.0.0.1/8"]}, "is not a CIDR"),
        ({"delay": "1s", "protocol": "icmp", "ports": [1]}, "icmp has no ports"),
        ({"delay": "1s", "target": {"pid": 1, "namespace": "x"}}, "say one of"),
    ],
)
def test_what_makes_no_sense_is_an_error_of_the_file(with_: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        from_plain(with_, discovery.fault("host.network"))


def test_a_partition_of_everything_must_be_meant() -> None:
    with pytest.raises(msgspec.ValidationError, match="say what is cut"):
        from_plain({}, discovery.fault("host.partition"))


def test_an_interface_that_is_not_there_is_refused_with_those_that_are(hosts: TwoHosts) -> None:
    with pytest.raises(Refused, match="no interface e9") as refused:
        planned(hosts, delay="1s", target={"interface": "e9"})
    assert refused.value.hint == "there are e0, lo"


def test_a_namespace_that_is_not_there_is_refused(hosts: TwoHosts) -> None:
    with pytest.raises(Refused, match="no network namespace no-such"):
        planned(hosts, delay="1s", target={"namespace": "no-such"})


def test_somebodys_root_qdisc_is_refused_unless_forced(hosts: TwoHosts) -> None:
    (mechanism, *_) = offered("netem", "tbf")
    words = ["tc", "qdisc", "add", "dev", "e0", "root", "handle", "7:"]
    hosts.exec("a", *words, "bfifo", "limit", "9000")
    with pytest.raises(Refused, match="root qdisc bfifo 7:") as refused:
        planned(hosts, rate="1M", mechanism=mechanism)
    assert "force" in refused.value.hint
    assert planned(hosts, rate="1M", mechanism=mechanism, force=True)


def test_a_root_qdisc_that_cannot_be_made_again_is_refused_though_forced(hosts: TwoHosts) -> None:
    (mechanism, *_) = offered("netem", "tbf")
    hosts.exec("a", "tc", "qdisc", "add", "dev", "e0", "root", "handle", "7:", "htb")
    with pytest.raises(Refused, match="cannot be made again"):
        planned(hosts, rate="1M", mechanism=mechanism, force=True)


_MATCHED = "protocol ip pref 7 u32 match u32 0 0 flowid :1"


def test_beside_somebodys_clsact_packets_are_harmed_and_what_was_there_stays(
    hosts: TwoHosts,
) -> None:
    (mechanism, *_) = offered("netem", "tun")
    hosts.exec("a", "tc", "qdisc", "add", "dev", "e0", "clsact")
    hosts.exec("a", "tc", "filter", "add", "dev", "e0", "egress", *_MATCHED.split())
    before, kept = hosts.state(), _filters(hosts, "egress")
    hold = leased(planned(hosts, delay="50ms", direction="in", mechanism=mechanism))
    kind = discovery.fault("host.network")
    kind.inject(hold, Host())
    assert kind.took_effect(hold, Host()).seen
    assert hosts.round_trip() > 0.045
    kind.revert(hold, Host())
    assert kind.restored(hold, Host()).seen
    assert hosts.state() == before
    assert _filters(hosts, "egress") == kept


def test_what_took_the_place_of_our_ingress_is_left_alone(hosts: TwoHosts) -> None:
    (mechanism, *_) = offered("netem", "tun")
    hold = leased(planned(hosts, delay="50ms", direction="in", mechanism=mechanism))
    hosts.exec("a", "tc", "qdisc", "add", "dev", "e0", "clsact")  # since it was planned
    hosts.exec("a", "tc", "filter", "add", "dev", "e0", "egress", *_MATCHED.split())
    before, kept = hosts.state(), _filters(hosts, "egress")
    kind = discovery.fault("host.network")
    kind.inject(hold, Host())
    kind.revert(hold, Host())
    assert kind.restored(hold, Host()).seen
    assert hosts.state() == before
    assert _filters(hosts, "egress") == kept


def _filters(hosts: TwoHosts, way: str) -> str:
    return hosts.exec("a", "tc", "filter", "show", "dev", "e0", way)


@pytest.mark.parametrize("kind", ["ingress", "clsact"])
def test_where_somebodys_filters_decide_what_comes_in_it_is_refused(
    hosts: TwoHosts, kind: str
) -> None:
    (mechanism, *_) = offered("netem", "tun")
    hosts.exec("a", "tc", "qdisc", "add", "dev", "e0", kind)
    planned(hosts, delay="50ms", mechanism=mechanism, direction="both")  # it stands in nobody's way
    hosts.exec("a", "tc", "filter", "add", "dev", "e0", "ingress", *_MATCHED.split())
    with pytest.raises(Refused, match="decide before ours: u32 at pref 7") as refused:
        planned(hosts, delay="50ms", mechanism=mechanism, direction="both")
    assert "direction: out" in refused.value.hint
    assert planned(hosts, delay="50ms", mechanism=mechanism, direction="out")


def test_a_mechanism_is_used_or_refused_and_never_replaced(hosts: TwoHosts) -> None:
    with pytest.raises(Refused, match="nftables cannot do this here: it can only lose") as refused:
        planned(hosts, delay="1s", mechanism="nftables")
    assert "here it can be done by" in refused.value.hint
    with pytest.raises(Refused, match="does not pass routing rules"):
        planned(hosts, delay="1s", mechanism="tun", target={"interface": "lo"})


def test_a_kernel_that_offers_nothing_is_told_of(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Host, "offers", lambda _: Offers())
    with pytest.raises(Refused, match=r"nothing here can do this \(netem: this kernel has no"):
        planned(hosts, delay="1s")
    with pytest.raises(Refused, match="a partition takes nftables"):
        planned(hosts, "host.partition", peers=["10.77.0.2"])
    monkeypatch.setattr(Host, "offers", lambda _: Offers(unknown="no right", hint="be root"))
    with pytest.raises(Refused, match="unknown: no right"):
        planned(hosts, delay="1s")


def test_a_right_that_is_missing_is_refused_when_it_is_planned(
    hosts: TwoHosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Host, "capabilities", lambda _: {"CAP_SYS_ADMIN"})
    with pytest.raises(Refused, match="CAP_NET_ADMIN"):
        planned(hosts, delay="1s")
    monkeypatch.undo()
    monkeypatch.setattr(rights, "lacking", sorted)
    with pytest.raises(Refused, match="CAP_NET_RAW"):
        planned(hosts, delay="1s", mechanism="tun")


def test_names_of_hosts_become_addresses_in_the_plan(hosts: TwoHosts) -> None:
    hold = planned(hosts, "host.partition", peers=["localhost", "10.2.0.0/16"])
    peers = hold.undo["harm"]["traffic"]["peers"]
    assert "127.0.0.1/32" in peers
    assert "10.2.0.0/16" in peers


def test_the_interface_that_leads_to_the_peer_is_meant(hosts: TwoHosts) -> None:
    hold = planned(hosts, loss="1%", peers=["10.77.0.2"], target={"interface": ""})
    assert hold.targets[0].name.startswith("e0 in network namespace")
    with pytest.raises(Refused, match="no route says which interface") as refused:
        planned(hosts, loss="1%", target={"interface": ""})
    assert "e0" in refused.value.hint


@pytest.mark.parametrize("killed", ["holder", "shaper"])
def test_when_one_of_the_two_processes_of_tun_is_killed_traffic_flows_again(
    hosts: TwoHosts, killed: str
) -> None:
    before = hosts.state()
    hold = leased(planned(hosts, delay="50ms", direction="both", mechanism="tun"))
    kind = discovery.fault("host.network")
    kind.inject(hold, Host())
    assert hosts.round_trip() > 0.09
    (holder,) = supervisor.holders()[hold.mark]
    (shaper,) = [
        each.identity
        for each in Host().processes()
        if "chaosrun.mechanisms.shaper" in each.words and hold.mark in each.command
    ]
    os.kill((holder if killed == "holder" else shaper).pid, signal.SIGKILL)
    assert eventually(lambda: not runs(holder) and not runs(shaper), within=10)
    assert hosts.round_trip() < 0.01
    assert eventually(lambda: hosts.state() == before)
    kind.revert(hold, Host())
    assert kind.restored(hold, Host()).seen
    assert asking.notes() == []


def test_without_the_right_to_try_nothing_is_said_to_work() -> None:
    program = "from chaosrun.mechanisms import kernel; print(kernel.offers())"
    words = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == "unknown: no network namespace can be made to try it in\n"


def test_what_the_kernel_offers_leaves_nothing(hosts: TwoHosts) -> None:
    before = hosts.state()
    kernel.offers.cache_clear()
    assert kernel.offers().mechanisms
    assert hosts.state() == before
