"""The probe `prometheus`, against a real Prometheus."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun import discovery, expression
from chaosrun.codec import from_plain
from chaosrun.errors import ChaosrunError, Refused, Transient
from chaosrun.providers.prometheus.client import Prometheus, connect
from chaosrun.providers.prometheus.probe import Number, PrometheusProbe

_CONFIGURATION = """
global: {evaluation_interval: 100ms}
rule_files: [rules.yml]
"""
_RULES = """
groups:
  - name: a rule gives series at once, where the first scrape comes after five seconds
    rules:
      - {record: up, expr: vector(1), labels: {job: shop}}
      - {record: queue, expr: vector(3), labels: {replica: a}}
      - {record: queue, expr: vector(4), labels: {replica: b}}
"""


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prometheus that holds a few series."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed: apt-get install prometheus")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    home = tmp_path_factory.mktemp("prometheus")
    configuration = home / "prometheus.yml"
    configuration.write_text(_CONFIGURATION)
    (home / "rules.yml").write_text(_RULES)
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program, f"--config.file={configuration}", f"--storage.tsdb.path={home}/tsdb",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log, stderr=log,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for_series(url, process, home / "log")
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _wait_for_series(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    query = "/api/v1/query?query=count_over_time(queue[1m])%20%3E%203"
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url + query, timeout=2) as answer:
                if b"replica" in answer.read():
                    return
        except OSError:
            pass
        time.sleep(0.05)
    pytest.fail(f"Prometheus did not start: {log.read_text()[-2000:]}")


@pytest.fixture(scope="module")
def client() -> Iterator[Prometheus]:
    client = connect()
    yield client
    client.close()


def observe(client: Prometheus, url: str, query: str, **more: Any) -> Number:
    return from_plain({"url": url, "query": query, **more}, PrometheusProbe).observe(client)


def refused(client: Prometheus, url: str, query: str, **more: Any) -> ChaosrunError:
    with pytest.raises(Refused) as raised:
        observe(client, url, query, **more)
    return raised.value


@pytest.mark.parametrize(
    ("query", "value"),
    [("up", 1.0), ("sum(up) * 2.5", 2.5), ("42", 42.0), ("1 / 0", float("inf")), ("-up", -1.0)],
)
def test_the_number_of_now_is_seen(
    prometheus: str, client: Prometheus, query: str, value: float
) -> None:
    found = observe(client, prometheus, query)
    assert found.value == value
    assert (found.values, found.min, found.max, found.avg) == ([value], value, value, value)
    assert not found.empty


def test_a_base_with_a_slash_is_the_same(prometheus: str, client: Prometheus) -> None:
    assert observe(client, prometheus + "/", "up").value == 1


def test_a_range_of_time_is_seen(prometheus: str, client: Prometheus) -> None:
    written = {"range": "1s", "step": "250ms"}
    found = observe(client, prometheus, "time() - time() % 0.25", **written)
    assert len(found.values) == 5
    assert found.values == sorted(found.values)
    assert (found.min, found.value, found.max) == (found.values[0], found.max, found.values[-1])
    assert found.min < found.avg < found.max
    assert abs(found.value - time.time()) < 2

    stored = observe(client, prometheus, "queue{replica='b'}", range="1m")
    assert (stored.min, stored.value) == (4.0, 4.0)


def test_no_series_is_unknown_unless_it_means_something(
    prometheus: str, client: Prometheus
) -> None:
    error = refused(client, prometheus, "sum(nothing_is_called_this)")
    assert "no series" in str(error)
    assert "`empty: 0`" in error.hint
    for more in ({}, {"range": "1m"}):
        found = observe(client, prometheus, "sum(nothing_is_called_this)", empty=0, **more)
        assert (found.value, found.empty, found.values) == (0.0, True, [0.0])


def test_several_series_are_unknown(prometheus: str, client: Prometheus) -> None:
    for more in ({}, {"range": "1m"}):
        error = refused(client, prometheus, "queue", **more)
        assert "2 series, not one" in str(error)
        assert "sum(...)" in error.hint


def test_not_a_number_is_unknown(prometheus: str, client: Prometheus) -> None:
    for more in ({}, {"range": "1m"}):
        assert "NaN" in str(refused(client, prometheus, "0 / (up - up)", **more))


def test_a_range_of_samples_is_unknown_and_says_what_to_write(
    prometheus: str, client: Prometheus
) -> None:
    error = refused(client, prometheus, "up[1m]")
    assert "a range of samples" in str(error)
    assert "rate(...)" in error.hint


def test_a_text_is_unknown(prometheus: str, client: Prometheus) -> None:
    assert "a text" in str(refused(client, prometheus, '"up"'))


@pytest.mark.parametrize("query", ["sum(up", "rate(up)", "nosuch(up)", "up{a=}"])
def test_a_wrong_query_is_refused_in_prometheus_own_words(
    prometheus: str, client: Prometheus, query: str
) -> None:
    error = refused(client, prometheus, query)
    assert str(error).startswith("Prometheus: ")
    assert "parse error" in str(error)


def test_a_page_that_is_no_api_is_refused(prometheus: str, client: Prometheus) -> None:
    assert "`url` is the base" in refused(client, prometheus + "/metrics", "up").hint


def test_a_server_that_is_down_makes_the_sample_unknown(client: Prometheus) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(Transient, match="connection refused"):
        observe(client, f"http://127.0.0.1:{port}", "up")


def test_its_example_can_be_decided(prometheus: str, client: Prometheus) -> None:
    assert discovery.probe("prometheus") is PrometheusProbe
    written: Any = PrometheusProbe.example["with"]
    expected = expression.compile(str(PrometheusProbe.example["expect"]), PrometheusProbe.Result)
    assert expected.evaluate(observe(client, **{**written, "url": prometheus}))


def test_all_its_names_may_be_used_in_an_expectation(prometheus: str, client: Prometheus) -> None:
    expect = "value < 5.0 && max <= avg && values[0] == min && !empty && size(warnings) == 0"
    assert expression.compile(expect, Number).evaluate(observe(client, prometheus, "up"))


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "query"),
        ({"query": ""}, "query"),
        ({"query": "up", "url": "prometheus:9090"}, "not a URL such as"),
        ({"query": "up", "url": "http://p?query=up"}, "the base"),
        ({"query": "up", "step": "1s"}, "needs `range`"),
        ({"query": "up", "range": "0s"}, "longer than 0s"),
        ({"query": "up", "range": "1d", "step": "1s"}, "11000 steps"),
        ({"query": "up", "empty": "0"}, "empty"),
        ({"query": "up", "timeout": "0s"}, "longer than 0s"),
    ],
)
def test_what_is_written_wrong_is_said(written: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        from_plain({"url": "http://p", **written}, PrometheusProbe)
    assert said in str(raised.value)
