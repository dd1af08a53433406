"""Containers end and come back: what a restart policy sees, and what is refused."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused, Transient
from chaosrun.fault import AnyFault, Expiry, Hold
from chaosrun.providers.docker.client import Docker, Engine
from tests.contract.labs.docker import forwarded
from tests.docker_engine import DockerEngine, containers_of
from tests.providers.docker.conftest import eventually

Made = Callable[..., str]


@pytest.fixture
def made(engine: DockerEngine) -> Iterator[Made]:
    """Makes containers that go away with the test; the name of each."""
    with containers_of(engine) as ids:

        def make(**how: Any) -> str:
            name = f"cr-{uuid.uuid4().hex[:8]}"
            ids.append(engine.run(name=name, **how))
            return name

        yield make


_PAUSE = """
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {{name: far}}
spec:
  title: It is paused
  steadyState:
    - {{name: it is there, probe: docker.container, with: {{container: {name}}}, expect: running}}
  method:
    - name: pause it
      fault: {pause}
      target: {{engine: "ENGINE", names: [{name}]}}
      hold: 1s
"""


def planned(fault: str, docker: Docker, *names: str, **with_: Any) -> tuple[type[AnyFault], Hold]:
    kind = discovery.fault(fault)
    target = {"names": list(names), "pick": "all", **with_.pop("target", {})}
    hold = from_plain({"target": target, **with_}, kind).plan(docker, random.Random(1))
    return kind, replace(hold, mark=uuid.uuid4().hex, deadline=time.time() + 60)


def test_a_crash_is_answered_by_the_restart_policy(made: Made, docker: Docker) -> None:
    name = made(RestartPolicy={"Name": "always"})
    kind, hold = planned("docker.kill", docker, name, via="crash")
    kind.inject(hold, docker)
    assert kind.took_effect(hold, docker).seen
    eventually(lambda: kind.restored(hold, docker).seen or kind.revert(hold, docker))
    kind.revert(hold, docker)
    assert "by its restart policy (always)" in kind.restored(hold, docker).detail


def test_a_kill_by_the_engine_is_not(made: Made, docker: Docker, engine: DockerEngine) -> None:
    name = made(RestartPolicy={"Name": "always"})
    kind, hold = planned("docker.kill", docker, name, via="engine")
    kind.inject(hold, docker)
    assert "ended with exit code 137" in kind.took_effect(hold, docker).detail
    assert not engine.inspect(name)["State"]["Running"]
    kind.revert(hold, docker)
    assert "policy" not in kind.restored(hold, docker).detail
    assert engine.inspect(name)["State"]["Running"]


def test_a_signal_that_is_handled_has_no_effect(made: Made, docker: Docker) -> None:
    name = made()  # a shell's sleep as first process handles nothing, so the kernel drops TERM
    kind, hold = planned("docker.kill", docker, name, signal="TERM", within="300ms")
    kind.inject(hold, docker)
    seen = kind.took_effect(hold, docker)
    assert not seen.seen
    assert "runs as before" in seen.detail
    kind.revert(hold, docker)
    assert kind.restored(hold, docker).seen


def test_one_that_was_paused_before_is_never_continued(
    made: Made, docker: Docker, engine: DockerEngine
) -> None:
    name = made()
    engine.raw("POST", f"/containers/{name}/pause")
    with pytest.raises(Refused, match="does not run: it is paused"):
        planned("docker.pause", docker, name)
    assert engine.inspect(name)["State"]["Paused"]


@pytest.mark.parametrize("fault", ["docker.kill", "docker.stop", "docker.restart"])
def test_one_that_would_vanish_is_refused(fault: str, made: Made, docker: Docker) -> None:
    with pytest.raises(Refused, match=r"removed as soon as it ends \(--rm\)"):
        planned(fault, docker, made(AutoRemove=True))


def test_one_that_somebody_else_replaces_is_refused(made: Made, docker: Docker) -> None:
    name = made(labels={"com.docker.swarm.task.id": "x"})
    for fault in ("docker.kill", "docker.stop", "docker.restart", "docker.remove"):
        with pytest.raises(Refused, match="Swarm"):
            planned(fault, docker, name)


@pytest.mark.parametrize("kind", ["NetworkMode", "PidMode", "IpcMode"])
def test_one_whose_namespaces_another_shares_is_refused(
    kind: str, made: Made, docker: Docker, engine: DockerEngine
) -> None:
    """The other would keep a network that leads nowhere, or die with it."""
    name = made(IpcMode="shareable")
    for word in (name, engine.inspect(name)["Id"]):
        other = made(**{kind: f"container:{word}"})
        for fault in ("docker.kill", "docker.stop", "docker.restart", "docker.remove"):
            with pytest.raises(Refused, match=f"shares its namespaces with {other}, which would"):
                planned(fault, docker, name)
            planned(fault, docker, other)  # it is in nobody's way
        planned("docker.pause", docker, name)
        engine.remove(other)
    planned("docker.stop", docker, name)


def test_a_container_without_a_network_of_its_own_has_none_to_lose(
    made: Made, docker: Docker
) -> None:
    name = made()
    with pytest.raises(Refused, match="no network of its own"):
        planned("docker.network-disconnect", docker, name)


def test_a_network_whose_subnet_nobody_chose_is_connected_again(
    made: Made, docker: Docker, engine: DockerEngine
) -> None:
    """Docker refuses to give an address there that is asked for."""
    network = engine.network()
    try:
        name = made(networks={network: {"Aliases": ["db"]}})
        kind, hold = planned("docker.network-disconnect", docker, name)
        kind.inject(hold, docker)
        assert kind.took_effect(hold, docker).seen
        kind.revert(hold, docker)
        assert kind.restored(hold, docker).seen
        assert "db" in engine.inspect(name)["NetworkSettings"]["Networks"][network]["Aliases"]
        engine.remove(name)
    finally:
        engine.remove_network(network)


def test_an_address_that_somebody_took_is_given_up(
    made: Made, docker: Docker, engine: DockerEngine
) -> None:
    network = engine.network(subnet=engine.subnet())
    try:
        name = made(networks={network: {}})
        kind, hold = planned("docker.network-disconnect", docker, name)
        address = engine.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]
        kind.inject(hold, docker)
        thief = made(networks={network: {"IPAMConfig": {"IPv4Address": address}}})
        kind.revert(hold, docker)
        assert kind.restored(hold, docker).seen
        now = engine.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]
        assert now not in ("", address)
        engine.remove(name, thief)
    finally:
        engine.remove_network(network)


def test_what_is_named_and_missing_is_refused(made: Made, docker: Docker) -> None:
    with pytest.raises(Refused, match="nobody-here: no such container"):
        planned("docker.stop", docker, made(), "nobody-here")


def test_one_that_was_removed_by_somebody_owes_nothing(
    made: Made, docker: Docker, engine: DockerEngine
) -> None:
    name = made()
    kind, hold = planned("docker.stop", docker, name)
    kind.inject(hold, docker)
    engine.remove(name)
    kind.revert(hold, docker)
    seen = kind.restored(hold, docker)
    assert seen.seen
    assert "somebody removed it" in seen.detail
    assert engine.marks() == []


def test_health_that_was_lost_is_not_restored(
    made: Made, docker: Docker, engine: DockerEngine
) -> None:
    """Running is not enough: it answered before, and must again."""
    check = {"Test": ["CMD", "cat", "/tmp/well"], "Interval": 200_000_000, "Retries": 1}
    name = made(health=check)
    engine.execute(name, "dd", "if=/dev/null", "of=/tmp/well")
    eventually(lambda: engine.inspect(name)["State"]["Health"]["Status"] == "healthy")
    kind, hold = planned("docker.restart", docker, name, grace="0s")
    kind.inject(hold, docker)
    kind.revert(hold, docker)
    assert kind.restored(hold, docker).seen
    engine.execute(name, "sh", "-c", "/bin/busybox rm /tmp/well")
    eventually(lambda: engine.inspect(name)["State"]["Health"]["Status"] == "unhealthy")
    assert "unhealthy, which it was not before" in kind.restored(hold, docker).detail


def test_the_switch_is_promised_only_where_the_engine_is_on_this_machine(
    made: Made, docker: Docker
) -> None:
    _, hold = planned("docker.pause", docker, made())
    assert hold.expiry is Expiry.TARGET
    assert "by a process of this machine" in hold.way_back


def test_an_engine_elsewhere_is_told_of_in_the_plan(
    made: Made, engine: DockerEngine, tmp_path: Path
) -> None:
    text = _PAUSE.format(name=made(), pause="docker.pause")
    with contextlib.ExitStack() as cleanup:
        far = forwarded(engine, cleanup)
        for url, expiry in ((engine.url, "target"), (far, "runner")):
            path = tmp_path / f"{expiry}.yaml"
            path.write_text(text.replace("ENGINE", url))
            words = [sys.executable, "-m", "chaosrun", "plan", str(path), "--output", "json"]
            done = subprocess.run(words, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stdout + done.stderr
            assert ('"expiry": "target"' in done.stdout) is (expiry == "target")


def test_inside_of_containers_elsewhere_nothing_can_be_done(
    made: Made, engine: DockerEngine, docker: Docker
) -> None:
    with contextlib.ExitStack() as cleanup:
        far = {"engine": forwarded(engine, cleanup)}
        with pytest.raises(Refused, match="not on this machine"):
            planned("docker.cpu", docker, made(), target=far)


def test_another_engine_at_the_same_address_is_never_touched(docker: Docker) -> None:
    there = docker.engine()
    with pytest.raises(Refused, match="another Docker engine is at"):
        docker.containers(Engine(url=there.url, id="OTHER", name="far"), {})


def test_an_engine_that_is_not_there_is_said_to_be_so(docker: Docker) -> None:
    with pytest.raises(Transient, match=r"no Docker engine answers at unix:///nowhere\.sock"):
        docker.engine("unix:///nowhere.sock")
    with pytest.raises(Transient, match="nothing listens there"):
        docker.engine("tcp://127.0.0.1:1")
