"""The probe `http`, against servers that behave well and badly."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaosrun import expression
from chaosrun.codec import from_plain, json_schema, to_plain
from chaosrun.providers.http.probe import HttpProbe, Response
from chaosrun.units import Duration
from chaosrun.web.client import Client, _Socket


def observe(client: Client, url: str, **more: Any) -> Response:
    probe = from_plain({"url": url, **more}, HttpProbe)
    began = time.monotonic()
    response = probe.observe(client)
    took = time.monotonic() - began
    assert took < probe.time_needed.seconds
    assert response.latency.seconds <= took
    assert (response.error == "") == (response.status > 0)
    return response


def polite(visit: Any) -> None:
    while visit.request():
        visit.answer(b'{"state": "up", "queue": 3}', Content_Type="application/json", X_Pod="a")


def slow(what: bytes, pause: float = 0.02) -> Any:
    """Says that, a byte at a time."""

    def behave(visit: Any) -> None:
        visit.request()
        for byte in what:
            visit.say(bytes([byte]))
            time.sleep(pause)
        visit.wait_for_end()

    return behave


# --- a whole answer -------------------------------------------------------------------------


def test_an_answer_is_seen_whole(serve: Any, client: Client) -> None:
    response = observe(client, serve(polite).url)
    assert response.status == 200
    assert response.headers["x-pod"] == "a"
    assert response.json == {"state": "up", "queue": 3}
    assert response.body == '{"state": "up", "queue": 3}'
    assert Duration(0) < response.latency < Duration(1)
    assert response.certificate_days_left is None


def test_its_example_can_be_decided(serve: Any, client: Client) -> None:
    expected = expression.compile(str(HttpProbe.example["expect"]), HttpProbe.Result)
    assert expected.evaluate(observe(client, serve(polite).url))
    from_plain(HttpProbe.example["with"], HttpProbe)


def test_its_result_survives_being_journaled(serve: Any, client: Client) -> None:
    response = observe(client, serve(polite).url)
    assert from_plain(to_plain(response), Response).body == response.body
    assert json_schema(HttpProbe)["$defs"]


def test_fifty_samples_use_one_connection(serve: Any, client: Client) -> None:
    server = serve(polite)
    for _ in range(50):
        assert observe(client, server.url).status == 200
    assert server.connections == 1
    assert len(server.requests) == 50


def test_without_keep_alive_each_sample_connects(serve: Any, client: Client) -> None:
    server = serve(polite)
    for _ in range(3):
        assert observe(client, server.url, keepAlive=False).status == 200
    assert server.connections == 3
    assert b"connection: close" in server.requests[0]


def test_many_threads_share_one_client(serve: Any, client: Client) -> None:
    server = serve(polite)
    with ThreadPoolExecutor(40) as threads:
        statuses = [
            future.result().status
            for future in [threads.submit(observe, client, server.url) for _ in range(400)]
        ]
    assert statuses == [200] * 400
    assert server.connections <= 40


def test_what_is_written_is_what_is_sent(serve: Any, client: Client) -> None:
    server = serve(polite)
    observe(
        client, server.url + "/a b/ü?q=1".replace(" ", "%20"),
        method="POST", json={"a": [1]}, headers={"X-Team": "zahlung ü"},
        basicAuth={"username": "me", "password": "secret"},
    )  # fmt: skip
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /a%20b/%C3%BC?q=1 HTTP/1.1\r\n")
    assert body == b'{"a":[1]}'
    for line in (
        b"content-type: application/json",
        "x-team: zahlung ü".encode(),
        b"authorization: Basic bWU6c2VjcmV0",
        b"user-agent: chaosrun/",
    ):
        assert line in head


def test_a_head_request_and_an_empty_answer_keep_the_connection(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        while request := visit.request():
            if request.startswith(b"HEAD"):
                visit.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n")
            else:
                visit.say(b"HTTP/1.1 204 No Content\r\n\r\n")

    server = serve(behave)
    assert observe(client, server.url, method="HEAD").status == 200
    assert observe(client, server.url).status == 204
    assert observe(client, server.url, method="HEAD").body == ""
    assert server.connections == 1


def test_chunks_are_put_together(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        while visit.request():
            visit.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            visit.say(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n")

    server = serve(behave)
    assert observe(client, server.url).body == "hello world"
    assert observe(client, server.url).body == "hello world"
    assert server.connections == 1


def test_cookies_are_not_kept(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        while visit.request():
            visit.answer(Set_Cookie="session=1")

    server = serve(behave)
    observe(client, server.url)
    observe(client, server.url)
    assert b"cookie" not in server.requests[1].lower()


def test_the_environment_changes_nothing(
    serve: Any, client: Client, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{free_port}")
    assert observe(client, serve(polite).url).status == 200


def test_ipv6_is_spoken(serve: Any, client: Client) -> None:
    try:
        server = serve(polite, host="::1")
    except OSError as error:
        pytest.skip(f"no IPv6 on loopback ({error}): sysctl net.ipv6.conf.lo.disable_ipv6=0")
    assert observe(client, server.url).status == 200


def test_a_name_with_several_addresses_finds_the_one_that_answers(
    serve: Any, client: Client
) -> None:
    # localhost is ::1 and 127.0.0.1 on most machines; the server has only the latter.
    assert observe(client, f"http://localhost:{serve(polite).port}").status == 200


# --- no answer ------------------------------------------------------------------------------


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
    assert Duration(0.29) < response.latency < Duration(0.45)


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


# --- bodies ---------------------------------------------------------------------------------


def test_a_huge_body_is_cut(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        visit.request()
        visit.say(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[")
        while True:  # without an end, until the client goes
            visit.say(b"1," * 8192)

    response = observe(client, serve(behave).url)
    assert response.status == 200
    assert len(response.body) == 64 * 1024
    assert response.truncated
    assert response.json is None


def test_max_body_decides_what_is_read(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        while visit.request():
            visit.answer(b'"' + b"x" * 100_000 + b'"', Content_Type="application/json")

    server = serve(behave)
    whole = observe(client, server.url, maxBody="1Mi")
    assert whole.json == "x" * 100_000
    assert not whole.truncated
    exactly = observe(client, server.url, maxBody=100_002)
    assert not exactly.truncated
    assert observe(client, server.url, maxBody=100_001).truncated


def test_a_packed_body_is_unpacked_no_further_than_asked(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        while visit.request():
            visit.answer(gzip.compress(b"0" * 50_000_000), Content_Encoding="gzip")

    response = observe(client, serve(behave).url, headers={"accept-encoding": "gzip"})
    assert response.body == "0" * 64 * 1024
    assert response.truncated


@pytest.mark.parametrize(
    ("body", "content", "text", "json"),
    [
        (b"\xff\x00\x80", "application/octet-stream", "\ufffd\x00\ufffd", None),
        ("grün".encode("latin-1"), "text/plain; charset=ISO-8859-1", "grün", None),
        (b"up", "text/plain; charset=klingon", "up", None),
        (b"{}", "text/plain", "{}", {}),
        (b"null", "application/json", "null", None),
        (b"3", "application/problem+json", "3", 3),
        (b"{oops", "application/json", "{oops", None),
        (b"[" * 60_000, "application/json", "[" * 60_000, None),
        (b"", "application/json", "", None),
    ],
)
def test_any_body_is_text_and_json_when_it_can_be(
    serve: Any, client: Client, body: bytes, content: str, text: str, json: Any
) -> None:
    def behave(visit: Any) -> None:
        visit.request()
        visit.answer(body, Content_Type=content)

    response = observe(client, serve(behave).url)
    assert (response.status, response.body, response.json) == (200, text, json)


# --- redirects ------------------------------------------------------------------------------


def redirecting(location: str, status: str = "302 Found") -> Any:
    def behave(visit: Any) -> None:
        while request := visit.request():
            if b" /there " in request:
                visit.answer(b"arrived")
            else:
                visit.answer(b"go on", status, Location=location)

    return behave


def test_a_redirect_is_followed_on_the_same_connection(serve: Any, client: Client) -> None:
    server = serve(redirecting("/there"))
    response = observe(client, server.url, headers={"x-token": "abc"})
    assert (response.status, response.body) == (200, "arrived")
    assert server.connections == 1
    assert b"x-token: abc" in server.requests[1]


def test_a_redirect_is_a_result_when_it_is_not_to_be_followed(serve: Any, client: Client) -> None:
    response = observe(client, serve(redirecting("/there")).url, followRedirects=False)
    assert (response.status, response.headers["location"]) == (302, "/there")


def test_redirects_without_an_end_are_given_up(serve: Any, client: Client) -> None:
    server = serve(redirecting("/again"))
    assert observe(client, server.url).error == "more than 10 redirects"
    assert len(server.requests) == 11


def test_another_origin_gets_neither_headers_nor_body(serve: Any, client: Client) -> None:
    other = serve(redirecting(""))
    server = serve(redirecting(f"http://me:pw@127.0.0.1:{other.port}/there"))
    token = {"x-api-key": "hunter2", "accept": "text/plain"}
    basic = {"username": "me", "password": "hunter2"}
    response = observe(client, server.url, headers=token, basicAuth=basic)
    assert response.status == 200
    sent = other.requests[0].lower()
    assert b"accept: text/plain" in sent
    assert b"x-api-key" not in sent
    assert b"authorization" not in sent

    keeping = serve(redirecting(f"{other.url}/there", "307 Temporary Redirect"))
    assert observe(client, keeping.url, method="POST", body="hunter2").status == 307
    assert len(other.requests) == 1


@pytest.mark.parametrize(
    ("status", "method"), [("303 See Other", b"GET"), ("308 Permanent Redirect", b"POST")]
)
def test_a_redirected_post_follows_the_rules(
    serve: Any, client: Client, status: str, method: bytes
) -> None:
    server = serve(redirecting("/there", status))
    observe(client, server.url, method="POST", body="hello")
    assert server.requests[1].startswith(method + b" /there")
    assert server.requests[1].endswith(b"hello" if method == b"POST" else b"\r\n\r\n")


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "http://[::1", "file:///etc/passwd", ""])
def test_a_redirect_to_nowhere_is_the_answer(serve: Any, client: Client, location: str) -> None:
    assert observe(client, serve(redirecting(location)).url).status == 302


# --- what is written ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "url"),
        ({"url": "checkout/health"}, "not a URL such as"),
        ({"url": "ftp://checkout"}, "not a URL such as"),
        ({"url": "http://"}, "not a URL such as"),
        ({"url": "http://[::1"}, "not a URL"),
        ({"url": "http://a:99999"}, "not a URL"),
        ({"url": "http://me:pw@a/"}, "basicAuth"),
        ({"url": "http://a/b c"}, "%20"),
        ({"url": "http://a/\r\nX: y"}, "control character"),
        ({"url": "http://a", "timeout": "0s"}, "longer than 0s"),
        ({"url": "http://a", "timeout": 2}, "needs a unit"),
        ({"url": "http://a", "method": "BREW"}, "BREW"),
        ({"url": "http://a", "headers": {"a b": "c"}}, "name of a header"),
        ({"url": "http://a", "headers": {"a": "b\nc"}}, "line break"),
        ({"url": "http://a", "body": "x", "json": {}}, "exclude each other"),
        ({"url": "http://a", "tls": {"key": "k.pem"}}, "needs `cert`"),
        ({"url": "http://a", "maxBody": "1Gi"}, "at most"),
        ({"url": "http://a", "bodies": "x"}, "unknown field"),
        (
            {
                "url": "http://a",
                "headers": {"Authorization": "x"},
                "basicAuth": {"username": "u", "password": "p"},
            },
            "exclude each other",
        ),
    ],
)
def test_what_is_written_wrong_is_said(written: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        from_plain(written, HttpProbe)
    assert said in str(raised.value)


def test_a_bad_header_value_is_never_repeated() -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        from_plain({"url": "http://a", "headers": {"token": "hunter2\n"}}, HttpProbe)
    assert "hunter2" not in str(raised.value)


def test_what_waits_for_a_secret_is_not_judged_yet() -> None:
    from_plain({"url": "${secrets.url}", "headers": {"a": "${secrets.b}"}}, HttpProbe)
