"""What StatefulSets and DaemonSets do of their own accord, which Deployments do not.

Law (L1): volumes that would be lost, or kept, refuse the plan. Law (L2): restored is what has the
pods that it had, of the template that it had, whatever the controller's numbers say meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import environment, objects, repelling
from chaosrun.providers.kubernetes.access import Access, undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.api_object import ApiObject
from chaosrun.providers.kubernetes.config_change import ConfigChange
from chaosrun.providers.kubernetes.kinds import STATEFUL_SET, Kind, Ref
from chaosrun.providers.kubernetes.merging import merged
from chaosrun.providers.kubernetes.node_taint import NodeTaint
from chaosrun.providers.kubernetes.scale import Scale
from chaosrun.providers.kubernetes.workloads import refuse_claims, state_of
from chaosrun.targeting import Target
from tests.cluster.objects import pods, ready, template
from tests.cluster.outside import outside, until
from tests.providers.kubernetes.laws.changes import PLACE, given_back, patching, planned

_SETS = f"/apis/apps/v1/namespaces/{PLACE}/statefulsets"
_DAEMONS = f"/apis/apps/v1/namespaces/{PLACE}/daemonsets"
_CLAIMS = [{
    "metadata": {"name": "data"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
}]  # fmt: skip
_DELETES = {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Delete"}}
_BREAKS = 'test -z "$BROKEN" || exit 1; trap "exit 0" TERM; while :; do sleep 1 & wait $!; done'


@contextlib.contextmanager
def stateful(name: str, replicas: int, **more: Any) -> Iterator[str]:
    """A StatefulSet, ordered as by default, whose pods fail where BROKEN is set."""
    probe = {"exec": {"command": ["true"]}, "periodSeconds": 1}
    pod = template(name, command=["sh", "-c", _BREAKS], readinessProbe=probe)
    outside().apply(_SETS, {
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas, "serviceName": name,
            "selector": {"matchLabels": {"app": name}}, "template": pod, **more,
        },
    })  # fmt: skip
    try:
        yield f"{_SETS}/{name}"
    finally:
        outside().delete(f"{_SETS}/{name}")
        until(lambda: not pods(PLACE, name), "its pods should go")


@pytest.mark.parametrize(
    ("wanted", "spec", "said"),
    [
        (0, {"volumeClaimTemplates": _CLAIMS, **_DELETES}, "would delete the volumes of the pods"),
        (3, {"volumeClaimTemplates": _CLAIMS, **_DELETES}, ""),
        (0, {"volumeClaimTemplates": _CLAIMS}, ""),
        (3, {"volumeClaimTemplates": _CLAIMS}, "would keep the volumes of the pods that it gets"),
        (0, _DELETES, ""),
        (3, {}, ""),
    ],
)
def test_volumes_that_go_or_stay_with_the_replicas_refuse_it(
    wanted: int, spec: dict[str, Any], said: str
) -> None:
    before = {"replicas": 2, **spec}
    after = {**before, "replicas": wanted}
    if not said:
        refuse_claims("db", before, after)
        return
    with pytest.raises(Refused, match=f"db {said}"):
        refuse_claims("db", before, after)


def test_a_stateful_set_that_would_delete_its_volumes_is_not_scaled(cluster: Kubernetes) -> None:
    with stateful("claims", 1, volumeClaimTemplates=_CLAIMS, **_DELETES):
        target = {"namespace": PLACE, "kind": "StatefulSet", "name": "claims"}
        with pytest.raises(Refused, match="would delete the volumes"):
            planned(from_plain({"target": target, "replicas": 0}, Scale), cluster)
        patch: Any = {"spec": {"replicas": 0}}
        with pytest.raises(Refused, match="would delete the volumes"):
            planned(patching("StatefulSet", "claims", patch, "apps/v1"), cluster)
    with stateful("claims", 1, volumeClaimTemplates=_CLAIMS):
        patch["spec"] |= _DELETES
        with pytest.raises(Refused, match="would delete the volumes"):
            planned(patching("StatefulSet", "claims", patch, "apps/v1"), cluster)
    outside().delete(f"/api/v1/namespaces/{PLACE}/persistentvolumeclaims/data-claims-0")


@pytest.mark.parametrize(
    ("kind", "status", "whole"),
    [
        ("StatefulSet", {"replicas": 3, "readyReplicas": 3, "updatedReplicas": 3}, True),
        ("StatefulSet", {"replicas": 6, "readyReplicas": 6, "updatedReplicas": 6}, False),
        ("ReplicaSet", {"replicas": 3, "readyReplicas": 3}, True),
        ("ReplicaSet", {"replicas": 4, "readyReplicas": 4}, False),
        ("Deployment", {"replicas": 3, "readyReplicas": 3, "updatedReplicas": 3}, True),
        ("Deployment", {"replicas": 9, "readyReplicas": 9, "updatedReplicas": 9}, False),
        ("Deployment", {"replicas": 4, "readyReplicas": 3, "updatedReplicas": 3}, False),
    ],
)
def test_pods_that_are_yet_to_go_are_not_wanted(
    kind: str, status: dict[str, Any], whole: bool
) -> None:
    found = {"metadata": {"generation": 1}, "spec": {"replicas": 3},
             "status": {"observedGeneration": 1, **status}}  # fmt: skip
    assert state_of(kind, found).whole is whole


def test_a_workload_that_got_more_pods_is_owed_until_they_are_gone(cluster: Kubernetes) -> None:
    with stateful("grows", 1):
        until(lambda: len([one for one in pods(PLACE, "grows") if ready(one)]) == 1, "it runs")
        target = {"namespace": PLACE, "kind": "StatefulSet", "name": "grows"}
        fault = from_plain({"target": target, "replicas": 3}, Scale)
        hold = planned(fault, cluster)
        fault.inject(hold, cluster)
        assert len(pods(PLACE, "grows")) == 3
        fault.revert(hold, cluster)
        until(lambda: fault.restored(hold, cluster).seen, "it should be as before")
        assert len(pods(PLACE, "grows")) == 1


def test_a_job_that_was_made_takes_its_pods_with_it(cluster: Kubernetes) -> None:
    pod = template("made")
    pod["spec"]["restartPolicy"] = "Never"
    target = {"apiVersion": "batch/v1", "kind": "Job", "namespace": PLACE, "name": "made"}
    manifest = {"spec": {"parallelism": 2, "template": pod}}
    fault = from_plain({"target": target, "manifest": manifest}, ApiObject)
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    until(lambda: len(pods(PLACE, "made")) == 2, "its pods should come")
    fault.revert(hold, cluster)
    assert fault.restored(hold, cluster).seen
    assert pods(PLACE, "made") == []


@pytest.mark.parametrize(
    ("spec", "status", "mine"),
    [
        ({"containers": [{"name": "web", "env": [{"name": "X", "value": "1"}]}]}, "False", True),
        ({"containers": [{"name": "web", "env": [{"name": "X", "value": "1"}]}]}, "True", False),
        ({"containers": [{"name": "web"}]}, "False", False),
        ({"containers": [{"name": "other"}]}, "False", False),
    ],
)
@pytest.mark.parametrize("now", ["web", "other", "same"])
def test_only_pods_that_have_our_values_and_a_template_that_has_them_not_are_ended(
    monkeypatch: pytest.MonkeyPatch, spec: Any, status: str, mine: bool, now: str
) -> None:
    template = {"web": {"name": "web"}, "other": {"name": "other"},
                "same": {"name": "web", "env": [{"name": "X", "value": "1"}]}}[now]  # fmt: skip
    found = {"metadata": {"name": "db", "uid": "1"},
             "spec": {"template": {"spec": {"containers": [template]}}}}  # fmt: skip
    controller = {"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "db", "uid": "1",
                  "controller": True}  # fmt: skip
    own = {"name": "db-0", "namespace": PLACE, "uid": "2", "ownerReferences": [controller]}
    conditions = [{"type": "Ready", "status": status}]
    pod = {"metadata": own, "spec": spec, "status": {"conditions": conditions}}
    ended: list[str] = []
    monkeypatch.setattr(Kubernetes, "find", lambda *_, **__: found)
    monkeypatch.setattr(Kubernetes, "all", lambda *_, **__: [pod])
    monkeypatch.setattr(Kubernetes, "delete", lambda *given, **__: ended.append(given[3]))
    hold = Hold(
        fault="kubernetes.config-change", population=1, effect="",
        targets=(Target(kind="statefulset", id="1", name=f"{PLACE}/db"),),
        undo=undo(Access(), container="web", set={"X": "1"}, names=["X"], before={"X": None}),
    )  # fmt: skip
    environment._end_broken(hold, Kubernetes(), Ref(STATEFUL_SET, "db", PLACE))
    assert ended == (["2"] if mine and now == "web" else [])


@pytest.mark.parametrize(
    ("kind", "name", "patch"),
    [
        ("ConfigMap", "one-way", {"immutable": True}),
        (
            "PersistentVolumeClaim",
            "one-way",
            {"spec": {"resources": {"requests": {"storage": "2Mi"}}}},
        ),
        ("Pod", "one-way", {"spec": {"tolerations": [{"operator": "Exists"}]}}),
    ],
)
def test_what_the_api_lets_nobody_put_back_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: str, name: str, patch: Any
) -> None:
    before: Any = {"metadata": {"name": name, "namespace": PLACE, "uid": "1"}, "spec": {}}
    monkeypatch.setattr(Kubernetes, "get", lambda *_, **__: before)
    monkeypatch.setattr(Kubernetes, "try_patch", lambda *_, **__: merged(before, patch))
    ref = Ref(Kind("v1", kind, f"{kind.lower()}s"), name, PLACE)
    with pytest.raises(Refused, match="lets nobody put back"):
        objects.patched(Kubernetes(), Access(), ref, patch)


@pytest.mark.parametrize(("updated", "whole"), [(3, True), (2, False)])
def test_a_stateful_set_that_was_rolled_back_half_way_is_not_whole_yet(
    updated: int, whole: bool
) -> None:
    status = {"observedGeneration": 3, "readyReplicas": 3, "updatedReplicas": updated,
              "updateRevision": "a", "currentRevision": "a"}  # fmt: skip
    found = {"metadata": {"generation": 3}, "spec": {"replicas": 3}, "status": status}
    assert state_of("StatefulSet", found).whole is whole


def test_an_ordered_stateful_set_that_a_variable_broke_is_whole_again(cluster: Kubernetes) -> None:
    with stateful("ordered", 2):
        until(lambda: len([one for one in pods(PLACE, "ordered") if ready(one)]) == 2, "it runs")
        target = {"namespace": PLACE, "kind": "StatefulSet", "name": "ordered"}
        fault = from_plain({"target": target, "set": {"BROKEN": "yes"}}, ConfigChange)
        hold = planned(fault, cluster)
        fault.inject(hold, cluster)
        assert fault.took_effect(hold, cluster).seen

        def broken() -> bool:
            return any(
                "env" in one["spec"]["containers"][0] and not ready(one)
                for one in pods(PLACE, "ordered")
            )

        until(broken, "one should be broken")

        def whole() -> bool:
            fault.revert(hold, cluster)
            return fault.restored(hold, cluster).seen

        until(whole, "it should be as before")
        found = pods(PLACE, "ordered")
        assert [one["spec"]["containers"][0].get("env") for one in found] == [None, None]
        assert all(ready(one) for one in found)


def test_a_daemon_set_that_a_taint_repelled_is_owed_until_its_pod_is_back(
    cluster: Kubernetes, node: str
) -> None:
    pod = template("daemon")
    pod["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
    body = {"selector": {"matchLabels": {"app": "daemon"}}, "template": pod}
    outside().apply(_DAEMONS, {"metadata": {"name": "daemon"}, "spec": body})

    def whole() -> bool:
        state = state_of("DaemonSet", outside().get(f"{_DAEMONS}/daemon"))
        return state.whole and state.desired == 1

    until(whole, "it should run")
    (before,) = pods(PLACE, "daemon")
    given = {"target": {"names": [node]}, "key": "example.com/repels", "effect": "NoExecute"}
    fault = from_plain(given, NodeTaint)
    hold = planned(fault, cluster)
    try:
        fault.inject(hold, cluster)
        until(lambda: fault.took_effect(hold, cluster).seen, "pods should leave")
        until(lambda: not pods(PLACE, "daemon"), "its pod should leave")
        fault.revert(hold, cluster)
        outcomes = []

        def restored() -> bool:
            seen = fault.restored(hold, cluster).seen
            outcomes.append((seen, any(ready(one) for one in pods(PLACE, "daemon"))))
            return seen

        until(restored, "it should be as before", seconds=90)
        assert (True, False) not in outcomes, outcomes
        assert [one["metadata"]["uid"] for one in pods(PLACE, "daemon")] != [
            before["metadata"]["uid"]
        ]
    finally:
        given_back(fault, hold, cluster)
        outside().delete(f"{_DAEMONS}/daemon")


@pytest.mark.parametrize(
    ("generation", "is_ready", "lacks"),
    [(1, "True", False), (1, "False", True), (2, "False", False)],
)
def test_a_daemon_set_that_was_changed_meanwhile_may_want_no_pod_there(
    monkeypatch: pytest.MonkeyPatch, generation: int, is_ready: str, lacks: bool
) -> None:
    controller = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "daemon", "uid": "1",
                  "controller": True}  # fmt: skip
    pod = {
        "metadata": {
            "name": "one",
            "namespace": PLACE,
            "uid": "2",
            "ownerReferences": [controller],
        },
        "status": {"conditions": [{"type": "Ready", "status": is_ready}]},
    }
    monkeypatch.setattr(Kubernetes, "all", lambda *_, **__: [pod])
    found = {"metadata": {"generation": generation}}
    monkeypatch.setattr(Kubernetes, "find", lambda *_, **__: found)
    hold = repelled(going=["2"], daemons=[[PLACE, "daemon", 1, "node-1"]])
    said = repelling.lacking(hold, Kubernetes(), ["node-1"])
    assert said == (f"DaemonSet {PLACE}/daemon has no ready pod on node-1 yet" if lacks else "")
    assert repelling.lacking(hold, Kubernetes(), ["node-2"]) == ""


@pytest.mark.parametrize(
    ("going", "stay", "none"),
    [(["a", "b"], ["a", "b", "c"], True), (["a", "b"], ["b"], False), ([], ["c"], False)],
)
def test_a_taint_that_no_pod_has_left_for_has_had_no_effect(
    monkeypatch: pytest.MonkeyPatch, going: list[str], stay: list[str], none: bool
) -> None:
    found = [{"metadata": {"name": uid, "namespace": PLACE, "uid": uid}} for uid in stay]
    monkeypatch.setattr(Kubernetes, "all", lambda *_, **__: found)
    assert repelling.none_left(repelled(going=going, daemons=[]), Kubernetes()) is none


def repelled(**more: Any) -> Hold:
    target = Target(kind="node", id="1", name="node-1")
    return Hold(
        fault="kubernetes.node-taint", targets=(target,), population=1, effect="",
        undo=undo(Access(), **more),
    )  # fmt: skip
