"""The probes and the gate say what is there."""

from __future__ import annotations

from typing import Any

import pytest

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.providers.docker.client import Docker
from tests.docker_engine import DockerEngine, containers_of
from tests.providers.docker.conftest import eventually
from tests.providers.docker.shop import ComposedShop


def observed(probe: str, docker: Docker, **with_: Any) -> Any:
    return from_plain(with_, discovery.probe(probe)).observe(docker)


def test_a_container_is_seen_as_it_is(engine: DockerEngine, docker: Docker) -> None:
    with containers_of(engine) as made:
        made.append(engine.run("sh", "-c", "exit 3"))
        eventually(lambda: not engine.inspect(made[0])["State"]["Running"])
        seen = observed("docker.container", docker, container=made[0])
        assert (seen.state, seen.running, seen.exit_code) == ("exited", False, 3)
        made.append(engine.run())
        seen = observed("docker.container", docker, container=made[1][:12])
        assert (seen.state, seen.running, seen.restarts) == ("running", True, 0)
    assert observed("docker.container", docker, container=made[0]).state == "missing"


def test_containers_are_counted(shop: ComposedShop, docker: Docker) -> None:
    seen = observed("docker.containers", docker, project="practice", service="web")
    assert (seen.total, seen.running, seen.healthy, seen.states) == (3, 3, 3, {"running": 3})
    assert observed("docker.containers", docker, project="nobody").total == 0


def test_lines_are_counted(shop: ComposedShop, docker: Docker) -> None:
    with_ = {"project": "practice", "service": "client", "since": "1m"}
    seen = observed("docker.logs", docker, pattern="^ok", **with_)
    assert seen.matches > 0
    assert seen.last.startswith("ok after")
    assert seen.lines >= seen.matches
    assert observed("docker.logs", docker, pattern="^never", **with_).share == 0.0
    with pytest.raises(Refused, match="no container is as selected"):
        observed("docker.logs", docker, project="nobody", pattern="x")


def test_the_gate_is_closed_while_one_is_ill(shop: ComposedShop, docker: Docker) -> None:
    kind = discovery.gate("docker.healthy")
    assert from_plain({"project": "practice", "minimum": 5}, kind).measure(docker).open
    assert not from_plain({"project": "practice", "minimum": 6}, kind).measure(docker).open
    store = shop.container("store")
    shop.engine.raw("POST", f"/containers/{store}/pause")
    try:
        seen = from_plain({"project": "practice"}, kind).measure(docker)
    finally:
        shop.engine.raw("POST", f"/containers/{store}/unpause")
    assert not seen.open
    assert "practice-store-1 is paused" in seen.measured


@pytest.mark.parametrize(
    ("with_", "said"),
    [({}, "say which"), ({"project": "x", "pattern": "("}, "not a regular expression")],
)
def test_senseless_arguments_are_refused(with_: dict[str, str], said: str) -> None:
    import msgspec

    with pytest.raises(msgspec.ValidationError, match=said):
        from_plain({"pattern": "x", **with_}, discovery.probe("docker.logs"))
