"""The probe `http`: what a server answers, and what a person may write."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from chaosrun import expression
from chaosrun.codec import from_plain, json_schema, to_plain
from chaosrun.providers.http.probe import HttpProbe, Response
from chaosrun.units import Duration
from chaosrun.web.client import Client
from tests.providers.http.asking import observe, polite


def test_an_answer_is_seen_whole(serve: Any, client: Client) -> None:
    response = observe(client, serve(polite).url)
    assert response.status == 200
    assert response.headers["x-pod"] == "a"
    assert response.json == {"state": "up", "queue": 3}
    assert response.body == '{"state": "up", "queue": 3}'
    assert Duration(0) < response.latency < Duration(5)
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
