"""Containers, pods and workloads that would not come back, or for which there is nothing to do.

Law (L1): what would not come back refuses the plan. Law (L6): what does nothing is no effect. Law
(L2): nothing is owed that was not there before, or that somebody deleted.
"""

from __future__ import annotations

import contextlib
import json
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import containers, repelling
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.container_kill import ContainerKill
from chaosrun.providers.kubernetes.node_drain import NodeDrain
from chaosrun.providers.kubernetes.node_taint import NodeTaint
from chaosrun.providers.kubernetes.pod_failure import PodFailure
from chaosrun.providers.kubernetes.pod_kill import PodKill
from chaosrun.providers.kubernetes.pods import pod_of
from chaosrun.providers.kubernetes.rollout_restart import RolloutRestart
from chaosrun.targeting import Target
from tests.cluster.objects import is_whole, pods, template
from tests.cluster.outside import outside, until
from tests.providers.kubernetes.laws.changes import (
    PLACE,
    WEB,
    changing,
    given_back,
    planned,
    scaling,
)


@contextlib.contextmanager
def a_pod(policy: str, **container: Any) -> Iterator[dict[str, Any]]:
    """One that nobody owns; it may have ended already."""
    path, name = f"/api/v1/namespaces/{PLACE}/pods", f"once-{policy.lower()}"
    body = template("once", **container)
    outside().apply(
        path,
        {"metadata": {"name": name, **body["metadata"]},
         "spec": {**body["spec"], "restartPolicy": policy}},
    )  # fmt: skip
    phase = "Succeeded" if container else "Running"
    until(lambda: outside().get(f"{path}/{name}")["status"]["phase"] == phase, f"be {phase}")
    yield {"namespace": PLACE, "names": [name]}
    outside().delete(f"{path}/{name}")


@pytest.mark.parametrize("policy", ["Never", "OnFailure"])
def test_a_container_that_would_not_start_again_is_not_stopped(
    cluster: Kubernetes, policy: str
) -> None:
    with a_pod(policy) as target:
        for fault in (
            from_plain({"target": target}, PodFailure),
            from_plain({"target": target, "container": "main"}, ContainerKill),
        ):
            with pytest.raises(Refused, match="no way back"):
                planned(fault, cluster)


def test_a_workload_whose_pods_would_not_be_replaced_is_refused(
    cluster: Kubernetes, web: str
) -> None:
    restart = from_plain({"target": {"namespace": PLACE, "name": web}}, RolloutRestart)
    change = changing("Deployment", web, set={"A": "1"})
    outside().patch(WEB, {"spec": {"paused": True}})
    for fault in (restart, change):
        with pytest.raises(Refused, match="is paused"):
            planned(fault, cluster)
    outside().patch(WEB, {"spec": {"paused": False, "replicas": 0}})
    until(lambda: is_whole(PLACE, web), "it should be whole")
    with pytest.raises(Refused, match="no pods"):
        planned(restart, cluster)


def test_a_restart_is_seen_when_a_new_pod_is_there_and_not_before(
    cluster: Kubernetes, web: str
) -> None:
    restart = from_plain({"target": {"namespace": PLACE, "name": web}}, RolloutRestart)
    hold = planned(restart, cluster)
    outside().patch(WEB, {"spec": {"paused": True}})
    until(lambda: is_whole(PLACE, web), "its controller should see it")
    injecting = threading.Thread(target=restart.inject, args=(hold, cluster))
    injecting.start()
    until(lambda: "restarted-by" in json.dumps(outside().get(WEB)["spec"]), "it should be marked")
    generation = outside().get(WEB)["metadata"]["generation"]
    until(lambda: outside().get(WEB)["status"]["observedGeneration"] == generation, "seen by it")
    assert not restart.took_effect(hold, cluster).seen
    outside().patch(WEB, {"spec": {"paused": False}})
    injecting.join(timeout=60)
    assert restart.took_effect(hold, cluster).seen


def test_variables_that_are_so_already_are_refused(cluster: Kubernetes, web: str) -> None:
    container = {**template("web")["spec"]["containers"][0], "env": [{"name": "A", "value": "1"}]}
    outside().patch(WEB, {"spec": {"template": {"spec": {"containers": [container]}}}})
    with pytest.raises(Refused, match="these values already"):
        planned(changing("Deployment", web, set={"A": "1"}), cluster)


@pytest.mark.parametrize(
    ("toleration", "stays"),
    [
        ({"operator": "Exists"}, True),
        ({"operator": "Exists", "key": "k", "effect": "NoExecute"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "value": "other"}, False),
        ({"operator": "Exists", "key": "k", "effect": "NoSchedule"}, False),
        ({"operator": "Exists", "key": "k", "tolerationSeconds": 300}, False),
        ({"operator": "Exists", "key": "another"}, False),
    ],
)
def test_a_taint_spares_those_who_tolerate_it(toleration: dict[str, Any], stays: bool) -> None:
    taint = {"key": "k", "value": "v", "effect": "NoExecute"}
    assert repelling.tolerates({"tolerations": [toleration]}, taint) is stays
    assert not repelling.tolerates({}, taint)


def test_the_first_toleration_that_matches_decides() -> None:
    taint = {"key": "k", "effect": "NoExecute"}
    some_seconds = {"key": "k", "operator": "Exists", "tolerationSeconds": 30}
    tolerations = [some_seconds, {"operator": "Exists"}]
    assert not repelling.tolerates({"tolerations": tolerations}, taint)
    assert repelling.tolerates({"tolerations": tolerations[::-1]}, taint)


@pytest.mark.parametrize("words", [{}, {"command": ["true"]}])
def test_a_taint_that_would_end_a_pod_for_good_is_refused(
    cluster: Kubernetes, words: dict[str, Any]
) -> None:
    with a_pod("Never" if words else "Always", **words) as target:
        (name,) = target["names"]
        node = outside().get(f"/api/v1/namespaces/{PLACE}/pods/{name}")["spec"]["nodeName"]
        given = {"target": {"names": [node]}, "effect": "NoExecute"}
        with pytest.raises(Refused, match=f"bring these pods back: .*{PLACE}/{name}"):
            planned(from_plain(given, NodeTaint), cluster)


def job(name: str, backoff: int, **more: Any) -> dict[str, Any]:
    """A Job that runs, and may lose so many pods."""
    path = f"/apis/batch/v1/namespaces/{PLACE}/jobs"
    body = template(name)
    spec = {**body["spec"], "restartPolicy": "Never"}
    outside().apply(
        path,
        {"metadata": {"name": name},
         "spec": {"backoffLimit": backoff, "template": {**body, "spec": spec}, **more}},
    )  # fmt: skip
    until(lambda: outside().get(f"{path}/{name}")["status"].get("ready"), "it should run")
    return {"namespace": PLACE, "owner": f"Job/{name}"}


def end(name: str) -> None:
    """Delete a Job and its pods, which it would leave else."""
    path = f"/apis/batch/v1/namespaces/{PLACE}/jobs/{name}"
    outside().call("DELETE", path, {"propagationPolicy": "Background"})


def test_a_pod_that_two_budgets_protect_stays_and_is_told(cluster: Kubernetes, web: str) -> None:
    path = f"/apis/policy/v1/namespaces/{PLACE}/poddisruptionbudgets"
    spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": web}}}
    for name in ("one", "two"):
        outside().apply(path, {"metadata": {"name": name}, "spec": spec})
    try:
        target = {"namespace": PLACE, "selector": "app=web", "pick": "one"}
        fault = from_plain({"target": target}, PodKill)
        hold, began = planned(fault, cluster), time.monotonic()
        fault.inject(hold, cluster)
        assert time.monotonic() - began < 3
        seen = fault.took_effect(hold, cluster)
        assert not seen.seen
        assert "more than one PodDisruptionBudget" in seen.detail
    finally:
        for name in ("one", "two"):
            outside().delete(f"{path}/{name}")


def test_a_job_that_would_fail_of_a_lost_pod_loses_none(cluster: Kubernetes) -> None:
    with pytest.raises(Refused, match="would fail for good"):
        planned(from_plain({"target": job("last", 0)}, PodKill), cluster)
    end("last")


def test_a_job_whose_own_rules_ignore_evictions_is_whole_again_after_one(
    cluster: Kubernetes,
) -> None:
    conditions = [{"type": "DisruptionTarget", "status": "True"}]
    rules = {"rules": [{"action": "Ignore", "onPodConditions": conditions}]}
    target = job("lenient", 0, podFailurePolicy=rules)
    with pytest.raises(Refused, match="would fail for good: it may lose 0 more pods"):
        planned(from_plain({"target": target, "how": "force"}, PodKill), cluster)
    fault = from_plain({"target": target, "gracePeriod": "0s"}, PodKill)
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    assert fault.took_effect(hold, cluster).seen
    until(lambda: fault.restored(hold, cluster).seen, "its Job should start another")
    end("lenient")


def test_a_drain_does_not_wait_for_a_pod_that_came_in_the_place_of_another(
    cluster: Kubernetes, node: str
) -> None:
    path = f"/apis/apps/v1/namespaces/{PLACE}/deployments"
    pod = template("stays")
    pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
    closed = {"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}
    pod["spec"]["tolerations"] = [closed]
    outside().apply(path, {
        "metadata": {"name": "stays"},
        "spec": {"selector": {"matchLabels": {"app": "stays"}}, "template": pod},
    })  # fmt: skip
    until(lambda: is_whole(PLACE, "stays"), "it should run")
    (before,) = pods(PLACE, "stays")
    fault = from_plain({"target": {"names": [node]}, "namespaces": [PLACE]}, NodeDrain)
    hold = planned(fault, cluster)
    try:
        fault.inject(hold, cluster)
        until(lambda: is_whole(PLACE, "stays"), "another should run")
        assert before["metadata"]["uid"] not in {
            one["metadata"]["uid"] for one in pods(PLACE, "stays")
        }
        said = fault.took_effect(hold, cluster).detail
        assert re.search(rf"{PLACE}/stays-\S+ stays", said)
    finally:
        given_back(fault, hold, cluster)
        outside().delete(f"{path}/stays")


@pytest.mark.parametrize(
    ("status", "ending", "said"),
    [
        ({"phase": "Running"}, False, "one is not ready yet"),
        ({"phase": "Failed"}, False, ""),
        ({"phase": "Running"}, True, ""),
    ],
)
def test_a_pod_that_has_ended_or_ends_is_not_to_be_ready_again(
    status: Any, ending: bool, said: str
) -> None:
    deleted = {"deletionTimestamp": "2026-01-01T00:00:00Z"} if ending else {}
    pod = pod_of(
        {"metadata": {"name": "one", "namespace": PLACE, "uid": "1", **deleted},
         "spec": {"containers": [{"name": "main", "image": "web"}]}, "status": status},
        {},
    )  # fmt: skip
    undo = {"images": {"main": "web"}, "ready": True}
    hold = Hold(fault="kubernetes.pod-failure", targets=(), population=1, effect="", mark="m")
    target = Target(kind="pod", id="1", name="x/one", undo=undo)
    assert containers.difference(hold, pod, target) == said


def test_a_workload_that_was_deleted_meanwhile_is_owed_nothing(cluster: Kubernetes) -> None:
    fault = from_plain({"target": job("gone", 3), "how": "force"}, PodKill)
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    end("gone")
    until(lambda: fault.restored(hold, cluster).seen, "nothing is owed")
    assert "was deleted meanwhile" in fault.restored(hold, cluster).detail


def test_a_workload_that_was_not_whole_before_need_not_be_afterwards(
    cluster: Kubernetes, web: str
) -> None:
    container = {**template("web")["spec"]["containers"][0], "image": "localhost/none:0"}
    outside().patch(WEB, {"spec": {"template": {"spec": {"containers": [container]}}}})
    until(lambda: not is_whole(PLACE, web), "it should be degraded")
    fault = scaling(0)
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    given_back(fault, hold, cluster)
    assert outside().get(WEB)["spec"]["replicas"] == 2
