"""The namespace in which the laws are put to the test, a Deployment there, and a node."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from chaosrun.providers.kubernetes.api import Kubernetes
from tests.cluster.objects import deployment, is_whole, namespace, pods
from tests.cluster.outside import outside, until
from tests.providers.kubernetes.laws.changes import NODE, PLACE, WEB


@pytest.fixture(autouse=True)
def world(cluster: Kubernetes) -> None:
    namespace(PLACE)


@pytest.fixture
def web(world: None) -> str:
    """A Deployment with two pods."""
    outside().delete(WEB)
    until(lambda: outside().get(WEB)["_status"] == 404, "it should go")
    until(lambda: not pods(PLACE, "web"), "its pods should go")
    deployment(PLACE, "web", 2)
    until(lambda: is_whole(PLACE, "web"), "it should be whole")
    return "web"


@pytest.fixture
def node() -> Iterator[str]:
    """A node that nobody runs on for the moment: its own state is put back."""
    name = sorted(one["metadata"]["name"] for one in outside().items(NODE))[-1]
    yield name
    body = {"spec": {"unschedulable": None, "taints": None}}
    outside().patch(f"{NODE}/{name}", body)
