"""The halt source `http`: whatever is not surely off is on."""

from __future__ import annotations

from typing import Any

import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Transient
from chaosrun.halting import Switch
from chaosrun.providers.http.halt import HttpHalt
from chaosrun.web.client import Client

OFF = "status == 200 && json.halted == false"


def read(client: Client, url: str, **more: Any) -> Switch:
    return from_plain({"url": url, "offWhen": OFF, **more}, HttpHalt).read(client)


def says(body: bytes, status: str = "200 OK") -> Any:
    def behave(visit: Any) -> None:
        while visit.request():
            visit.answer(body, status, Content_Type="application/json")

    return behave


def test_it_is_off_while_the_answer_says_so(serve: Any, client: Client) -> None:
    found = read(client, serve(says(b'{"halted": false}')).url)
    assert (found.on, found.unreadable) == (False, False)
    assert found.seen.startswith("status = 200, json.halted = False (off: ")


@pytest.mark.parametrize(
    ("body", "status"), [(b'{"halted": true}', "200 OK"), (b'{"halted": false}', "404 Not Found")]
)
def test_it_is_on_when_the_answer_says_anything_else(
    serve: Any, client: Client, body: bytes, status: str
) -> None:
    assert read(client, serve(says(body, status)).url).on


def test_an_answer_that_does_not_say_raises_so_that_it_counts_as_on(
    serve: Any, client: Client
) -> None:
    with pytest.raises(Exception, match="halted"):
        read(client, serve(says(b"{}")).url)


@pytest.mark.parametrize("status", ["500 Oh", "503 Busy", "429 Slow down"])
def test_a_server_in_trouble_raises(serve: Any, client: Client, status: str) -> None:
    with pytest.raises(Transient, match="the server answered"):
        read(client, serve(says(b"{}", status)).url)


def test_no_answer_raises_and_repeats_no_url(client: Client, free_port: int) -> None:
    with pytest.raises(Transient, match="no answer: connection refused") as caught:
        read(client, f"http://127.0.0.1:{free_port}/?key=hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_wrong_expectation_is_told_when_the_policy_is_read() -> None:
    with pytest.raises(Exception, match="`offWhen`"):
        from_plain({"url": "http://x/", "offWhen": "stats == 200"}, HttpHalt)
