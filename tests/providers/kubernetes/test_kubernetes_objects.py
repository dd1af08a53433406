"""Objects of any kind: what is refused, whose change stays, and when an effect is seen."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.api_object import ApiObject
from chaosrun.providers.kubernetes.config_change import ConfigChange
from chaosrun.providers.kubernetes.merging import difference, holds, merged
from tests.cluster.objects import definition, namespace
from tests.cluster.outside import outside, until

PLACE = "objects"


@pytest.fixture
def place(cluster: Kubernetes) -> str:
    namespace(PLACE)
    spec = {"selector": {"app": "web"}, "ports": [{"name": "web", "port": 80}]}
    path = f"/api/v1/namespaces/{PLACE}/services"
    outside().delete(f"{path}/web")
    until(lambda: outside().get(f"{path}/web")["_status"] == 404, "it should go")
    outside().apply(path, {"metadata": {"name": "web"}, "spec": spec})
    return PLACE


def service(**more: Any) -> dict[str, Any]:
    named = {"apiVersion": "v1", "kind": "Service", "namespace": PLACE, "name": "web"}
    return {**named, **more}


def plan(client: Kubernetes, target: dict[str, Any], **more: Any) -> Hold:
    hold = from_plain({"target": target, **more}, ApiObject).plan(client, random.Random(1))
    return replace(hold, mark=f"mark-{time.monotonic_ns()}")


def selector(place: str) -> Any:
    return outside().get(f"/api/v1/namespaces/{place}/services/web")["spec"]["selector"]


@pytest.mark.parametrize(
    ("patch", "said"),
    [
        ([{"op": "replace", "path": "/spec/selector/app", "value": "web"}], "changes nothing"),
        ([{"op": "replace", "path": "/spec/none/such", "value": 1}], "rejected our request"),
        ({"spec": {"ports": [{"port": 70000}]}}, "must be between 1 and 65535"),
    ],
)
def test_a_patch_that_cannot_be_is_refused_by_the_plan(
    cluster: Kubernetes, place: str, patch: Any, said: str
) -> None:
    with pytest.raises(Refused, match=said):
        plan(cluster, service(), patch=patch)


def test_an_object_that_is_there_is_not_made_again(cluster: Kubernetes, place: str) -> None:
    manifest = {"spec": {"ports": [{"port": 80}]}}
    with pytest.raises(Refused, match="is there already"):
        plan(cluster, service(), manifest=manifest)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ({"kind": "Servise"}, "v1 has no Servise"),
        ({"apiVersion": "no.such/v1"}, "the cluster has no no.such/v1"),
        ({"kind": "Node", "name": "node"}, "Node has no namespace"),
    ],
)
def test_a_kind_that_is_not_there_is_told(
    cluster: Kubernetes, place: str, target: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        plan(cluster, service(**target), patch={"spec": {"a": 1}})


def test_what_somebody_else_changes_meanwhile_stays(cluster: Kubernetes, place: str) -> None:
    hold = plan(cluster, service(), patch={"spec": {"selector": {"app": "none", "new": "1"}}})
    ApiObject.inject(hold, cluster)
    assert selector(place) == {"app": "none", "new": "1"}
    theirs = {"spec": {"selector": {"app": "theirs"}}}
    outside().patch(f"/api/v1/namespaces/{place}/services/web", theirs)
    ApiObject.revert(hold, cluster)
    assert selector(place) == {"app": "theirs"}
    seen = ApiObject.restored(hold, cluster)
    assert seen.seen
    assert "somebody else has changed it; theirs stays" in seen.detail


def test_a_key_that_somebody_else_sets_meanwhile_stays(cluster: Kubernetes, place: str) -> None:
    maps = f"/api/v1/namespaces/{place}/configmaps"
    outside().apply(maps, {"metadata": {"name": "shop"}, "data": {"a": "1", "b": "1"}})
    target = {"kind": "ConfigMap", "namespace": place, "name": "shop"}
    fault = from_plain({"target": target, "set": {"a": "2", "b": "2"}}, ConfigChange)
    hold = replace(fault.plan(cluster, random.Random(1)), mark="mark")
    ConfigChange.inject(hold, cluster)
    outside().patch(f"{maps}/shop", {"data": {"a": "3", "c": "3"}})
    ConfigChange.revert(hold, cluster)
    assert outside().get(f"{maps}/shop")["data"] == {"a": "3", "b": "1", "c": "3"}
    assert "somebody else has set a" in ConfigChange.restored(hold, cluster).detail
    outside().delete(f"{maps}/shop")


@contextlib.contextmanager
def operator(path: str) -> Iterator[None]:
    """A controller that says a little later that it has done what was asked."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.1):
            for one in outside().items(path):
                if "status" not in one:
                    done = {"conditions": [{"type": "AllInjected", "status": "True"}]}
                    body = {**one, "status": done}
                    outside().call("PUT", f"{path}/{one['metadata']['name']}/status", body)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


def test_an_objects_own_sign_is_waited_for(cluster: Kubernetes, place: str) -> None:
    definition("chaos-mesh.org", "v1alpha1", "PodChaos", "podchaos")
    target = {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "namespace": place,
              "name": "kill", "plural": "podchaos"}  # fmt: skip
    path = f"/apis/chaos-mesh.org/v1alpha1/namespaces/{place}/podchaos"
    with pytest.raises(Refused, match="is called podchaos by the API") as refused:
        plan(cluster, {**target, "plural": "podchaoses"}, manifest={"spec": {}})
    assert refused.value.hint == "write `plural: podchaos`"
    sign = {"path": '{.status.conditions[?(@.type=="AllInjected")].status}', "equals": "True"}
    hold = plan(cluster, target, manifest={"spec": {"action": "pod-kill"}}, sign=sign)
    with operator(path):
        ApiObject.inject(hold, cluster)
        assert ApiObject.took_effect(hold, cluster).seen
    ApiObject.revert(hold, cluster)
    assert ApiObject.restored(hold, cluster).seen
    assert outside().items(path) == []


def test_a_secret_is_for_another_fault() -> None:
    target = {"apiVersion": "v1", "kind": "Secret", "namespace": "shop", "name": "x"}
    with pytest.raises(msgspec.ValidationError, match=r"kubernetes\.config-change"):
        from_plain({"target": target, "patch": {"data": {}}}, ApiObject)


def test_differences_are_merge_patches_that_undo_each_other() -> None:
    rng = random.Random(5)

    def anything(depth: int) -> Any:
        if depth and rng.random() < 0.6:
            return {rng.choice("abcde"): anything(depth - 1) for _ in range(rng.randint(0, 4))}
        return rng.choice([1, 2, "x", [1, {"a": None}], True])

    for _ in range(500):
        before, after = ({"r": anything(3), "s": anything(2)} for _ in range(2))
        patch, back = difference(before, after), difference(after, before)
        assert merged(before, patch) == after
        assert merged(after, back) == before
        assert holds(after, patch)
        assert holds(before, patch) == (not patch)
