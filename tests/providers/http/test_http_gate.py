"""The gate `http`: unknown means closed, and a closed gate says why."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.gate import Measured
from chaosrun.providers.http.gate import HttpGate
from chaosrun.web.client import Client


def measure(client: Client, url: str, **more: Any) -> Measured:
    return from_plain({"url": url, **more}, HttpGate).measure(client)


def incidents(count: int, status: str = "200 OK") -> Any:
    def behave(visit: Any) -> None:
        while visit.request():
            visit.answer(b'{"open": %d}' % count, status, Content_Type="application/json")

    return behave


def test_it_is_open_while_the_answer_meets_the_expectation(serve: Any, client: Client) -> None:
    found = measure(client, serve(incidents(0)).url, expect="json.open == 0")
    assert found.open
    assert found.measured == "json.open = 0"
    assert found.rule == "json.open == 0"


def test_it_is_closed_when_the_answer_does_not(serve: Any, client: Client) -> None:
    found = measure(
        client, serve(incidents(2)).url, expect="json.open == 0", hint="close the incident"
    )
    assert not found.open
    assert found.hint == "close the incident"


@pytest.mark.parametrize(("status", "is_open"), [("204 No Content", True), ("503 Busy", False)])
def test_without_an_expectation_a_good_status_opens_it(
    serve: Any, client: Client, status: str, is_open: bool
) -> None:
    assert measure(client, serve(incidents(0, status)).url).open is is_open


def test_no_answer_closes_it_whatever_is_expected(client: Client, free_port: int) -> None:
    found = measure(client, f"http://127.0.0.1:{free_port}/?key=hunter2", expect="status == 0")
    assert not found.open
    assert found.measured == "no answer: connection refused"
    assert "hunter2" not in repr(found)


def test_an_answer_that_does_not_say_raises_so_that_it_is_closed(
    serve: Any, client: Client
) -> None:
    with pytest.raises(Refused):
        measure(client, serve(incidents(0)).url, expect="json.nothing == 0")


@pytest.mark.parametrize(
    ("expect", "said"),
    [("stauts == 200", "status"), ("status ==", "expect"), ("status", "expect"), ("", "length")],
)
def test_a_wrong_expectation_is_said_before_anything_is_asked(expect: str, said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        from_plain({"url": "http://a", "expect": expect}, HttpGate)
    assert said in str(raised.value)


def test_its_example_is_valid_and_it_is_found_by_its_name() -> None:
    assert discovery.gate("http") is HttpGate
    from_plain(HttpGate.example, HttpGate)
