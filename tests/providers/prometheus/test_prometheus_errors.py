"""What Prometheus' HTTP API and what stands before it may answer, given by a fake server."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest

from chaosrun.errors import ChaosrunError, Refused, Transient
from chaosrun.providers.prometheus.client import Prometheus, connect
from chaosrun.providers.prometheus.probe import PrometheusProbe
from chaosrun.units import Duration
from chaosrun.web import BasicAuth


class _Fake(ThreadingHTTPServer):
    status = 200
    answer = b""
    connections = 0
    asked: list[tuple[str, dict[str, str], dict[str, list[str]]]]

    def get_request(self) -> tuple[socket.socket, Any]:
        self.connections += 1
        return super().get_request()


class _Visit(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Fake

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.asked.append((self.path, headers, parse_qs(body)))
        self.send_response(self.server.status)
        self.send_header("content-length", str(len(self.server.answer)))
        self.send_header("location", "/elsewhere")
        self.end_headers()
        self.wfile.write(self.server.answer)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def fake_prometheus() -> Iterator[_Fake]:
    with _Fake(("127.0.0.1", 0), _Visit) as server:
        server.asked = []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join(5)


@pytest.fixture
def client() -> Iterator[Prometheus]:
    client = connect()
    yield client
    client.close()


def probe(fake: _Fake, **more: object) -> PrometheusProbe:
    url = f"http://127.0.0.1:{fake.server_address[1]}/prefix"
    return PrometheusProbe(url=url, query="up", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "answer", "error", "said"),
    [
        (400, '{"status":"error","errorType":"bad_data","error":"no way"}', Refused, "no way"),
        (422, '{"status":"error","errorType":"execution","error":"too big"}', Refused, "too big"),
        (503, '{"status":"error","errorType":"timeout","error":"late"}', Transient, "late"),
        (503, '{"status":"error","errorType":"canceled","error":"gone"}', Transient, "gone"),
        (500, '{"status":"error","errorType":"internal","error":"oops"}', Transient, "oops"),
        (503, "Service Unavailable", Transient, "status 503"),
        (429, "slow down", Transient, "status 429"),
        (401, "who are you", Refused, "status 401"),
        (403, "", Refused, "status 403"),
        (302, "", Refused, "redirect"),
        (404, "<html>", Refused, "not that of Prometheus"),
        (200, "", Refused, "not that of Prometheus"),
        (200, "[]", Refused, "not that of Prometheus"),
        (200, '{"status":"success"}', Refused, "no data"),
        (200, '{"status":"success","data":{"resultType":"vector"}}', Refused, "not that"),
        (
            200,
            '{"status":"success","data":{"resultType":"vector","result":[{"metric":{}}]}}',
            Refused,
            "histogram",
        ),
        (
            200,
            '{"status":"success","data":{"resultType":"scalar","result":[1,"one"]}}',
            Refused,
            "not that",
        ),
    ],
)
def test_what_is_no_number_raises_what_it_is(
    fake_prometheus: _Fake,
    client: Prometheus,
    status: int,
    answer: str,
    error: type[ChaosrunError],
    said: str,
) -> None:
    fake_prometheus.status, fake_prometheus.answer = status, answer.encode()
    with pytest.raises(error) as raised:
        probe(fake_prometheus).observe(client)
    assert said in str(raised.value)


def test_what_is_written_is_what_is_sent(fake_prometheus: _Fake, client: Prometheus) -> None:
    fake_prometheus.answer = (
        b'{"status":"success","data":{"resultType":"matrix","result":'
        b'[{"metric":{},"values":[[1,"1"],[2,"3"]]}]},"warnings":["half of it is missing"]}'
    )
    found = probe(
        fake_prometheus,
        range=Duration(60),
        timeout=Duration(3),
        headers={"X-Scope-OrgID": "shop"},
        basic_auth=BasicAuth(username="me", password="secret"),
    ).observe(client)
    assert (found.value, found.min, found.max, found.avg) == (3.0, 1.0, 3.0, 2.0)
    assert found.warnings == ["half of it is missing"]
    ((path, headers, form),) = fake_prometheus.asked
    assert path == "/prefix/api/v1/query_range"
    assert headers["x-scope-orgid"] == "shop"
    assert headers["authorization"].startswith("Basic ")
    assert (form["query"], form["step"], form["timeout"]) == (["up"], ["1.000"], ["3.0"])
    assert float(form["end"][0]) - float(form["start"][0]) == pytest.approx(60)


def test_fifty_samples_use_one_connection(fake_prometheus: _Fake, client: Prometheus) -> None:
    fake_prometheus.answer = b'{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}'
    for _ in range(50):
        assert probe(fake_prometheus).observe(client).value == 2
    assert fake_prometheus.connections == 1
    assert len(fake_prometheus.asked) == 50
