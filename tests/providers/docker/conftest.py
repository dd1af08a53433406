"""A shop of containers, and a client of its engine."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

import pytest

from chaosrun.providers.docker.client import Docker
from tests.contract.labs.host import directory_of_ours
from tests.docker_engine import DockerEngine, docker_engine, point_at
from tests.providers.docker.shop import ComposedShop


def eventually(promise: Callable[[], object], within: float = 30.0) -> None:
    """Wait until it is so."""
    until = time.monotonic() + within
    while not promise():
        assert time.monotonic() < until, "it did not come to be"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    with contextlib.ExitStack() as cleanup:
        directory_of_ours(cleanup)
        found = docker_engine()
        point_at(found, cleanup)
        yield found


@pytest.fixture
def docker(engine: DockerEngine) -> Iterator[Docker]:
    with contextlib.closing(Docker()) as client:
        yield client


@pytest.fixture(scope="module")
def shop(engine: DockerEngine) -> Iterator[ComposedShop]:
    made = ComposedShop(engine, "practice")
    try:
        eventually(lambda: any(line.startswith("ok") for line in made.said("client")))
        yield made
    finally:
        made.down()
