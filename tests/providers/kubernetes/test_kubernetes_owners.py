"""What would bring a pod back: known by kind and API group, and a ReplicaSet whoever owns it.

Law (L1): what nothing that we know would replace is no target of a fault that ends pods.
"""

from __future__ import annotations

from typing import Any

import pytest

from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.owners import replaceable
from chaosrun.providers.kubernetes.pods import owned, pod_of


def of(version: str, kind: str, name: str = "shop") -> Any:
    controller = {"apiVersion": version, "kind": kind, "name": name, "uid": "1", "controller": True}
    return {"name": "one", "namespace": "shop", "uid": "2", "ownerReferences": [controller]}


@pytest.mark.parametrize(
    ("version", "kind", "replaced"),
    [
        ("apps/v1", "StatefulSet", True),
        ("batch/v1", "Job", True),
        ("batch.volcano.sh/v1alpha1", "Job", False),
        ("apps.kruise.io/v1beta1", "StatefulSet", False),
        ("v1", "Node", False),
    ],
)
def test_a_kind_is_known_by_its_group_too(version: str, kind: str, replaced: bool) -> None:
    pod = pod_of({"metadata": of(version, kind)}, {})
    assert (replaceable(pod) == "") is replaced
    assert pod.owner == (kind, "shop")


@pytest.mark.parametrize(
    ("version", "kind", "keeper"),
    [
        ("apps/v1", "Deployment", ("Deployment", "checkout")),
        ("argoproj.io/v1alpha1", "Rollout", ("ReplicaSet", "set-1")),
    ],
)
def test_a_replica_set_brings_pods_back_whoever_owns_it(
    monkeypatch: pytest.MonkeyPatch, version: str, kind: str, keeper: tuple[str, str]
) -> None:
    above = {"metadata": {**of(version, kind, "checkout"), "name": "set-1"}}
    monkeypatch.setattr(Kubernetes, "all", lambda *_, **__: [above])
    pod = pod_of({"metadata": of("apps/v1", "ReplicaSet", "set-1")}, {})
    (known,) = owned(Kubernetes(), Access(), "shop", [pod])
    assert known.owner == (kind, "checkout")
    assert known.keeper == keeper
    assert replaceable(known) == ""
