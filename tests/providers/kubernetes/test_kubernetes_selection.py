"""Which pods and nodes are meant: each criterion, and what is never meant."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import pods as pods_module
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.containers import images_of
from chaosrun.providers.kubernetes.nodes import Nodes
from chaosrun.providers.kubernetes.pod_kill import PodKill
from chaosrun.providers.kubernetes.pods import Pods, pod_of
from chaosrun.providers.kubernetes.zone_outage import ZoneOutage
from tests.cluster.images import BUSYBOX
from tests.cluster.outside import outside, until


def chosen(cluster: Kubernetes, **target: Any) -> list[str]:
    access = cluster.settle(Access())
    return [pod.name for pod in from_plain(target, Pods).population(cluster, access)]


def plan(cluster: Kubernetes, /, **target: Any) -> Hold:
    return seeded(cluster, 1, target)


def seeded(cluster: Kubernetes, seed: int, target: dict[str, Any]) -> Hold:
    return from_plain({"target": target}, PodKill).plan(cluster, random.Random(seed))


def test_every_criterion_narrows(cluster: Kubernetes, shop: str) -> None:
    path = f"/api/v1/namespaces/{shop}/pods"
    all_of_it = {one["metadata"]["name"]: one for one in outside().items(path)}
    checkout = sorted(name for name in all_of_it if name.startswith("checkout"))
    first = all_of_it[checkout[0]]
    node = first["spec"]["nodeName"]
    zones = {
        one["metadata"]["name"]: one["metadata"]["labels"]["topology.kubernetes.io/zone"]
        for one in outside().items("/api/v1/nodes")
    }
    outside().patch(f"{path}/{checkout[0]}", {"metadata": {"annotations": {"chaos": "yes"}}})
    there = sorted(n for n in checkout if all_of_it[n]["spec"]["nodeName"] == node)
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({"selector": "app=checkout"}, checkout),
        (
            {"selector": "app in (checkout)", "fields": f"metadata.name={checkout[1]}"},
            [checkout[1]],
        ),
        ({"owner": "Deployment/checkout"}, checkout),
        ({"owner": "Deployment/checkout", "node": node}, there),
        ({"owner": "Deployment/checkout", "zone": zones[node]}, there),
        ({"names": [checkout[2]]}, [checkout[2]]),
        ({"selector": "app", "exclude": "app!=checkout"}, checkout),
        ({"annotations": {"chaos": "yes"}}, [checkout[0]]),
    ]
    for target, expected in cases:
        assert chosen(cluster, namespace=shop, **target) == expected, target
    outside().patch(f"{path}/{checkout[0]}", {"metadata": {"annotations": {"chaos": None}}})


def test_the_same_seed_picks_the_same_and_the_radius_is_counted(
    cluster: Kubernetes, shop: str
) -> None:
    target = {"namespace": shop, "owner": "Deployment/checkout"}
    one = seeded(cluster, 3, {**target, "pick": "one"})
    assert one == seeded(cluster, 3, {**target, "pick": "one"})
    assert (one.population, len(one.targets)) == (3, 1)
    assert one.populations["pod workload=shop/checkout"] == 3
    assert sum(n for name, n in one.populations.items() if name.startswith("pod zone=")) == 3
    assert len(plan(cluster, **target, pick="67%").targets) == 2
    assert len(plan(cluster, **target, pick="minority").targets) == 1
    assert one.targets[0].groups["workload"] == "shop/checkout"
    assert (one.targets[0].labels or {})["app"] == "checkout"


def test_a_pod_that_nothing_would_replace_is_refused(cluster: Kubernetes, shop: str) -> None:
    spec = {"containers": [{"name": "main", "image": BUSYBOX}],
            "terminationGracePeriodSeconds": 0}  # fmt: skip
    pods = f"/api/v1/namespaces/{shop}/pods"
    outside().apply(pods, {"metadata": {"name": "alone", "labels": {"app": "alone"}}, "spec": spec})
    with pytest.raises(Refused, match="alone: nothing that we know would replace it"):
        plan(cluster, namespace=shop, selector="app=alone")
    outside().delete(f"{pods}/alone")
    until(lambda: outside().get(f"{pods}/alone")["_status"] == 404, "it should go")


def test_a_container_that_does_not_run_is_not_killed(cluster: Kubernetes, shop: str) -> None:
    name = chosen(cluster, namespace=shop, selector="app=checkout")[0]
    pod = pod_of(outside().get(f"/api/v1/namespaces/{shop}/pods/{name}"), {})
    assert images_of(pod, ["checkout"])
    waiting = {"checkout": {"state": {"waiting": {"reason": "ContainerCreating"}}}}
    with pytest.raises(Refused, match="checkout does not run now"):
        images_of(msgspec.structs.replace(pod, containers=waiting), ["checkout"])
    with pytest.raises(Refused, match="has no container other"):
        images_of(pod, ["other"])


def test_a_pod_that_is_ending_and_our_own_are_left_out(
    cluster: Kubernetes, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = chosen(cluster, namespace=shop, selector="app=checkout")
    own = names[0]
    monkeypatch.setattr(pods_module, "is_own", lambda pod: pod.name == own)
    assert chosen(cluster, namespace=shop, selector="app=checkout") == names[1:]


def test_a_name_that_was_taken_by_another_pod_is_not_touched(
    cluster: Kubernetes, shop: str
) -> None:
    hold = plan(cluster, namespace=shop, owner="Deployment/checkout", pick="one")
    other = msgspec.structs.replace(hold.targets[0], id="00000000-0000-0000-0000-000000000000")
    stale = msgspec.structs.replace(hold, targets=(other,), mark="m")
    before = set(chosen(cluster, namespace=shop, selector="app=checkout"))
    PodKill.inject(stale, cluster)
    assert set(chosen(cluster, namespace=shop, selector="app=checkout")) == before


def test_nodes_of_the_control_plane_are_never_meant(cluster: Kubernetes) -> None:
    access = cluster.settle(Access())
    node = outside().items("/api/v1/nodes")[0]["metadata"]["name"]
    label = {"node-role.kubernetes.io/control-plane": ""}
    outside().patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": label}})
    try:
        found = from_plain({"names": [node]}, Nodes)
        with pytest.raises(Refused, match=f"{node}: no such nodes"):
            found.picked(cluster, access, random.Random(1), lambda _: None)
    finally:
        outside().patch(f"/api/v1/nodes/{node}", {"metadata": {"labels": dict.fromkeys(label)}})


def test_a_zone_that_does_not_exist_is_told_with_those_that_do(cluster: Kubernetes) -> None:
    fault = from_plain({"target": {"zone": "zone-x"}}, ZoneOutage)
    with pytest.raises(Refused, match="no nodes are in zone zone-x") as refused:
        fault.plan(cluster, random.Random(1))
    nodes = outside().items("/api/v1/nodes")
    zones = sorted({one["metadata"]["labels"]["topology.kubernetes.io/zone"] for one in nodes})
    assert refused.value.hint == f"there are {', '.join(zones)}"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"selector": "app=x"}, "say where: `namespace`"),
        ({"namespace": "shop"}, "say which: selector"),
        ({"namespace": "shop", "owner": "checkout"}, "an owner is KIND/NAME"),
    ],
)
def test_a_target_that_says_too_little_is_wrong(target: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        from_plain(target, Pods)
