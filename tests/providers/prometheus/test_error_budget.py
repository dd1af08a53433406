"""The gate `error-budget`: its arithmetic, and what a fake Prometheus may answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused, Transient
from chaosrun.gate import Measured
from chaosrun.providers.prometheus.client import connect
from chaosrun.providers.prometheus.error_budget import ErrorBudget, left_of

GOOD, TOTAL = "sum(increase(good[3600s]))", "sum(increase(total[3600s]))"


class FakePrometheus(ThreadingHTTPServer):
    """POST /api/v1/query, with an answer for each query; without one there is no series."""

    series: dict[str, list[str]]
    status = 200


class _Visit(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: FakePrometheus

    def do_POST(self) -> None:
        asked = parse_qs(self.rfile.read(int(self.headers["content-length"])).decode())
        result = [
            {"metric": {"index": str(index)}, "value": [1795514400.0, number]}
            for index, number in enumerate(self.server.series.get(asked["query"][0], []))
        ]
        data = {"resultType": "vector", "result": result}
        body = json.dumps({"status": "success", "data": data}).encode()
        self.send_response(self.server.status if self.path == "/api/v1/query" else 404)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.server.status == 200 else b"-" * len(body))

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def fake_prometheus() -> Iterator[FakePrometheus]:
    with FakePrometheus(("127.0.0.1", 0), _Visit) as server:
        server.series = {}
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


def gate(url: str, **more: Any) -> ErrorBudget:
    arguments = {
        "url": url, "objective": "99%", "window": "1h", "left": "25%",
        "good": "sum(increase(good[$window]))", "total": "sum(increase(total[$window]))", **more,
    }  # fmt: skip
    return from_plain(arguments, ErrorBudget)


def measure(fake: FakePrometheus, good: list[str], total: list[str], **more: Any) -> Measured:
    fake.series = {GOOD: good, TOTAL: total}
    client = connect()
    try:
        return gate(f"http://127.0.0.1:{fake.server_port}", **more).measure(client)
    finally:
        client.close()


@pytest.mark.parametrize(
    ("good", "is_open", "said"),
    [
        ("10000", True, "100% of the error budget is left: 0 of 10,000 were bad"),
        ("9925", True, "25% of the error budget is left: 75 of 10,000 were bad"),
        ("9924", False, "24% of the error budget is left: 76 of 10,000 were bad"),
        ("9900", False, "0% of the error budget is left: 100 of 10,000 were bad"),
        ("9800", False, "-100% of the error budget is left: 200 of 10,000 were bad"),
        ("0", False, "-9900% of the error budget is left: 10,000 of 10,000 were bad"),
        ("10000.4", True, "100% of the error budget is left: 0 of 10,000 were bad"),
    ],
)
def test_it_is_open_while_enough_of_the_budget_is_left(
    fake_prometheus: FakePrometheus, good: str, is_open: bool, said: str
) -> None:
    found = measure(fake_prometheus, [good], ["10000"])
    assert found.open is is_open
    assert found.measured == f"{said} in 1h, where 99% must be good"
    assert found.rule == "at least 25% of the error budget must be left"
    assert bool(found.hint) is not is_open


@pytest.mark.parametrize(
    ("good", "total"),
    [
        ([], ["100"]),
        (["100"], []),
        ([], []),
        (["50", "50"], ["100"]),
        (["100"], ["50", "50"]),
        (["0"], ["0"]),
        (["NaN"], ["100"]),
        (["100"], ["NaN"]),
        (["+Inf"], ["+Inf"]),
        (["-1"], ["100"]),
        (["100"], ["50"]),
    ],
)
def test_numbers_that_cannot_tell_raise_so_that_it_is_closed(
    fake_prometheus: FakePrometheus, good: list[str], total: list[str]
) -> None:
    with pytest.raises(Refused):
        measure(fake_prometheus, good, total)


def test_a_prometheus_that_fails_raises(fake_prometheus: FakePrometheus) -> None:
    fake_prometheus.status = 503
    with pytest.raises(Transient):
        measure(fake_prometheus, ["100"], ["100"])


counts = st.integers(1, 10**12)
objectives = st.integers(1, 99_999).map(lambda parts: Fraction(parts, 100_000))


@given(total=counts, objective=objectives, data=st.data())
def test_what_is_left_is_that_of_exact_arithmetic(
    total: int, objective: Fraction, data: st.DataObject
) -> None:
    good = data.draw(st.integers(0, total))
    exact = 1 - Fraction(total - good, total) / (1 - objective)
    left = left_of(good=float(good), total=float(total), objective=float(objective))
    assert left == pytest.approx(float(exact), rel=1e-9, abs=1e-6)


@given(total=counts, objective=objectives, data=st.data())
def test_more_bad_events_never_leave_more(
    total: int, objective: Fraction, data: st.DataObject
) -> None:
    fewer, more = sorted(data.draw(st.tuples(st.integers(0, total), st.integers(0, total))))
    of = {"total": float(total), "objective": float(objective)}
    assert left_of(good=float(fewer), **of) <= left_of(good=float(more), **of)
    assert left_of(good=float(total), **of) == 1


@given(good=st.floats(), total=st.floats(), objective=objectives)
def test_whatever_is_counted_gives_a_part_of_at_most_all_or_is_refused(
    good: float, total: float, objective: Fraction
) -> None:
    with suppress(Refused):
        assert left_of(good=good, total=total, objective=float(objective)) <= 1


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"objective": "100%"}, "nothing may fail at 100%"),
        ({"objective": "0%"}, "`objective` must be between"),
        ({"window": "500ms"}, "at least 1s"),
        ({"good": "sum(up)"}, "`good` does not use the window"),
        ({"total": "sum(up)"}, "`total` does not use the window"),
        ({"url": "http://a/?x=1"}, "without a query"),
    ],
)
def test_wrong_arguments_are_told(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        gate(**{"url": "http://a", **wrong})


def test_it_is_found_by_its_name_and_its_example_is_valid() -> None:
    assert discovery.gate("error-budget") is ErrorBudget
    assert from_plain(ErrorBudget.example, ErrorBudget).time_needed.seconds > 10
