"""The probe `tcp`, against ports that behave well and badly."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from chaosrun import discovery, expression
from chaosrun.codec import from_plain
from chaosrun.errors import Transient
from chaosrun.providers.tcp.probe import Reply, TcpProbe
from chaosrun.units import Duration

Listen = Callable[..., str]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Starts a port: `listen(behaviour)` gives its address; a behaviour is given the socket."""
    listeners, threads = [], []

    def start(behave: Callable[[socket.socket], object], host: str = "127.0.0.1") -> str:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, 0), family=family)

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    sock, _ = listener.accept()
                    with sock, contextlib.suppress(OSError):
                        behave(sock)
                        while sock.recv(1000):
                            pass

        thread = threading.Thread(target=accept)
        thread.start()
        listeners.append(listener)
        threads.append(thread)
        port = listener.getsockname()[1]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    yield start
    for listener, thread in zip(listeners, threads, strict=True):
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(5)
        assert not thread.is_alive()


def observe(address: str, **more: Any) -> Reply:
    probe = from_plain({"address": address, **more}, TcpProbe)
    began = time.monotonic()
    reply = probe.observe(None)
    took = time.monotonic() - began
    assert took < probe.time_needed.seconds + 5  # the machine may stand still meanwhile
    return reply


def redis(sock: socket.socket) -> None:
    if sock.recv(100) == b"PING\r\n":
        sock.sendall(b"+PO")
        time.sleep(0.01)
        sock.sendall(b"NG\r\n")


def test_a_port_that_takes_connections_is_open(listen: Listen) -> None:
    reply = observe(listen(lambda _: None))
    assert (reply.open, reply.error, reply.received) == (True, "", "")
    assert Duration(0) < reply.latency < Duration(5)


def test_ipv6_is_spoken(listen: Listen) -> None:
    try:
        address = listen(lambda _: None, "::1")
    except OSError as error:
        pytest.skip(f"no IPv6 on loopback ({error}): sysctl net.ipv6.conf.lo.disable_ipv6=0")
    assert observe(address).open


def test_what_is_awaited_is_put_together(listen: Listen) -> None:
    reply = observe(listen(redis), send="PING\r\n", until="\n")
    assert (reply.received, reply.error) == ("+PONG\r\n", "")


def test_without_until_what_comes_first_is_taken(listen: Listen) -> None:
    reply = observe(listen(redis), send="PING\r\n")
    assert reply.received.startswith("+PO")
    assert reply.error == ""


def test_a_greeting_needs_nothing_sent(listen: Listen) -> None:
    reply = observe(listen(lambda sock: sock.sendall(b"220 mail\r\n")), until="\n")
    assert reply.received == "220 mail\r\n"


def test_a_closed_port_is_a_result() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    reply = observe(f"127.0.0.1:{port}")
    assert (reply.open, reply.error) == (False, "connection refused")


def test_an_unknown_name_is_a_result() -> None:
    reply = observe("no-such-host.invalid:80", timeout="20s")
    assert reply.error in ("name not found", "name lookup failed")


def test_a_peer_that_goes_or_resets_is_a_result(listen: Listen) -> None:
    def close(sock: socket.socket) -> None:
        sock.sendall(b"bye")
        sock.close()

    def reset(sock: socket.socket) -> None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()

    gone = observe(listen(close), until="\n")
    assert (gone.open, gone.error, gone.received) == (True, "connection closed", "bye")
    assert observe(listen(reset), until="\n").error == "connection reset"


def test_a_peer_that_dribbles_ends_in_time(listen: Listen) -> None:
    def dribble(sock: socket.socket) -> None:
        while True:
            sock.sendall(b".")
            time.sleep(0.02)

    reply = observe(listen(dribble), until="\n", timeout="200ms")
    assert (reply.open, reply.error) == (True, "timeout")
    assert reply.received.startswith("..")
    assert reply.latency < Duration(5)


def test_what_is_received_is_bounded_and_may_be_binary(listen: Listen) -> None:
    def flood(sock: socket.socket) -> None:
        while True:
            sock.sendall(b"\xff" * 65536)

    reply = observe(listen(flood), until="\n")
    assert "did not come" in reply.error
    assert len(reply.received) == 65536


def test_a_machine_without_free_files_makes_the_sample_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def none_left(*_: object) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(socket, "socket", none_left)
    with pytest.raises(Transient, match="cannot look from here"):
        TcpProbe(address="127.0.0.1:1").observe(None)


def test_its_example_is_valid_and_it_is_found_by_its_name() -> None:
    assert discovery.probe("tcp") is TcpProbe
    from_plain(TcpProbe.example["with"], TcpProbe)
    expression.compile(str(TcpProbe.example["expect"]), TcpProbe.Result)


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("db", "not an address such as"),
        ("db:", "not an address such as"),
        (":80", "not an address such as"),
        ("::1:80", "not an address such as"),
        ("http://db:80", "not an address such as"),
        ("db:0", "between 1 and 65535"),
        ("db:70000", "between 1 and 65535"),
    ],
)
def test_a_wrong_address_is_said(address: str, said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        from_plain({"address": address}, TcpProbe)
    assert said in str(raised.value)


def test_an_address_that_waits_for_a_secret_is_not_judged_yet() -> None:
    from_plain({"address": "${secrets.db}:5432"}, TcpProbe)
