"""Probes and gates see what is there, and say what is not."""

from __future__ import annotations

from typing import Any

import pytest

from chaosrun import discovery
from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Refused
from chaosrun.gate import Measured
from chaosrun.providers.kubernetes import pods_probe, safe_gates
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import Kind
from chaosrun.providers.kubernetes.pods import pod_of
from tests.cluster.objects import definition, namespace, template
from tests.cluster.outside import outside, until

_CHAOS = Kind("chaos-mesh.org/v1alpha1", "PodChaos", "podchaos")
_ENGINE = Kind("litmuschaos.io/v1alpha1", "ChaosEngine", "chaosengines")


def look(client: Kubernetes, probe: str, /, **arguments: Any) -> Any:
    return to_plain(from_plain(arguments, discovery.probe(probe)).observe(client))


def measure(client: Kubernetes, gate: str, /, **arguments: Any) -> Measured:
    return from_plain(arguments, discovery.gate(gate)).measure(client)


def test_a_workload_is_told_by_its_own_status(cluster: Kubernetes, shop: str) -> None:
    found = look(cluster, "kubernetes.workload", namespace=shop, name="checkout")
    assert found == {"exists": True, "desired": 3, "ready": 3, "updated": 3, "whole": True}
    missing = look(cluster, "kubernetes.workload", namespace=shop, name="none")
    assert not missing["exists"]
    recovered = look(cluster, "kubernetes.recovered", namespace=shop, name="checkout", within="5s")
    assert (recovered["recovered"], recovered["ready"]) == (True, 3)
    waited = look(cluster, "kubernetes.recovered", namespace=shop, name="none", within="300ms")
    assert not waited["recovered"]


def test_pods_endpoints_events_and_logs_are_counted(cluster: Kubernetes, shop: str) -> None:
    pods = look(cluster, "kubernetes.pods", namespace=shop, selector="app=checkout")
    assert (pods["count"], pods["ready"], pods["running"], pods["failed"]) == (3, 3, 3, 0)
    endpoints = look(cluster, "kubernetes.endpoints", namespace=shop, service="checkout")
    assert endpoints["ready"] == 3
    assert endpoints["notReady"] == 0
    assert endpoints["zones"]
    events = look(
        cluster, "kubernetes.events", namespace=shop, kind="Pod", object="traffic",
        reason="Started", since="1h",
    )  # fmt: skip
    assert events["count"] >= 1
    assert events["reasons"] == ["Started"]

    def served() -> Any:
        return look(
            cluster, "kubernetes.logs", namespace=shop, selector="app=traffic",
            pattern="served=[0-9]+ failed=", since="10s",
        )  # fmt: skip

    logs = until(lambda: (found := served())["matches"] and found, "traffic should write")
    assert logs["last"].startswith("served=")
    nothing = look(cluster, "kubernetes.logs", namespace=shop, selector="app=no", pattern="x")
    assert (nothing["pods"], nothing["matches"]) == (0, 0)


@pytest.mark.parametrize(
    ("policy", "command", "phase", "restarts"),
    [
        ("Never", "echo panic; exit 1", "Failed", 0),
        (
            "Always",
            "test -e /state/again || { touch /state/again; echo panic; exit 1; }; sleep 600",
            "Running",
            1,
        ),
    ],
)
def test_the_last_words_of_a_container_that_ended_are_read(
    cluster: Kubernetes, policy: str, command: str, phase: str, restarts: int
) -> None:
    place = namespace("last-words")
    path, name = f"/api/v1/namespaces/{place}/pods", f"ends-{policy.lower()}"
    mounted = [{"name": "state", "mountPath": "/state"}]
    body = template("ends", command=["sh", "-c", command], volumeMounts=mounted)
    volumes = [{"name": "state", "emptyDir": {}}]
    spec = {**body["spec"], "restartPolicy": policy, "volumes": volumes}
    outside().apply(path, {"metadata": {"name": name, **body["metadata"]}, "spec": spec})

    def ended() -> bool:
        status = outside().get(f"{path}/{name}")["status"]
        states = status.get("containerStatuses") or [{}]
        started = "running" in states[0].get("state", {}) or phase == "Failed"
        return bool(
            status["phase"] == phase and started and states[0].get("restartCount") == restarts
        )

    until(ended, "it should end once")
    found = look(cluster, "kubernetes.logs", namespace=place, selector="app=ends", pattern="panic")
    assert (found["pods"], found["matches"], found["last"]) == (1, 1, "panic")
    outside().delete(f"{path}/{name}")
    until(lambda: outside().get(f"{path}/{name}")["_status"] == 404, "it should go")


def test_of_a_failed_pod_whose_log_is_asked_for_in_vain_nothing_is_known(
    cluster: Kubernetes,
) -> None:
    place = namespace("last-words")
    path, body = f"/api/v1/namespaces/{place}/pods", template("failed", command=["false"])
    two = [{**body["spec"]["containers"][0], "name": name} for name in ("main", "other")]
    spec = {**body["spec"], "restartPolicy": "Never", "containers": two}
    outside().apply(path, {"metadata": {"name": "failed", **body["metadata"]}, "spec": spec})
    until(lambda: outside().get(f"{path}/failed")["status"]["phase"] == "Failed", "it should fail")
    some: Any = {"namespace": place, "selector": "app=failed", "pattern": "x"}
    with pytest.raises(Refused, match="container name must be specified"):
        look(cluster, "kubernetes.logs", **some)
    with pytest.raises(Refused, match="mian"):
        look(cluster, "kubernetes.logs", container="mian", **some)
    assert look(cluster, "kubernetes.logs", container="main", **some)["pods"] == 1
    outside().delete(f"{path}/failed")


def test_containers_that_start_before_the_others_count() -> None:
    def status(name: str, restarts: int, state: str) -> Any:
        return {"name": name, "restartCount": restarts, "state": {state: {"reason": "Some"}}}

    before = [status("once", 4, "terminated"), status("sidecar", 2, "waiting")]
    pod = pod_of({
        "metadata": {"name": "one", "namespace": "shop", "uid": "1"},
        "spec": {"containers": [{"name": "web"}], "initContainers": [
            {"name": "once"}, {"name": "sidecar", "restartPolicy": "Always"}]},
        "status": {"phase": "Pending", "containerStatuses": [status("web", 1, "waiting")],
                   "initContainerStatuses": before},
    }, {})  # fmt: skip
    assert pod.restarts == 3
    assert sorted(pod.inits) == ["once", "sidecar"]

    def wrote(container: str) -> bool:
        return pods_probe.LogsProbe(
            namespace="shop", selector="a=b", pattern="x", container=container
        )._wrote(pod)

    assert [wrote(name) for name in ("", "web", "once", "sidecar")] == [False, False, True, False]


def test_a_pod_with_two_addresses_is_one_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    def slice_of(*endpoints: tuple[str, str, bool]) -> Any:
        return {"endpoints": [
            {"addresses": [address], "conditions": {"ready": well}, "targetRef": {"uid": uid}}
            if uid else {"addresses": [address]}
            for address, uid, well in endpoints
        ]}  # fmt: skip

    slices = [slice_of(("10.0.0.1", "a", True), ("10.0.0.2", "b", False), ("10.0.0.9", "", True)),
              slice_of(("fd00::1", "a", True), ("fd00::2", "b", False))]  # fmt: skip
    monkeypatch.setattr(Kubernetes, "settle", lambda _, access: access)
    monkeypatch.setattr(Kubernetes, "all", lambda *_, **__: slices)
    found = look(Kubernetes(), "kubernetes.endpoints", namespace="shop", service="checkout")
    assert (found["ready"], found["notReady"]) == (2, 1)


def test_of_a_pod_that_wrote_too_much_nothing_is_known(
    cluster: Kubernetes, shop: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pods_probe, "_MOST_BYTES", 10)  # the API leaves out the newest lines
    with pytest.raises(Refused, match="wrote more than 1 MB within 1m: not all of it was read"):
        look(
            cluster, "kubernetes.logs", namespace=shop, selector="app=traffic", pattern="panic",
        )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "spec", "status", "active"),
    [
        (_CHAOS, {}, {}, True),
        (_CHAOS, {}, {"experiment": {"desiredPhase": "Run"}}, True),
        (_CHAOS, {}, {"experiment": {"desiredPhase": "Stop"}}, False),
        (_CHAOS, {}, {"experiment": {"desiredPhase": "Stop", "containerRecords": [
            {"phase": "Not Injected"}, {"phase": "Injected"}]}}, True),
        (_CHAOS, {}, {"experiment": {"desiredPhase": "Stop", "containerRecords": [
            {"phase": "Not Injected"}]}}, False),
        (_ENGINE, {"engineState": "active"}, {}, True),
        (_ENGINE, {"engineState": "stop"}, {}, False),
        (_ENGINE, {"engineState": "stop"}, {"engineStatus": "initialized"}, True),
        (_ENGINE, {"engineState": "stop"}, {"engineStatus": "stopped"}, False),
        (_ENGINE, {"engineState": "active"}, {"engineStatus": "completed"}, False),
    ],
)  # fmt: skip
def test_chaos_of_others_is_at_work_until_it_has_given_everything_back(
    kind: Kind, spec: Any, status: Any, active: bool
) -> None:
    assert safe_gates._active(kind, {"spec": spec, "status": status}) is active


def test_any_object_is_asked_by_cel_and_by_jsonpath(cluster: Kubernetes, shop: str) -> None:
    named = {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": shop, "name": "checkout"}
    paths = {
        "{.spec.replicas}": ["3"],
        '{.status.conditions[?(@.type=="Available")].status}': ["True"],
        "{.spec.template.spec.containers[*].name}": ["checkout"],
        "{.metadata.labels.app\\.kubernetes\\.io/part-of}": [],
        "$.metadata.name": ["checkout"],
        ".spec.no.such": [],
    }
    for path, expected in paths.items():
        if "part-of" not in path:
            assert look(cluster, "kubernetes.object", **named, path=path)["values"] == expected
    found = look(cluster, "kubernetes.object", **named)
    assert found["object"]["status"]["readyReplicas"] == 3
    assert not look(cluster, "kubernetes.object", **{**named, "name": "none"})["exists"]
    with pytest.raises(Refused, match=r"apps/v1 has no Deploymint"):
        look(cluster, "kubernetes.object", **{**named, "kind": "Deploymint"})


def test_metrics_are_added_up(cluster: Kubernetes, shop: str) -> None:
    group = "metrics.k8s.io"
    with pytest.raises(Refused, match="no metrics API"):
        look(cluster, "kubernetes.metrics", namespace=shop)
    # What metrics-server would serve, as objects of our own.
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    outside().apply(crds, {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"pods.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"},
        },
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": "PodMetrics", "plural": "pods"},
            "versions": [{"name": "v1beta1", "served": True, "storage": True,
                          "schema": {"openAPIV3Schema": anything}}],
        },
    })  # fmt: skip
    path = f"/apis/{group}/v1beta1/namespaces/{shop}/pods"
    until(lambda: outside().get(path)["_status"] == 200, "they should be served")
    for name, cpu, memory in (("a", "250m", "64Mi"), ("b", "1500000000n", "1e6")):
        usage = {"name": "main", "usage": {"cpu": cpu, "memory": memory}}
        outside().apply(path, {
            "apiVersion": f"{group}/v1beta1", "kind": "PodMetrics",
            "metadata": {"name": name}, "containers": [usage],
        })  # fmt: skip
    found = look(cluster, "kubernetes.metrics", namespace=shop)
    outside().delete(f"{crds}/pods.{group}")
    assert found["pods"] == 2
    assert (found["cpu"], found["cpuMax"]) == (1.75, 1.5)
    assert (found["memory"], found["memoryMax"]) == (64 * 2**20 + 1e6, 64 * 2**20)


def test_gates_say_what_they_saw_and_what_would_open_them(cluster: Kubernetes, shop: str) -> None:
    good = measure(cluster, "kubernetes.rollout-complete", namespace=shop, name="checkout")
    assert good.open
    assert good.measured == "Deployment shop/checkout: 3 of 3 ready"
    none = measure(cluster, "kubernetes.rollout-complete", namespace=shop, name="none")
    assert (none.open, none.measured) == (False, "Deployment shop/none: there is none")
    assert measure(cluster, "kubernetes.no-degraded", namespace=shop).open
    assert not measure(cluster, "kubernetes.no-degraded", namespace="no-such-namespace").open
    allows = {"namespace": shop, "budget": "checkout"}
    one = measure(cluster, "kubernetes.budget-allows", **allows)
    assert (one.open, one.measured) == (True, "checkout allows 1")
    two = measure(cluster, "kubernetes.budget-allows", **allows, disruptions=2)
    assert (two.open, two.rule) == (False, "each must allow at least 2")
    assert not measure(cluster, "kubernetes.budget-allows", namespace=shop, budget="none").open


def test_the_right_cluster_is_known_by_its_context_and_its_uid(cluster: Kubernetes) -> None:
    here = cluster.settle(Access())
    assert measure(cluster, "kubernetes.cluster", cluster=here.cluster, context=here.context).open
    assert not measure(cluster, "kubernetes.cluster", context="production").open
    with pytest.raises(Refused, match="cluster elsewhere is meant"):
        cluster.settle(Access(cluster="elsewhere"))


def test_chaos_of_others_closes_the_gate(cluster: Kubernetes, shop: str) -> None:
    assert measure(cluster, "kubernetes.no-other-chaos").open
    definition("chaos-mesh.org", "v1alpha1", "PodChaos", "podchaos")
    definition("litmuschaos.io", "v1alpha1", "ChaosEngine", "chaosengines")
    chaos = f"/apis/chaos-mesh.org/v1alpha1/namespaces/{shop}/podchaos"
    engines = f"/apis/litmuschaos.io/v1alpha1/namespaces/{shop}/chaosengines"
    outside().apply(chaos, {
        "apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos",
        "metadata": {"name": "kill"}, "spec": {},
    })  # fmt: skip
    outside().apply(engines, {
        "apiVersion": "litmuschaos.io/v1alpha1", "kind": "ChaosEngine",
        "metadata": {"name": "engine"}, "spec": {"engineState": "active"},
    })  # fmt: skip
    fresh = Kubernetes()  # which asks anew what the cluster serves
    found = measure(fresh, "kubernetes.no-other-chaos", namespace=shop)
    assert (found.open, found.measured) == (
        False, f"ChaosEngine {shop}/engine, PodChaos {shop}/kill",
    )  # fmt: skip
    outside().delete(f"{chaos}/kill")
    outside().patch(f"{engines}/engine", {"spec": {"engineState": "stop"}})
    assert measure(fresh, "kubernetes.no-other-chaos", namespace=shop).open
    fresh.close()
    outside().delete(f"{engines}/engine")


def test_a_config_map_halts_unless_it_says_off(cluster: Kubernetes, shop: str) -> None:
    maps = f"/api/v1/namespaces/{shop}/configmaps"

    def switch(**more: str) -> Any:
        written = {"namespace": shop, "configMap": "halt", **more}
        return from_plain(written, discovery.halt_source("kubernetes.config-map")).read(cluster)

    with pytest.raises(Refused, match='"halt" not found'):
        switch()
    for text, on, seen in (
        ("off", False, "says off"),
        ("on a release is under way", True, "a release is under way"),
        ("perhaps", True, "says neither off nor on"),
    ):
        outside().apply(maps, {"metadata": {"name": "halt"}, "data": {"halt": text}})
        found = switch()
        assert found.on is on
        assert seen in found.seen
    assert switch(key="other").on
    outside().delete(f"{maps}/halt")
