"""The probe `http`: bodies of any kind, and none that is read without an end."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from chaosrun.web.client import Client
from tests.providers.http.asking import observe


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
