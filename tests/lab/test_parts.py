"""Each weakness of the lab is real, and so is what it does well."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from chaosrun.lab import web
from chaosrun.lab.processes import read_pids
from chaosrun.lab.world import World
from chaosrun.units import JSON
from tests.lab.ports import wait_until


@pytest.fixture
def paused_backend(lab: World) -> Iterator[None]:
    pid = read_pids(lab.file("."))["backend"]
    os.kill(pid, signal.SIGSTOP)
    yield
    os.kill(pid, signal.SIGCONT)
    wait_until(lambda: web.call(lab.port("backend"), "/health", timeout=20)[0] == 200)


def _metrics(lab: World, name: str) -> dict[str, JSON]:
    metrics: dict[str, JSON] = web.call(lab.port(name), "/metrics", timeout=20)[1]
    return metrics


def test_reads_go_round_the_replicas(lab: World) -> None:
    def seen() -> set[str]:
        return {web.call(lab.port("front"), "/hello", timeout=20)[1]["replica"] for _ in range(9)}

    wait_until(lambda: seen() == {"replica-1", "replica-2", "replica-3"})  # none rests


def test_users_send_all_routes_and_all_is_well(lab: World) -> None:
    wait_until(lambda: len(_metrics(lab, "traffic")["routes"]) == 4)
    wait_until(lambda: _metrics(lab, "traffic")["errorShare"] == 0)
    assert set(_metrics(lab, "traffic")["routes"]) == {"hello", "checkout", "catalog", "orders"}
    wait_until(lambda: _metrics(lab, "backend")["routes"]["reserve"]["amplification"] == 1)


@pytest.mark.usefixtures("paused_backend")
def test_checkout_falls_back_when_the_backend_hangs(lab: World) -> None:
    began = time.monotonic()
    status, said = web.call(lab.port("front"), "/checkout", timeout=20)
    assert (status, said["fallback"]) == (200, True)
    assert time.monotonic() - began >= 0.3


@pytest.mark.usefixtures("paused_backend")
def test_catalog_hangs_when_the_backend_hangs(lab: World) -> None:
    with pytest.raises(TimeoutError):
        web.call(lab.port("replica-1"), "/catalog", timeout=1)


@pytest.mark.usefixtures("paused_backend")
def test_orders_multiply_the_load_on_a_backend_that_hangs(lab: World) -> None:
    status, said = web.call(lab.port("replica-1"), "/orders", timeout=30)
    assert (status, said["error"]) == (503, "backend: no answer in 6 attempts")


@pytest.mark.usefixtures("paused_backend")
def test_users_do_not_slow_down_with_the_system(lab: World) -> None:
    wait_until(lambda: _metrics(lab, "traffic")["inFlight"] >= 2)
    wait_until(lambda: _metrics(lab, "traffic")["errors"] > 0)


def test_the_front_serves_on_while_a_replica_is_gone(lab: World) -> None:
    os.kill(read_pids(lab.file("."))["replica-1"], signal.SIGKILL)
    for _ in range(12):
        assert web.call(lab.port("front"), "/hello", timeout=20)[0] == 200
    wait_until(lambda: web.answers(lab.port("replica-1"), timeout=1))


def test_the_backend_reads_its_settings_only_when_it_starts(lab: World) -> None:
    port = lab.port("backend")
    try:
        assert _put_settings(port, b'{"delayMs": 50}') == 200
        _, said = web.call(port, "/settings", timeout=20)
        assert said == {"wanted": {"delayMs": 50.0}, "applied": {"delayMs": 0.0}}
        assert _put_settings(port, b'{"delayed": 50}') == 400
    finally:
        _, said = web.call(port, "/settings", timeout=20, method="DELETE")
    assert said["wanted"] == {"delayMs": 0.0}


def _put_settings(port: int, body: bytes) -> int:
    return web.call(port, "/settings", timeout=20, method="PUT", body=body)[0]


def test_the_change_window_is_closed_until_it_is_opened(lab: World) -> None:
    front = lab.port("front")
    assert web.call(front, "/change-window", timeout=20) == (200, {"open": False})
    web.call(front, "/change-window", timeout=20, method="PUT")
    assert web.call(front, "/change-window", timeout=20) == (200, {"open": True})
    web.call(front, "/change-window", timeout=20, method="DELETE")
    assert web.call(front, "/change-window", timeout=20) == (200, {"open": False})


def test_an_unknown_route_is_not_found(lab: World) -> None:
    assert web.call(lab.port("front"), "/nowhere", timeout=20)[0] == 404
