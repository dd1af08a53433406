"""The probe `http`, against servers that answer badly, late, or not at all."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosrun.providers.http.probe import HttpProbe
from chaosrun.units import Duration
from chaosrun.web.client import Client, _Socket
from tests.providers.http.asking import observe


def slow(what: bytes, pause: float = 0.02) -> Any:
    """Says that, a byte at a time."""

    def behave(visit: Any) -> None:
        visit.request()
        for byte in what:
            visit.say(bytes([byte]))
            time.sleep(pause)
        visit.wait_for_end()

    return behave


def test_a_closed_port_is_a_result(client: Client, free_port: int) -> None:
    assert observe(client, f"http://127.0.0.1:{free_port}").error == "connection refused"


def test_a_reset_is_a_result(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        visit.request()
        visit.reset()

    assert observe(client, serve(behave).url).error == "connection reset"


def test_an_unknown_name_is_a_result(client: Client) -> None:
    response = observe(client, "http://no-such-host.invalid/", timeout="20s")
    assert response.error in ("name not found", "name lookup failed")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (b"", "connection closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "connection closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", "connection closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "connection closed"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "malformed answer"),
        (b"HTTP/1.1 abc OK\r\n\r\n", "malformed answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n", "malformed answer"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n", "malformed answer"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
            "malformed answer",
        ),
    ],
)
def test_half_an_answer_is_no_answer(serve: Any, client: Client, said: bytes, error: str) -> None:
    def behave(visit: Any) -> None:
        visit.request()
        visit.say(said)
        visit.sock.shutdown(socket.SHUT_WR)
        visit.wait_for_end()

    response = observe(client, serve(behave).url)
    assert (response.status, response.error) == (0, error)
    assert response.body == ""


@pytest.mark.parametrize(
    "behave",
    [
        lambda visit: visit.wait_for_end(),
        slow(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50),
        slow(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n" + b"x" * 500, 0.01),
        slow(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 99, 0.005),
    ],
    ids=["silent", "dribbles headers", "dribbles a body", "dribbles chunks"],
)
def test_the_timeout_is_for_the_whole_of_it(serve: Any, client: Client, behave: Any) -> None:
    response = observe(client, serve(behave).url, timeout="300ms")
    assert (response.status, response.error) == (0, "timeout")
    assert Duration(0.29) < response.latency < Duration(3)


def test_a_request_that_nobody_reads_ends_in_time(serve: Any, client: Client) -> None:
    done = threading.Event()
    server = serve(lambda _: done.wait(10))
    try:
        response = observe(
            client, server.url, timeout="300ms", method="POST", body="x" * 20_000_000
        )
    finally:
        done.set()
    assert response.error == "timeout"


def test_a_backlog_that_is_full_ends_in_time(client: Client) -> None:
    """Half-open: the kernel answers no further connection, and nobody accepts one."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        address = listener.getsockname()
        waiting = []
        for _ in range(3):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            waiting.append(sock)
        response = observe(client, f"http://127.0.0.1:{address[1]}", timeout="300ms")
        for sock in waiting:
            sock.close()
    assert response.error == "timeout"


def test_a_name_server_that_is_silent_ends_in_time(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, asked = threading.Event(), []
    real = socket.getaddrinfo

    def silent(host: Any, *args: Any, **kwargs: Any) -> Any:
        if host != "silent.test" or kwargs.get("flags"):
            return real(host, *args, **kwargs)
        asked.append(threading.current_thread())
        answer.wait(10)
        raise socket.gaierror(socket.EAI_AGAIN, "later")

    monkeypatch.setattr(socket, "getaddrinfo", silent)
    for _ in range(3):
        assert observe(client, "http://silent.test/", timeout="100ms").error == "timeout"
    assert len(asked) == 1  # one thread waits for everybody who asks the same
    answer.set()
    asked[0].join(5)
    assert observe(client, "http://silent.test/").error == "name lookup failed"


def test_an_idle_connection_that_the_server_closes_is_replaced(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        visit.request()
        visit.answer()
        if visit.number == 1:
            visit.request()  # and go, without an answer
        else:
            visit.wait_for_end()

    server = serve(behave)
    assert observe(client, server.url).status == 200
    assert observe(client, server.url).status == 200
    assert server.connections == 2


def test_a_post_is_never_sent_twice(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        visit.request()
        visit.answer()
        visit.request()

    server = serve(behave)
    assert observe(client, server.url, method="POST").status == 200
    assert observe(client, server.url, method="POST").error == "connection closed"
    assert len(server.requests) == 2


def test_an_error_never_shows_the_url_or_a_header(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        visit.request()
        visit.say(b"\x00garbage\r\n\r\n")

    response = observe(
        client, serve(behave).url + "/?key=hunter2", headers={"authorization": "hunter2"}
    )
    assert response.error
    assert "hunter2" not in repr(response)


_HEADS = (b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 302 Found\r\nLocation: ", b"Content-Length: ", b"")


@settings(max_examples=150)
@given(
    st.lists(
        st.sampled_from((*_HEADS, b"\r\n", b"\r\n\r\n", b"Content-Encoding: gzip, br\r\n"))
        | st.binary(max_size=20)
        | st.integers(-9, 10**20).map(lambda number: str(number).encode()),
        max_size=12,
    )
)
def test_whatever_a_server_says_is_a_result(said: list[bytes]) -> None:
    assert _fuzzed(b"".join(said))


def _fuzzed(said: bytes) -> bool:
    client = Client()
    ours, theirs = socket.socketpair()

    def connected(*_: Any) -> Any:
        return _Socket(fileno=ours.detach())

    with pytest.MonkeyPatch.context() as patch, theirs:
        patch.setattr("chaosrun.web.client.connect_socket", connected)
        theirs.sendall(said)
        theirs.shutdown(socket.SHUT_WR)
        probe = HttpProbe(url="http://fuzzed/", timeout=Duration(2), follow_redirects=False)
        response = probe.observe(client)
    client.close()
    return (response.error == "") == (response.status > 0)
