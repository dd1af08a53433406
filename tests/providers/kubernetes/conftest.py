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
from chaosrun.rights import Permission
from chaosrun.units import Duration
from tests.cluster import images
from tests.cluster.session import kubeconfig
from tests.contract.labs.kubernetes import enter, namespace, outside, until

RUNNERS = "runners"
_PLURALS = {"Role": "roles", "RoleBinding": "rolebindings", "ClusterRole": "clusterroles",
            "ClusterRoleBinding": "clusterrolebindings"}  # fmt: skip


@pytest.fixture
def cluster() -> Iterator[Kubernetes]:
    with contextlib.ExitStack() as cleanup:
        enter(cleanup)
        client = Kubernetes()
        cleanup.callback(client.close)
        yield client


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
        accounts = f"/api/v1/namespaces/{RUNNERS}/serviceaccounts"
        outside().apply(accounts, {"metadata": {"name": self.name}})
        self.granted: list[tuple[str, str]] = []
        self.grant(rights)
        asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = outside().call("POST", f"{accounts}/{self.name}/token", asked)["status"]["token"]
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


def rights_of(told: list[dict[str, Any]]) -> list[Permission]:
    """What `chaosrun permissions --output json` tells."""
    return [Permission(**one["permission"]) for one in told]
