"""No right is told that is wider than need be, and none of the narrow ones is too narrow."""

from __future__ import annotations

import contextlib
import random
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun.codec import from_plain
from chaosrun.fault import Fault
from chaosrun.gate import Gate
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.envoy_http import EnvoyHttp
from chaosrun.providers.kubernetes.network_partition import NetworkPartition
from chaosrun.providers.kubernetes.node_cordon import NodeCordon
from chaosrun.providers.kubernetes.node_drain import NodeDrain
from chaosrun.providers.kubernetes.pod_kill import PodKill
from chaosrun.providers.kubernetes.require import in_words
from chaosrun.providers.kubernetes.whole_gates import BudgetAllows
from tests.cluster.inside import point
from tests.cluster.objects import pods
from tests.cluster.outside import until
from tests.providers.kubernetes.conftest import Runner
from tests.providers.kubernetes.experiments import whole


def test_a_role_for_one_namespace_is_enough_to_drain_only_its_pods(shop: str) -> None:
    target = {"names": ["node-1"]}
    everywhere = from_plain({"target": target}, NodeDrain).needs()
    here = from_plain({"target": target, "namespaces": [shop]}, NodeDrain).needs()
    assert {r.scope for r in everywhere if r.resource == "pods/eviction"} == {""}
    assert {r.scope for r in here if r.resource == "pods/eviction"} == {shop}
    assert not any(r.resource == "daemonsets.apps" for r in everywhere)  # their pods stay


POD: dict[str, Any] = {"namespace": "shop", "names": ["db-0"]}


@pytest.mark.parametrize(
    ("kind", "given", "right"),
    [
        (PodKill, {"target": POD}, "create pods/eviction db-0 in shop"),
        (PodKill, {"target": POD, "how": "force"}, "delete pods db-0 in shop"),
        (NodeCordon, {"target": {"names": ["node-1"]}}, "patch nodes node-1"),
        (
            NetworkPartition, {"target": POD, "peerServices": ["catalog"]},
            "get services catalog in shop",
        ),
        (
            NetworkPartition, {"target": POD, "peers": ["192.0.2.1"]},
            "patch pods/ephemeralcontainers db-0 in shop",
        ),
        (
            EnvoyHttp, {"target": {"namespace": "shop", "name": "checkout"}, "status": 503},
            "delete backendtrafficpolicies.gateway.envoyproxy.io chaosrun-httproute-checkout"
            " in shop",
        ),
        (
            BudgetAllows, {"namespace": "shop", "budget": "checkout"},
            "get poddisruptionbudgets.policy checkout in shop",
        ),
    ],
)  # fmt: skip
def test_where_a_name_is_known_the_right_is_on_that_object_alone(
    kind: type[Fault[Any] | Gate[Any]], given: dict[str, Any], right: str
) -> None:
    told = [in_words(each) for each in from_plain(given, kind).needs()]
    verb, resource, *_ = right.split()
    assert [each for each in told if each.startswith(f"{verb} {resource} ")] == [right]


def test_pods_of_statefulsets_take_no_right_to_look_for_deployments() -> None:
    target = {"namespace": "shop", "owner": "StatefulSet/db"}
    told = from_plain({"target": target}, PodKill).needs()
    assert {r.resource for r in told if ".apps" in r.resource} == {"statefulsets.apps"}


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (PodKill, {"budgetWait": "20s"}),
        (NodeCordon, {}),
        (NetworkPartition, {"peerServices": ["catalog"], "agent": {"by": "ephemeral"}}),
    ],
)
def test_rights_on_named_objects_are_enough(
    kind: type[Fault[Kubernetes]],
    given: dict[str, Any],
    shop: str,
    cluster: Kubernetes,
    tmp_path: Path,
    cleanup: contextlib.ExitStack,
) -> None:
    point(cleanup)
    until(lambda: whole(shop), "the shop should be whole")
    pod = pods(shop, "checkout")[0]
    target: dict[str, Any] = {"namespace": shop, "names": [pod["metadata"]["name"]]}
    if kind is NodeCordon:
        target = {"names": [pod["spec"]["nodeName"]]}
    runner = Runner(tmp_path, rights := from_plain({"target": target, **given}, kind).needs())
    runner.await_rights(rights)
    target["kubeconfig"] = str(runner.kubeconfig)
    fault = from_plain({"target": target, **given}, kind)
    planned = fault.plan(cluster, random.Random(1))
    hold = msgspec.structs.replace(
        planned, mark=f"chaosrun-{runner.name}", deadline=time.time() + 240
    )
    try:
        fault.inject(hold, cluster)
        assert fault.took_effect(hold, cluster).seen
    finally:
        fault.revert(hold, cluster)
    until(lambda: fault.restored(hold, cluster).seen, "it should be as before")
    runner.end()
