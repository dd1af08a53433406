"""A real cluster, a client of it, the shop, and service accounts with exactly some rights."""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaosrun.lab import on_kubernetes
from chaosrun.providers.kubernetes import grants
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.pods_probe import LogsProbe
from chaosrun.providers.kubernetes.safe_gates import CanDo
from chaosrun.rights import Need, Permission
from chaosrun.units import Duration
from tests.cluster import images
from tests.cluster.objects import definition, namespace
from tests.cluster.outside import outside, until
from tests.cluster.session import enter, kubeconfig
from tests.contract.labs.kubernetes_http import EnvoyLab, IstioLab, fake_gateway

RUNNERS = "runners"
_ACCOUNTS = f"/api/v1/namespaces/{RUNNERS}/serviceaccounts"
_PLURALS = {"Role": "roles", "RoleBinding": "rolebindings", "ClusterRole": "clusterroles",
            "ClusterRoleBinding": "clusterrolebindings"}  # fmt: skip


@pytest.fixture
def cluster() -> Iterator[Kubernetes]:
    with contextlib.ExitStack() as cleanup:
        enter(cleanup)
        client = Kubernetes()
        cleanup.callback(client.close)
        yield client


@pytest.fixture
def cleanup() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="session")
def shop() -> str:
    """The namespace of the shop, which is open."""
    with contextlib.ExitStack() as cleanup:
        enter(cleanup)
        client = Kubernetes()
        cleanup.callback(client.close)
        access = client.settle(Access())
        on_kubernetes.up(client, access, "shop", images.PYTHON)
        until(lambda: not on_kubernetes.waits_for(client, access, "shop"), "the shop should open")
    return "shop"


@pytest.fixture(scope="session")
def world(shop: str) -> Iterator[str]:
    """The shop, with objects of a mesh, and of a gateway that only accepts them."""
    IstioLab.define()
    EnvoyLab.define(shop)
    outside().apply(f"/apis/networking.istio.io/v1/namespaces/{shop}/virtualservices", {
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "checkout"},
        "spec": {
            "hosts": ["checkout"], "http": [{"route": [{"destination": {"host": "checkout"}}]}],
        },
    })  # fmt: skip
    definition("chaos-mesh.org", "v1alpha1", "PodChaos", "podchaos")
    with fake_gateway(shop):
        yield shop


def calm(place: str) -> bool:
    """Whether the traffic of the last seconds was served."""
    probe = LogsProbe(
        namespace=place, selector="app=traffic", pattern="served=[0-4] ", since=Duration(4),
        kubeconfig=str(kubeconfig()),
    )  # fmt: skip
    client = Kubernetes()
    found = probe.observe(client)
    client.close()
    return found.lines > 0 and found.matches == 0


class Runner:
    """A service account with exactly some rights, and a kubeconfig for it."""

    def __init__(self, directory: Path, rights: Iterable[Permission]) -> None:
        self.name = f"runner-{uuid.uuid4().hex[:8]}"
        namespace(RUNNERS)
        outside().apply(_ACCOUNTS, {"metadata": {"name": self.name}})
        self.granted: list[tuple[str, str]] = []
        self.grant(rights)
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = outside().call("POST", f"{_ACCOUNTS}/{self.name}/token", asked)["status"]["token"]
        config = yaml.safe_load(kubeconfig().read_text())
        context = next(
            one["context"] for one in config["contexts"] if one["name"] == config["current-context"]
        )
        config["users"] = [{"name": context["user"], "user": {"token": token}}]
        self.kubeconfig = directory / f"{self.name}.kubeconfig"
        self.kubeconfig.write_text(json.dumps(config))

    @property
    def user(self) -> str:
        return f"system:serviceaccount:{RUNNERS}:{self.name}"

    def grant(self, rights: Iterable[Permission]) -> None:
        """Have exactly these rights from now on."""
        self.revoke()
        for body in grants.objects(rights, self.name, f"{RUNNERS}/{self.name}"):
            place = body["metadata"].get("namespace", "")
            root = "/apis/rbac.authorization.k8s.io/v1"
            path = f"{root}/namespaces/{place}" if place else root
            path = f"{path}/{_PLURALS[body['kind']]}"
            outside().apply(path, body)
            self.granted.append((path, body["metadata"]["name"]))

    def revoke(self) -> None:
        while self.granted:
            path, name = self.granted.pop()
            outside().delete(f"{path}/{name}")

    def await_rights(self, rights: Iterable[Permission]) -> None:
        """Return when the cluster has seen that it has all of these."""
        client, gate = Kubernetes(), CanDo(kubeconfig=str(self.kubeconfig))
        wanted = needs_of(rights)
        until(lambda: gate.measure_rights(client, wanted).open, "all rights should be there")
        client.close()

    def end(self) -> None:
        """Be no more, and have no rights."""
        self.revoke()
        outside().delete(f"{_ACCOUNTS}/{self.name}")


def needs_of(rights: Iterable[Permission]) -> tuple[Need, ...]:
    return tuple(Need(permission=right, uses="", by="", arguments={}) for right in rights)


def rights_of(told: list[dict[str, Any]]) -> list[Permission]:
    """What `chaosrun permissions --output json` tells."""
    return [Permission(**one["permission"]) for one in told]
