"""Connections through a proxy are harmed as asked, and whole again afterwards."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun.errors import Indeterminate, Refused, Transient
from chaosrun.fault import Hold
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.proxy.messages import Request, Status
from chaosrun.providers.host.tcp_proxy import TcpProxy
from tests.providers.host.conftest import Proxy, echo, eventually, fault, leased


def lease(proxy: Proxy, host: Host, seconds: float = 60.0, **harm: Any) -> Hold:
    planned = fault("host.tcp-proxy", target={"listen": proxy.listen}, **harm)
    return leased(planned.plan(host, random.Random(1)), seconds)


@contextlib.contextmanager
def harmed(proxy: Proxy, host: Host, **harm: Any) -> Iterator[Hold]:
    hold = lease(proxy, host, **harm)
    TcpProxy.inject(hold, host)
    assert TcpProxy.took_effect(hold, host).seen
    yield hold
    TcpProxy.revert(hold, host)
    assert TcpProxy.restored(hold, host).seen


def ask(connection: socket.socket, text: bytes = b"x") -> float:
    """Seconds until it came back."""
    began = time.perf_counter()
    connection.sendall(text)
    assert receive(connection, len(text)) == text
    return time.perf_counter() - began


def quickest(connection: socket.socket) -> float:
    """The shortest of five: a machine that does other things too only makes it longer."""
    return min(ask(connection) for _ in range(5))


def receive(connection: socket.socket, size: int) -> bytes:
    heard = bytearray()
    while len(heard) < size and (part := connection.recv(65536)):
        heard += part
    return bytes(heard)


def status(proxy: Proxy, host: Host) -> Status:
    found = host.proxy(proxy.control, Request(do="status"))
    assert found is not None
    return found


def test_without_a_fault_bytes_pass_unchanged_and_a_half_close_stays_one(proxy: Proxy) -> None:
    sent = random.Random(1).randbytes(8_000_000)
    with proxy.connect() as connection:
        writer = threading.Thread(target=connection.sendall, args=(sent,))
        writer.start()
        assert receive(connection, len(sent)) == sent
        writer.join()
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_latency_is_what_was_asked_for_on_open_and_new_connections(
    proxy: Proxy, host: Host
) -> None:
    with proxy.connect() as opened:
        quiet = quickest(opened)
        with harmed(proxy, host, latency="50ms") as hold, proxy.connect() as new:
            rounds = 0
            for connection in (opened, new):
                for _ in range(5):  # a machine that does other things too only makes it longer
                    rounds += 1
                    took = min(ask(connection) - quiet for _ in range(9))
                    if took < 0.053:
                        break
                assert 0.049 < took < 0.053, f"it is {took * 1000:.2f} ms, and not 50"
            seen = TcpProxy.took_effect(hold, host)
            assert f"{9 * rounds} bytes were held" in seen.detail
            assert seen.measured["chunks"] == 9 * rounds
            assert seen.measured["delayMean"] >= 0.05
        assert quickest(opened) < 0.03


def test_the_directions_are_told_apart(proxy: Proxy, host: Host) -> None:
    with proxy.connect() as connection:
        for direction, least in (("upstream", 0.05), ("downstream", 0.05), ("both", 0.1)):
            with harmed(proxy, host, latency="50ms", direction=direction):
                assert least < quickest(connection) < least + 0.04


def test_faults_on_one_proxy_add_up_and_each_reverts_only_itself(proxy: Proxy, host: Host) -> None:
    with proxy.connect() as connection, harmed(proxy, host, latency="60ms"):
        with harmed(proxy, host, latency="90ms") as second:
            assert 0.15 < quickest(connection) < 0.2
            assert len(status(proxy, host).toxics) == 2
        assert TcpProxy.restored(second, host).detail.endswith("1 of others are still on")
        assert 0.06 < quickest(connection) < 0.1


def test_jitter_stays_within_its_bounds_and_keeps_the_order(proxy: Proxy, host: Host) -> None:
    with (
        proxy.connect() as connection,
        harmed(proxy, host, latency="30ms", jitter="25ms"),
    ):
        times = [ask(connection) for _ in range(20)]
        assert min(times) > 0.004
        assert sorted(times)[14] < 0.085
        assert max(times) - min(times) > 0.01
        for number in range(200):
            connection.sendall(b"%03d" % number)
        assert receive(connection, 600) == b"".join(b"%03d" % n for n in range(200))


def test_bandwidth_is_a_bound(proxy: Proxy, host: Host) -> None:
    with proxy.connect() as connection, harmed(proxy, host, bandwidth="200k"):
        took = ask(connection, bytes(100_000))
    assert 0.45 < took < 10


def test_a_blackhole_lets_nothing_pass_and_loses_nothing(proxy: Proxy, host: Host) -> None:
    with proxy.connect() as opened:
        with harmed(proxy, host, blackhole=True), proxy.connect() as new:
            for connection in (opened, new):
                connection.sendall(b"question")
                connection.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    connection.recv(1)
        opened.settimeout(10)
        assert receive(opened, 8) == b"question"


def test_what_is_held_is_delivered_at_once_when_the_fault_ends(proxy: Proxy, host: Host) -> None:
    with proxy.connect() as connection:
        with harmed(proxy, host, latency="30s"):
            connection.sendall(b"first")
            assert eventually(lambda: status(proxy, host).held == 5)
            connection.sendall(b"second")
            assert eventually(lambda: status(proxy, host).held == 11)
        assert receive(connection, 11) == b"firstsecond"


def test_a_close_is_held_back(proxy: Proxy, host: Host) -> None:
    with proxy.connect() as connection, harmed(proxy, host, slowClose="200ms"):
        assert quickest(connection) < 0.1
        began = time.monotonic()
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""
        assert 0.2 < time.monotonic() - began < 10


def test_a_close_comes_after_the_bytes_before_it(proxy: Proxy, host: Host) -> None:
    with proxy.connect() as connection, harmed(proxy, host, latency="100ms"):
        connection.sendall(b"last words")
        connection.shutdown(socket.SHUT_WR)
        assert receive(connection, 100) == b"last words"


def test_reset_ends_open_and_new_connections(proxy: Proxy, host: Host) -> None:
    with proxy.connect() as opened:
        ask(opened)
        with harmed(proxy, host, reset={}) as hold:
            with pytest.raises(ConnectionResetError):
                opened.recv(1)
            with pytest.raises(ConnectionError), proxy.connect() as new:  # already there, or later
                ask(new)
            assert TcpProxy.took_effect(hold, host).measured["resets"] == 2
    with proxy.connect() as after:
        ask(after)


def test_reset_takes_its_share_and_its_time(proxy: Proxy, host: Host) -> None:
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(proxy.connect()) for _ in range(40)]
        for connection in connections:
            ask(connection)
        with harmed(proxy, host, reset={"share": "50%", "after": "2s"}) as hold:
            assert status(proxy, host).connections == 40
            assert eventually(lambda: status(proxy, host).connections < 40)
            resets = TcpProxy.took_effect(hold, host).measured["resets"]
        assert 8 <= resets <= 32
        assert len([c for c in connections if still_open(c)]) == 40 - resets


def still_open(connection: socket.socket) -> bool:
    try:
        return ask(connection) > 0
    except ConnectionError:
        return False


def test_a_reset_that_waits_does_not_outlive_its_fault(proxy: Proxy, host: Host) -> None:
    with proxy.connect() as connection:
        ask(connection)
        with harmed(proxy, host, reset={"after": "2s"}):
            pass
        with harmed(proxy, host, latency="2500ms"):
            ask(connection)


def test_the_proxy_ends_the_fault_at_its_deadline(proxy: Proxy, host: Host) -> None:
    hold = lease(proxy, host, seconds=3, latency="200ms")
    TcpProxy.inject(hold, host)
    with proxy.connect() as connection:
        assert ask(connection) > 0.2
        assert eventually(lambda: not status(proxy, host).toxics)
        assert -0.5 < time.time() - hold.deadline < 10
        assert quickest(connection) < 0.1
    assert TcpProxy.restored(hold, host).seen
    assert not TcpProxy.took_effect(hold, host).seen


def test_a_deadline_that_has_passed_is_refused(proxy: Proxy, host: Host) -> None:
    with pytest.raises(Refused, match="the deadline has passed"):
        TcpProxy.inject(lease(proxy, host, seconds=-1, latency="1s"), host)
    assert not status(proxy, host).toxics


def test_what_is_held_is_bounded(proxy: Proxy, host: Host) -> None:
    with proxy.connect() as connection, harmed(proxy, host, latency="30s", direction="upstream"):
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.sendall(bytes(64_000_000))
        assert 2**20 < status(proxy, host).held <= 4 * 2**20 + 65536


def test_a_slow_reader_slows_the_writer(host: Host) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as upstream,
        Proxy(upstream.getsockname()) as proxy,
        proxy.connect() as connection,
    ):
        silent, _ = upstream.accept()
        with silent:
            connection.settimeout(0.5)
            with pytest.raises(TimeoutError):
                connection.sendall(bytes(64_000_000))
            assert status(proxy, host).held < 2**20


def test_without_upstream_a_connection_is_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        nobody = taken.getsockname()
    with (
        Proxy(nobody) as proxy,
        proxy.connect() as connection,
        pytest.raises(ConnectionResetError),
    ):
        connection.recv(1)


def test_what_breaks_upstream_breaks_downstream() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as upstream,
        Proxy(upstream.getsockname()) as proxy,
        proxy.connect() as connection,
    ):
        accepted, _ = upstream.accept()
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)


@pytest.mark.parametrize(
    ("listen", "service", "upstream"),
    [("::1", "::1", "::1"), ("127.0.0.1", "127.0.0.1", "localhost"), ("::1",) + 2 * ("127.0.0.1",)],
)
def test_it_speaks_ipv6_and_names(host: Host, listen: str, service: str, upstream: str) -> None:
    with (
        echo(service) as address,
        Proxy((upstream, address[1]), host=listen) as proxy,
        proxy.connect() as connection,
        harmed(proxy, host, latency="50ms"),
    ):
        assert 0.05 < quickest(connection) < 0.15


def test_a_restarted_proxy_has_no_fault(host: Host) -> None:
    with echo() as upstream, Proxy(upstream) as proxy:
        hold = lease(proxy, host, latency="1s")
        TcpProxy.inject(hold, host)
        proxy.process.kill()
        proxy.process.wait()
        assert TcpProxy.restored(hold, host).detail.startswith("the proxy has ended")
        TcpProxy.revert(hold, host)
        with pytest.raises(Refused, match="has ended"):
            TcpProxy.inject(hold, host)
        with Proxy(upstream, "--control", proxy.control):
            TcpProxy.revert(hold, host)
            assert TcpProxy.restored(hold, host).seen
            assert not TcpProxy.took_effect(hold, host).seen


def test_a_proxy_that_hangs_is_not_called_restored(
    proxy: Proxy, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chaosrun.providers.host.client._PROXY_ANSWERS_WITHIN", 0.2)
    hold = lease(proxy, host, latency="1s")
    TcpProxy.inject(hold, host)
    proxy.process.send_signal(signal.SIGSTOP)
    for act in (TcpProxy.revert, TcpProxy.restored, TcpProxy.took_effect):
        with pytest.raises(Transient, match="does not answer"):
            act(hold, host)
    proxy.process.send_signal(signal.SIGCONT)
    TcpProxy.revert(hold, host)
    assert TcpProxy.restored(hold, host).seen


def test_a_proxy_that_lost_its_socket_is_not_called_restored(proxy: Proxy, host: Host) -> None:
    hold = lease(proxy, host, latency="1s")
    TcpProxy.inject(hold, host)
    os.unlink(proxy.control)
    for act in (TcpProxy.revert, TcpProxy.restored):
        with pytest.raises(Indeterminate, match="its control socket is gone"):
            act(hold, host)


def test_without_a_proxy_the_plan_says_which_there_are(proxy: Proxy, host: Host) -> None:
    wrong = fault("host.tcp-proxy", target={"listen": "127.0.0.1:1"}, latency="1s")
    with pytest.raises(Refused, match="no proxy of ours listens") as refused:
        wrong.plan(host, random.Random(1))
    assert refused.value.hint == f"proxies listen on {proxy.listen}"
    proxy.process.kill()
    proxy.process.wait()
    with pytest.raises(Refused) as refused:
        wrong.plan(host, random.Random(1))
    assert "start one: python -m chaosrun.providers.host.proxy" in refused.value.hint


def test_the_plan_says_what_will_be_felt(proxy: Proxy, host: Host) -> None:
    hold = lease(
        proxy, host, latency="200ms", jitter="20ms", bandwidth="64Ki", direction="both",
        reset={"share": "5%", "after": "1s"},
    )  # fmt: skip
    assert hold.effect == (
        "bytes arrive 200ms later (give or take 20ms), at most 64KiB/s pass, "
        "5% of connections are reset after 1s (both)"
    )


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ({}, "say what harm"),
        ({"latency": "0s"}, "say what harm"),
        ({"latency": "1ms", "jitter": "2ms"}, "jitter .* cannot be more than latency"),
        ({"bandwidth": 0}, "at least 1 byte per second"),
        ({"reset": {"share": "0%"}}, "does nothing"),
        ({"latency": "1s", "direction": "left"}, "left"),
    ],
)
def test_senseless_harm_is_rejected(harm: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        fault("host.tcp-proxy", target={"listen": "127.0.0.1:1"}, **harm)


@pytest.mark.parametrize("address", ["127.0.0.1", ":80", "::1:80", "a:b", "a:99999", ""])
def test_a_wrong_address_is_rejected(address: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"is not an address|in brackets"):
        fault("host.tcp-proxy", target={"listen": address}, latency="1s")


def test_two_proxies_cannot_have_one_control_socket(proxy: Proxy) -> None:
    done = subprocess.run(
        [
            sys.executable, "-m", "chaosrun.providers.host.proxy", "--listen", "127.0.0.1:0",
            "--upstream", "127.0.0.1:1", "--control", proxy.control,
        ],
        capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "another proxy answers" in done.stderr


def test_the_control_socket_is_for_its_user_only_and_goes_with_the_proxy(proxy: Proxy) -> None:
    assert Path(proxy.control).stat().st_mode & 0o777 == 0o600
    proxy.process.terminate()
    assert proxy.process.wait(10) == 0
    assert not Path(proxy.control).exists()


@pytest.mark.parametrize("line", [b"\xff\n", b"{}\n", b'{"do": "set"}\n', b'{"do": "x"}\n'])
def test_nonsense_is_answered_with_its_error(proxy: Proxy, line: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(5)
        connection.connect(proxy.control)
        connection.sendall(line)
        assert connection.recv(4096).startswith(b'{"error":')
        connection.sendall(b'{"do": "status"}\n')
        assert connection.recv(4096).startswith(b'{"status":')
