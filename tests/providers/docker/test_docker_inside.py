"""What is done inside of containers is felt there, and only there; and ends with them."""

from __future__ import annotations

import random
import re
import time
import uuid
from typing import Any

import pytest
from msgspec.structs import replace

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import AnyFault, Hold
from chaosrun.providers.docker.client import Docker
from tests.contract.labs.docker import need_root
from tests.docker_engine import PYTHON, DockerEngine, containers_of
from tests.providers.docker.conftest import eventually
from tests.providers.docker.shop import ComposedShop

pytestmark = pytest.mark.usefixtures("root")


@pytest.fixture(scope="module")
def root() -> None:
    need_root()


def held(fault: str, docker: Docker, target: dict[str, Any], **with_: Any) -> Any:
    kind: type[AnyFault] = discovery.fault(fault)
    hold: Hold = from_plain({"target": target, **with_}, kind).plan(docker, random.Random(1))
    return kind, replace(hold, mark=uuid.uuid4().hex, deadline=time.time() + 60)


def web(number: int) -> dict[str, Any]:
    return {"names": [f"practice-web-{number}"]}


_ASK = """
import http.client, sys, time
began = time.monotonic()
try:
    c = http.client.HTTPConnection("store", 8000, timeout=2)
    c.request("GET", "/stock")
    said = c.getresponse().status
except OSError as error:
    said = type(error).__name__
print("said", said, "after", round((time.monotonic() - began) * 1000))
"""


def asked(shop: ComposedShop, number: int) -> tuple[str, int]:
    """What a web server's container hears from the store, and after how many milliseconds."""
    told = shop.engine.execute(shop.container("web", number), PYTHON, "-c", _ASK)
    found = re.search(r"said (\w+) after (\d+)", told)
    assert found, told
    return found[1], int(found[2])


@pytest.mark.parametrize(
    ("fault", "with_", "said", "least"),
    [
        ("docker.network", {"delay": "120ms", "peers": ["store"]}, "200", 230),
        ("docker.partition", {"peers": ["store"]}, "TimeoutError", 1900),
        ("docker.dns", {"names": ["store"], "answer": "nxdomain"}, "gaierror", 0),
        ("docker.http", {"status": 503, "target": {"ports": [8000]}}, "503", 0),
    ],
)
def test_only_the_container_that_was_meant_feels_it(
    shop: ComposedShop, docker: Docker, fault: str, with_: dict[str, Any], said: str, least: int
) -> None:
    with_ = dict(with_)
    kind, hold = held(fault, docker, {**web(1), **with_.pop("target", {})}, **with_)
    before = asked(shop, 1)
    assert before[0] == "200"
    try:
        kind.inject(hold, docker)
        heard, after = asked(shop, 1)
        assert heard == said
        assert after >= least
        assert asked(shop, 2)[0] == "200"
        assert kind.took_effect(hold, docker).seen
    finally:
        kind.revert(hold, docker)
    assert kind.restored(hold, docker).seen
    heard, after = asked(shop, 1)
    assert heard == "200"
    assert after < max(least, 1000)


def test_a_container_that_comes_back_is_free_of_it(shop: ComposedShop, docker: Docker) -> None:
    """It must not be kept from starting by what is held in its old control group."""
    kind, hold = held("docker.memory", docker, web(2), size="16Mi")
    kind.inject(hold, docker)
    assert kind.took_effect(hold, docker).seen
    container = shop.container("web", 2)
    docker.crash(shop.engine.pid(container), container, 9)
    eventually(lambda: shop.engine.inspect(container)["RestartCount"] > 0)
    eventually(lambda: shop.engine.inspect(container)["State"]["Status"] == "running")
    seen = kind.took_effect(hold, docker)
    assert not seen.seen
    assert "was started again: what runs now is not harmed" in seen.detail
    eventually(lambda: kind.restored(hold, docker).seen)
    assert docker.held() == []
    kind.revert(hold, docker)


def test_the_harm_of_a_network_ends_with_its_container(shop: ComposedShop, docker: Docker) -> None:
    kind, hold = held("docker.dns", docker, web(3), names=["store"], answer="servfail")
    kind.inject(hold, docker)
    container = shop.container("web", 3)
    docker.crash(shop.engine.pid(container), container, 9)
    eventually(lambda: shop.engine.inspect(container)["State"]["Status"] == "running")
    eventually(lambda: docker.held() == [])
    eventually(lambda: asked(shop, 3)[0] == "200")
    assert not kind.took_effect(hold, docker).seen
    kind.revert(hold, docker)
    assert kind.restored(hold, docker).seen


def test_tasks_of_the_whole_machine_are_not_used_up(engine: DockerEngine, docker: Docker) -> None:
    with containers_of(engine) as made:
        made.append(engine.run(name=f"cr-{uuid.uuid4().hex[:8]}"))
        with pytest.raises(Refused, match="no limit of tasks"):
            held("docker.pids", docker, {"names": [made[0][:12]]}, count=5)


def test_a_network_that_is_the_machines_is_not_harmed(engine: DockerEngine, docker: Docker) -> None:
    with containers_of(engine) as made:
        made.append(engine.run(NetworkMode="host", CgroupParent=engine.cgroups()))
        with pytest.raises(Refused, match="no network of its own: it uses host"):
            held("docker.partition", docker, {"names": [made[0][:12]]}, peers=["192.0.2.1"])


def test_a_directory_that_leads_out_of_the_container_is_refused(
    engine: DockerEngine, docker: Docker
) -> None:
    with containers_of(engine) as made:
        made.append(engine.run())
        for directory, said in (("/lib", "reached by a link"), ("var", "begins with /")):
            with pytest.raises(Refused, match=said):
                held("docker.io", docker, {"names": [made[0][:12]]}, directory=directory)
