"""A proxy between two parts harms the requests that are meant, and ends it by its own clock."""

from __future__ import annotations

import contextlib
import http.client
import os
import random
import signal
import subprocess
import sys
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
from tests.contract.labs.press import free_ports
from tests.mechanisms.conftest import eventually

FAULT = discovery.fault("host.http-proxy")


class Proxied:
    """A web server behind a proxy, on the loopback."""

    def __init__(self, cleanup: contextlib.ExitStack) -> None:
        self._web, self.port = free_ports(2)
        self.listen = f"127.0.0.1:{self.port}"
        self._start(cleanup, ["-c", two_hosts.WEB_SERVER, str(self._web)])
        self.proxy = self._start(cleanup, self.words)

    @property
    def words(self) -> list[str]:
        upstream = f"127.0.0.1:{self._web}"
        return [
            "-m", "chaosrun.mechanisms.http_proxy", "--listen", self.listen,
            "--upstream", upstream,
        ]  # fmt: skip

    def _start(self, cleanup: contextlib.ExitStack, words: list[str]) -> subprocess.Popen[str]:
        process = cleanup.enter_context(
            subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True)
        )
        cleanup.callback(process.terminate)
        assert process.stdout is not None
        assert process.stdout.readline()
        return process

    def ask(self, path: str) -> tuple[int, float]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        began = time.monotonic()
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
        except http.client.IncompleteRead:
            return -1, time.monotonic() - began
        finally:
            connection.close()
        return answer.status, time.monotonic() - began

    def harmed(self, seconds: float = 60.0, **fields: Any) -> Hold:
        fault = from_plain({"target": {"listen": self.listen}, **fields}, FAULT)
        hold = msgspec.structs.replace(
            fault.plan(Host(), random.Random(1)),
            mark=uuid.uuid4().hex, deadline=time.time() + seconds,
        )  # fmt: skip
        FAULT.inject(hold, Host())
        return hold


@pytest.fixture
def proxied(runtime: Path) -> Iterator[Proxied]:
    with contextlib.ExitStack() as cleanup:
        yield Proxied(cleanup)
    assert list(runtime.iterdir()) == []


def end(hold: Hold) -> None:
    FAULT.revert(hold, Host())
    assert FAULT.restored(hold, Host()).seen


def test_requests_fail_wait_and_break_off_as_asked(proxied: Proxied) -> None:
    hold = proxied.harmed(status=503, paths=["/orders"])
    assert proxied.ask("/orders")[0] == 503
    assert proxied.ask("/other")[0] == 200
    assert "1 of 2 requests were harmed" in FAULT.took_effect(hold, Host()).detail
    end(hold)
    hold = proxied.harmed(delay="300ms")
    assert proxied.ask("/orders")[1] >= 0.3 - 0.003  # Envoy's timers know whole milliseconds
    end(hold)
    hold = proxied.harmed(abort=True)
    assert proxied.ask("/orders")[0] == -1
    end(hold)
    assert proxied.ask("/orders")[0] == 200
    assert eventually(lambda: proxied.ask("/orders")[1] < 0.25)


def test_the_proxy_ends_it_though_everything_else_is_killed(proxied: Proxied) -> None:
    hold = proxied.harmed(seconds=8, status=503)
    (holder,) = supervisor.holders()[hold.mark]
    os.kill(holder.pid, signal.SIGKILL)
    assert eventually(lambda: not runs(holder))
    assert proxied.ask("/")[0] == 503
    assert eventually(lambda: proxied.ask("/")[0] == 200)
    assert -1.5 < time.time() - hold.deadline < 10
    end(hold)


def test_one_fault_at_a_time(proxied: Proxied) -> None:
    hold = proxied.harmed(status=503)
    with pytest.raises(Refused, match="another's wish"):
        proxied.harmed(status=500)
    assert proxied.ask("/")[0] == 503
    end(hold)


def test_one_proxy_for_each_address(proxied: Proxied) -> None:
    done = subprocess.run(
        [sys.executable, *proxied.words], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 1
    assert "listens on" in done.stderr


def test_a_proxy_that_was_killed_harms_nobody(runtime: Path) -> None:
    with contextlib.ExitStack() as cleanup:
        proxied = Proxied(cleanup)
        hold = proxied.harmed(status=503)
        proxied.proxy.kill()
        proxied.proxy.wait()
        assert eventually(lambda: "the proxy has ended" in FAULT.took_effect(hold, Host()).detail)
        end(hold)


def test_without_a_proxy_it_is_refused_with_how_to_start_one() -> None:
    fault = from_plain({"target": {"listen": "127.0.0.1:9"}, "status": 503}, FAULT)
    with pytest.raises(Refused, match="no HTTP proxy of ours listens") as refused:
        fault.plan(Host(), random.Random(1))
    assert "python -m chaosrun.mechanisms.http_proxy" in refused.value.hint


def test_an_address_that_is_none_is_said_so() -> None:
    words = ["-m", "chaosrun.mechanisms.http_proxy", "--listen", "x", "--upstream", "y"]
    done = subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert "'x' is not an address" in done.stderr
