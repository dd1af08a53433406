"""HTTP requests between two hosts are harmed as asked, and all others pass as they came."""

from __future__ import annotations

import json
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
from chaosrun.mechanisms import supervisor
from chaosrun.procfs import runs
from chaosrun.providers.host.client import Host
from tests import two_hosts
from tests.mechanisms.conftest import eventually

FAULT = discovery.fault("host.http")
FAR, FAR6 = "10.77.0.2", "fd77::2"


class Web:
    """A browser on the near host, and a web server on the far one, port 80."""

    def __init__(self, hosts: two_hosts.TwoHosts, browser: two_hosts.Program) -> None:
        self.hosts, self._browser = hosts, browser

    def ask(self, path: str, host: str = FAR, **asked: Any) -> dict[str, Any]:
        line = json.dumps({"host": host, "port": 80, "path": path, **asked})
        answer: dict[str, Any] = json.loads(self._browser.ask(line))
        return answer

    def gets(self, status: int, path: str, host: str = FAR, **asked: Any) -> bool:
        """Whether that status comes: not at once where the machine stood still for longer than
        the kernel keeps the way to it."""
        return eventually(lambda: self.ask(path, host, **asked)["status"] == status)

    def harmed(self, seconds: float = 60.0, target: Any = None, **fields: Any) -> Hold:
        """Injected on the near host, unless the target says otherwise."""
        where = {"namespace": self.hosts.near, "ports": [80], **(target or {})}
        fault = from_plain({"target": where, **fields}, FAULT)
        planned = fault.plan(Host(), random.Random(1))
        hold = msgspec.structs.replace(
            planned, mark=uuid.uuid4().hex, deadline=time.time() + seconds
        )
        FAULT.inject(hold, Host())
        return hold


@pytest.fixture(scope="module")
def web() -> Iterator[Web]:
    with (
        two_hosts.made() as hosts,
        hosts.program(hosts.far, two_hosts.WEB_SERVER, "80"),
        hosts.program(hosts.near, two_hosts.BROWSER) as browser,
    ):
        yield Web(hosts, browser)


def end(hold: Hold) -> None:
    FAULT.revert(hold, Host())
    assert FAULT.restored(hold, Host()).seen


def test_chosen_requests_get_a_status_and_others_pass_as_they_came(web: Web) -> None:
    rules = web.hosts.rules(web.hosts.near)
    plain = web.ask("/other?x=1", headers={"X-Own": "Mine"})
    hold = web.harmed(
        status=418, methods=["POST"], paths=["/orders*"], headers={"x-user": "test"}
    )  # fmt: skip
    meant: dict[str, Any] = {"method": "POST", "headers": {"X-User": "test"}}
    for host in (FAR, FAR6):
        assert web.gets(418, "/orders/1", host, **meant)
        assert web.ask("/order", host, **meant)["status"] == 200
        assert web.ask("/orders/1", host, method="POST")["status"] == 200
        assert web.ask("/orders/1", host, headers={"X-User": "test"})["status"] == 200
    passed = web.ask("/other?x=1", headers={"X-Own": "Mine"})
    assert {**passed, "seconds": 0} == {**plain, "seconds": 0}

    def counted(host: str, **asked: Any) -> list[int]:
        before = FAULT.took_effect(hold, Host()).measured
        web.ask("/orders/1", host, **asked)
        after = FAULT.took_effect(hold, Host()).measured
        return [after.get(name, 0) - before.get(name, 0) for name in ("requests", "harmed")]

    for host in (FAR, FAR6):
        assert eventually(lambda: counted(host, **meant) == [1, 1])  # noqa: B023
        assert eventually(lambda: counted(host) == [1, 0])  # noqa: B023
    end(hold)
    assert web.ask("/orders/1", **meant)["status"] == 200
    assert web.hosts.rules(web.hosts.near) == rules


def test_requests_wait_as_long_as_asked(web: Web) -> None:
    hold = web.harmed(delay="300ms", paths=["/slow"])
    assert eventually(lambda: 0.3 <= web.ask("/slow")["seconds"] < 1)
    assert eventually(lambda: web.ask("/fast")["seconds"] < 0.25)
    end(hold)
    assert eventually(lambda: web.ask("/slow")["seconds"] < 0.25)


def test_an_answer_breaks_off(web: Web) -> None:
    hold = web.harmed(abort=True, paths=["/broken"])
    broken = {"status": 0, "body": "IncompleteRead", "seconds": 0}
    assert eventually(lambda: web.ask("/broken") | {"seconds": 0} == broken)
    assert web.ask("/whole")["status"] == 200
    assert eventually(lambda: FAULT.took_effect(hold, Host()).measured.get("harmed") == 1)
    end(hold)
    assert web.ask("/broken")["status"] == 200


def test_a_share_of_requests_is_harmed(web: Web) -> None:
    hold = web.harmed(status=503, share="30%")
    failed = sum(web.ask("/")["status"] == 503 for _ in range(200))
    assert 30 <= failed <= 95  # 60 expected: beyond five standard deviations
    end(hold)


def test_what_comes_in_is_harmed_on_the_host_that_serves(web: Web) -> None:
    hold = web.harmed(status=500, target={"namespace": web.hosts.far, "direction": "in"})
    assert web.gets(500, "/")
    assert web.gets(500, "/", FAR6)
    end(hold)
    assert web.ask("/")["status"] == 200


def test_what_comes_in_and_is_not_meant_is_served(web: Web) -> None:
    there = {"namespace": web.hosts.far, "direction": "in"}
    hold = web.harmed(status=500, paths=["/orders*"], target=there)
    for host in (FAR, FAR6):
        assert web.gets(500, "/orders/1", host)
        assert web.ask("/", host)["status"] == 200
    end(hold)


def test_only_the_addresses_that_were_named(web: Web) -> None:
    hold = web.harmed(status=500, target={"addresses": ["fd77::/64"]})
    assert web.gets(500, "/", FAR6)
    assert web.ask("/", FAR)["status"] == 200
    end(hold)


KEEPER_OF_CONNECTIONS = """
import http.client, sys
kept = http.client.HTTPConnection("10.77.0.2", 80, timeout=30)
print("ready", flush=True)
for line in sys.stdin:
    try:
        kept.request("GET", "/")
        answer = kept.getresponse()
        answer.read()
        print(answer.status, flush=True)
    except (OSError, http.client.HTTPException) as error:
        kept.close()
        print(type(error).__name__, flush=True)
"""


def test_clients_that_keep_connections_come_to_us_too(web: Web) -> None:
    with web.hosts.program(web.hosts.near, KEEPER_OF_CONNECTIONS) as client:
        assert client.ask("") == "200"
        for _ in range(3):  # a machine that stands still may open a way past us
            hold = web.harmed(status=503)
            came = [client.ask(""), client.ask("")]
            end(hold)
            assert "200" in (client.ask(""), client.ask(""))
            reset = came[0] in ("ConnectionResetError", "RemoteDisconnected")
            if reset and came[1] == "503":
                break
        assert reset, came
        assert came[1] == "503"


def test_traffic_goes_its_own_way_when_everything_of_ours_is_killed(web: Web) -> None:
    hold = web.harmed(status=503)
    assert web.gets(503, "/")
    (holder,) = supervisor.holders()[hold.mark]
    os.kill(holder.pid, signal.SIGKILL)
    assert eventually(lambda: not runs(holder))
    assert eventually(lambda: web.ask("/")["status"] == 200)
    assert time.time() < hold.deadline
    end(hold)


def test_it_ends_at_its_deadline(web: Web, runtime: Path) -> None:
    hold = web.harmed(seconds=10, status=503)
    assert web.gets(503, "/")
    assert eventually(lambda: web.ask("/")["status"] == 200)
    assert time.time() - hold.deadline < 20
    assert eventually(lambda: list(runtime.iterdir()) == [])
    assert FAULT.restored(hold, Host()).seen


def test_nobody_comes_to_envoy_who_was_not_brought_there(web: Web) -> None:
    hold = web.harmed(status=503)
    rules = web.hosts.rules(web.hosts.near)
    port = int(rules.split("redirect to :")[1].split()[0])
    asked = f"import socket; socket.create_connection(('10.77.0.1', {port}), 0.5)"
    with web.hosts.program(
        web.hosts.far, f"import sys\ntry:\n {asked}\nexcept OSError as e: print(type(e).__name__)"
    ) as stranger:
        assert stranger.ready == "TimeoutError"
    end(hold)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "say what harm"),
        ({"status": 503, "abort": True}, "not both"),
        ({"status": 99}, ">= 200"),
        ({"status": 503, "share": "0%"}, "does nothing"),
        ({"status": 503, "paths": ["orders"]}, "not a path such as /orders"),
        ({"status": 503, "methods": ["get"]}, "not a method such as GET"),
        ({"status": 503, "headers": {"a b": "c"}}, "not the name of a header"),
        ({"status": 503, "target": {"ports": []}}, "length >= 1"),
        ({"status": 503, "target": {"ports": [80], "addresses": ["x"]}}, "not an address"),
    ],
)
def test_a_senseless_fault_is_rejected(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        from_plain({"target": {"ports": [80]}, **fields}, FAULT)


def test_without_the_right_it_is_refused_when_it_is_planned(monkeypatch: Any) -> None:
    monkeypatch.setattr(Host, "capabilities", lambda _: set[str]())
    fault = from_plain({"target": {"ports": [80]}, "status": 503}, FAULT)
    with pytest.raises(Refused, match="CAP_NET_ADMIN is missing, for rules of nftables"):
        fault.plan(Host(), random.Random(1))
