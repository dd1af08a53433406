"""The probe `http`: redirects, and what they may not carry elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from chaosrun.web.client import Client
from tests.providers.http.asking import observe


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
