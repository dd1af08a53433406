"""Lookups between two hosts are answered as asked, and all others by the real name server."""

from __future__ import annotations

import os
import random
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms import dns, supervisor
from chaosrun.mechanisms.resolver import matches
from chaosrun.procfs import runs
from chaosrun.providers.host.client import Host
from tests import two_hosts
from tests.mechanisms.conftest import eventually

FAULT = discovery.fault("host.dns")
SERVERS = ["10.77.0.2", "fd77::2"]
REAL = {"A": "192.0.2.1", "AAAA": "2001:db8::1"}


class Names:
    """One who asks on the near host, and a name server on the far one."""

    def __init__(self, hosts: two_hosts.TwoHosts, asker: two_hosts.Program) -> None:
        self.hosts, self._asker = hosts, asker

    def ask(self, name: str, *words: str, seconds: float = 30) -> str:
        return self.timed(name, *words, seconds=seconds)[0]

    def timed(
        self,
        name: str,
        kind: str = "A",
        way: str = "udp",
        server: str = SERVERS[0],
        *,
        seconds: float = 30,
    ) -> tuple[str, float]:
        """The answer and how long it took. Silence is waited for `seconds` long."""
        answer, took = self._asker.ask(f"{server} 53 {name} {kind} {way} {seconds}").split()
        return answer, float(took)

    def gets(self, wanted: str, name: str, *words: str) -> bool:
        """Whether the wrong answer comes: not at once where the machine stood still for longer
        than the kernel keeps the way to it."""
        return eventually(lambda: self.ask(name, *words, seconds=5) == wanted)

    def harmed(self, *names: str, seconds: float = 60.0, **fields: Any) -> Hold:
        where = {"namespace": self.hosts.near}
        fault = from_plain({"target": where, "names": names, "servers": SERVERS, **fields}, FAULT)
        hold = msgspec.structs.replace(
            fault.plan(Host(), random.Random(1)),
            mark=uuid.uuid4().hex, deadline=time.time() + seconds,
        )  # fmt: skip
        FAULT.inject(hold, Host())
        return hold


@pytest.fixture(scope="module")
def names() -> Iterator[Names]:
    with (
        two_hosts.made() as hosts,
        hosts.program(hosts.far, two_hosts.NAME_SERVER),
        hosts.program(hosts.near, two_hosts.ASKER) as asker,
    ):
        yield Names(hosts, asker)


def end(hold: Hold) -> None:
    FAULT.revert(hold, Host())
    assert FAULT.restored(hold, Host()).seen


WAYS = [("udp", SERVERS[0]), ("tcp", SERVERS[0]), ("udp", SERVERS[1])]


@pytest.mark.parametrize(
    ("answer", "four", "six"),
    [
        ("nxdomain", "rcode-3", "rcode-3"),
        ("servfail", "rcode-2", "rcode-2"),
        (["127.0.0.9", "::9", "127.0.0.8"], "127.0.0.9,127.0.0.8", "::9"),
        (["127.0.0.9"], "127.0.0.9", "empty"),
    ],
)
def test_chosen_names_get_the_wrong_answer_by_every_way(
    names: Names, answer: Any, four: str, six: str
) -> None:
    rules = names.hosts.rules(names.hosts.near)
    hold = names.harmed("db.example", "*.cache.example", answer=answer)
    for way, server in WAYS:
        for name in ("db.example", "DB.Example", "a.b.cache.example"):
            assert names.gets(four, name, "A", way, server)
            assert names.gets(six, name, "AAAA", way, server)
        for name in ("other.example", "cache.example", "xdb.example", "db.example.com"):
            assert names.ask(name, "A", way, server) == REAL["A"]
            assert names.ask(name, "AAAA", way, server) == REAL["AAAA"]
        assert names.ask("missing.example", "A", way, server) == "rcode-3"
    assert eventually(lambda: FAULT.took_effect(hold, Host()).seen)
    end(hold)
    assert names.ask("db.example") == REAL["A"]
    assert names.hosts.rules(names.hosts.near) == rules


def test_silence_and_delay_are_measured(names: Names) -> None:
    hold = names.harmed("db.example", answer="silent")
    assert eventually(lambda: names.ask("db.example", seconds=1.5) == "silence")
    assert eventually(lambda: names.timed("other.example")[1] < 0.2)
    end(hold)
    hold = names.harmed("*", delay="300ms")
    for words in WAYS:
        asked = ("db.example", "A", *words)
        assert names.ask(*asked) == REAL["A"]
        assert eventually(lambda: 0.3 <= names.timed(*asked)[1] < 1)  # noqa: B023
    assert eventually(lambda: FAULT.took_effect(hold, Host()).seen)
    assert FAULT.took_effect(hold, Host()).measured["seconds"] >= 0.3
    end(hold)
    assert eventually(lambda: names.timed("db.example")[1] < 0.2)


def test_many_lookups_of_others_open_no_way_past_it(names: Names) -> None:
    """The kernel remembers flows by their ports: here are few, so that each is used again."""
    file = "/proc/sys/net/ipv4/ip_local_port_range"
    before = names.hosts.run(names.hosts.near, "cat", file)
    names.hosts.run(names.hosts.near, "sh", "-c", f"echo 40000 40039 >{file}")
    try:
        hold = names.harmed("db.example", answer="nxdomain")
        for _ in range(3):  # a machine that stands still may open one
            for _ in range(80):
                assert names.ask("other.example") == REAL["A"]
            answers = {names.ask("db.example") for _ in range(80)}
            if answers == {"rcode-3"}:
                break
        assert answers == {"rcode-3"}
        end(hold)
    finally:
        names.hosts.run(names.hosts.near, "sh", "-c", f"echo {before.strip()} >{file}")


def test_a_server_that_was_not_named_is_asked_as_always(names: Names) -> None:
    hold = names.harmed("*", answer="nxdomain", servers=[SERVERS[0]])
    assert names.gets("rcode-3", "db.example")
    assert names.ask("db.example", "A", "udp", SERVERS[1]) == REAL["A"]
    end(hold)


def test_lookups_go_their_own_way_when_everything_of_ours_is_killed(names: Names) -> None:
    hold = names.harmed("*", answer="nxdomain")
    (holder,) = supervisor.holders()[hold.mark]
    os.kill(holder.pid, signal.SIGKILL)
    assert eventually(lambda: not runs(holder))
    assert eventually(lambda: names.ask("db.example", seconds=1.5) == REAL["A"])
    assert time.time() < hold.deadline
    end(hold)


def test_the_network_of_a_process_is_meant_by_its_id(names: Names) -> None:
    with names.hosts.program(names.hosts.near, two_hosts.ASKER) as other:
        pid = other.process.pid
        assert eventually(lambda: "netns" not in Path(f"/proc/{pid}/cmdline").read_text())
        hold = names.harmed("db.example", answer="nxdomain", target={"pid": pid})
        line = f"{SERVERS[0]} 53 db.example A udp 5"
        assert eventually(lambda: other.ask(line).split()[0] == "rcode-3")
        assert names.gets("rcode-3", "db.example")
    end(hold)  # though that process has ended
    assert names.ask("db.example") == REAL["A"]


def test_it_ends_at_its_deadline(names: Names, runtime: Path) -> None:
    hold = names.harmed("db.example", answer="nxdomain", seconds=8)
    assert names.gets("rcode-3", "db.example")
    assert eventually(lambda: names.ask("db.example", seconds=1.5) == REAL["A"])
    assert time.time() - hold.deadline < 20
    assert eventually(lambda: list(runtime.iterdir()) == [])
    assert FAULT.restored(hold, Host()).seen


def test_servers_come_from_what_the_system_says(tmp_path: Path) -> None:
    written = tmp_path / "resolv.conf"
    written.write_text(
        "# comment\nsearch example\nnameserver 10.0.0.2\nnameserver fe80::1%eth0\n"
        "nameserver 10.0.0.2\nnameserver\n"
    )
    assert dns.servers_of(str(written)) == ["10.0.0.2", "fe80::1"]
    assert dns.servers_of(str(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("pattern", "name", "meant"),
    [
        ("db.example", "db.example.", True),
        ("db.example", "DB.EXAMPLE", True),
        ("db.example", "a.db.example", False),
        ("*.example", "a.b.example", True),
        ("*.example", "example", False),
        ("*.example", "badexample", False),
        ("*", "anything", True),
    ],
)
def test_which_names_are_meant(pattern: str, name: str, meant: bool) -> None:
    assert matches(name, [pattern]) is meant


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "say what harm"),
        ({"names": [], "answer": "nxdomain"}, "length >= 1"),
        ({"names": ["a..b"], "answer": "nxdomain"}, "not a name such as"),
        ({"names": ["a.*"], "answer": "nxdomain"}, "not a name such as"),
        ({"answer": ["nobody"]}, "'nobody' is not an IP address"),
        ({"answer": []}, "say which addresses"),
        ({"answer": "nxdomain", "servers": ["dns.example"]}, "not an IP address"),
    ],
)
def test_a_senseless_fault_is_rejected(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        from_plain({"names": ["db.example"], **fields}, FAULT)


def test_where_no_name_server_is_known_one_must_be_named(
    monkeypatch: pytest.MonkeyPatch, names: Names
) -> None:
    monkeypatch.setattr(Host, "name_servers", lambda *_: [])
    fault = from_plain(
        {"target": {"namespace": names.hosts.near}, "names": ["*"], "answer": "silent"}, FAULT
    )
    with pytest.raises(Refused, match="names no name server") as refused:
        fault.plan(Host(), random.Random(1))
    assert refused.value.hint == "say which ones: servers: [10.0.0.2]"
