"""The probe `http-load`: an open loop whose figures leave nothing out."""

from __future__ import annotations

import time
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from chaosrun import commands, expression
from chaosrun.codec import from_plain
from chaosrun.errors import Indeterminate
from chaosrun.providers.http.load import HttpLoad, Load
from chaosrun.web.client import Client
from tests.providers.http.asking import SLACK

ROUNDS = 5
"""How often is looked for an upper bound: a machine that stands still makes all of a window late,
and nothing early."""


def observe(client: Client, url: str, **more: Any) -> Load:
    load = from_plain({"url": url, "window": "400ms", "rate": 50, **more}, HttpLoad)
    began = time.monotonic()
    result = load.observe(client)
    assert time.monotonic() - began < load.time_needed.seconds + SLACK
    assert result.requests == result.sent + result.dropped
    assert result.requests == result.answered + sum(result.failures.values())
    assert result.answered == sum(result.statuses.values())
    assert result.p50 <= result.p90 <= result.p95 <= result.p99 <= result.max
    return result


def test_percentiles_are_those_of_the_server(serve: Any, client: Client) -> None:
    numbers = iter(range(1000))

    def behave(visit: Any) -> None:
        while visit.request():
            time.sleep(0.2 if next(numbers) % 10 == 9 else 0.05)  # every tenth is slow
            visit.answer()

    server = serve(behave)
    for _ in range(ROUNDS):
        result = observe(client, server.url)
        assert result.statuses == {"200": 20}
        assert (result.errors, result.error_share) == (0, 0.0)
        p50, p90 = result.p50.seconds, result.p90.seconds
        p95, most = result.p95.seconds, result.max.seconds
        assert min(p50, p90) >= 0.05
        assert min(p95, most) >= 0.2
        if in_time := p50 < 0.12 and p90 < 0.15 and p95 < 0.3 and most < 0.3:
            break
    assert in_time, result


def test_a_server_that_stalls_slows_nobody_down_and_cannot_hide(serve: Any, client: Client) -> None:
    arrivals: list[float] = []

    def behave(visit: Any) -> None:
        while visit.request():
            arrivals.append(time.monotonic())
            until = arrivals[0] + 0.4
            time.sleep(max(0.0, until - time.monotonic()))  # nobody is answered until then
            visit.answer()

    server = serve(behave)
    for _ in range(ROUNDS):
        arrivals.clear()
        result = observe(client, server.url)
        gaps = [later - earlier for earlier, later in pairwise(arrivals)]
        assert len(arrivals) == 20
        assert result.rate < 55
        assert result.max.seconds >= 0.39  # the first waited for all of the stall,
        assert result.p50.seconds > 0.1  # and the middle one for half of it
        found = (max(gaps), result.rate, result.p50.seconds)
        if in_time := max(gaps) < 0.1 and result.rate > 45 and result.p50.seconds < 0.3:
            break
    assert in_time, found  # the stall is 0.4 s


def test_what_waits_for_a_free_connection_counts_from_when_it_was_due(
    serve: Any, client: Client
) -> None:
    def behave(visit: Any) -> None:
        while visit.request():
            time.sleep(0.05)
            visit.answer()

    # 50 a second are due, and one connection can do 20.
    result = observe(client, serve(behave).url, concurrency=1)
    assert result.statuses == {"200": 20}
    assert result.rate < 25
    assert result.behind.seconds > 0.4
    assert result.max.seconds > 0.5


def test_what_could_not_be_sent_is_an_error(serve: Any, client: Client) -> None:
    server = serve(lambda visit: visit.wait_for_end())
    result = observe(client, server.url, timeout="300ms", concurrency=2)
    assert set(result.failures) == {"timeout", "dropped"}
    assert result.dropped > 10
    assert (result.errors, result.error_share) == (20, 1.0)
    assert result.p50.seconds >= 0.3


def test_failing_fast_does_not_look_fast(client: Client, free_port: int) -> None:
    result = observe(client, f"http://127.0.0.1:{free_port}", timeout="20s")
    assert result.failures == {"connection refused": 20}
    assert result.p50.seconds >= 20


def test_statuses_are_counted_and_bad_ones_are_errors(serve: Any, client: Client) -> None:
    statuses = iter(["200 OK", "204 No Content", "302 Found", "404 Not Found", "503 Busy"] * 4)

    def behave(visit: Any) -> None:
        while visit.request():
            visit.answer(status=next(statuses))

    result = observe(client, serve(behave).url)
    assert result.statuses == dict.fromkeys(("200", "204", "302", "404", "503"), 4)
    assert (result.errors, result.error_share) == (8, 0.4)


def test_connections_are_kept_from_one_sample_to_the_next(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        while visit.request():
            visit.answer()

    server = serve(behave)
    for _ in range(3):
        observe(client, server.url, window="100ms", concurrency=1)
    assert len(server.requests) == 15
    assert server.connections == 1


def test_a_low_rate_is_one_request_a_window(serve: Any, client: Client) -> None:
    def behave(visit: Any) -> None:
        while visit.request():
            visit.answer()

    assert observe(client, serve(behave).url, rate=10, window="100ms").requests == 1


def test_a_cancelled_load_stops_sending(serve: Any, client: Client) -> None:
    cancellation = commands.Cancellation()

    def behave(visit: Any) -> None:
        while visit.request():
            cancellation.cancel()
            visit.answer()

    server = serve(behave)
    token = commands.current.set(cancellation)
    try:
        began = time.monotonic()
        with pytest.raises(Indeterminate):
            observe(client, server.url, rate=10, window="30s")
        assert time.monotonic() - began < 20
    finally:
        commands.current.reset(token)


def test_its_example_can_be_decided(serve: Any, client: Client) -> None:
    from_plain(HttpLoad.example["with"], HttpLoad)
    expected = expression.compile(str(HttpLoad.example["expect"]), HttpLoad.Result)
    assert not expected.evaluate(observe(client, "http://127.0.0.1:1", window="100ms"))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "rate"),
        ({"rate": 0}, "rate"),
        ({"rate": -5}, "rate"),
        ({"rate": 20_000}, "rate"),
        ({"rate": 0.2}, "comes to 0.2 requests"),
        ({"rate": 10_000, "window": "1m"}, "comes to 600000 requests"),
        ({"rate": 1, "concurrency": 0}, "concurrency"),
        ({"rate": 1, "body": "a", "json": 1}, "exclude each other"),
    ],
)
def test_what_is_written_wrong_is_said(written: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        from_plain({"url": "http://a", **written}, HttpLoad)
    assert said in str(raised.value)
