"""What is left on a cluster is ours, mark or no mark: marks are taken off, objects are made anew.

Law (L2): all that a fault did is undone, and nothing that somebody else did.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Indeterminate, Refused
from chaosrun.fault import AnyFault
from chaosrun.providers.kubernetes import calls, merging
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.api_object import ApiObject
from chaosrun.providers.kubernetes.client import Call, Connection
from chaosrun.providers.kubernetes.node_cordon import NodeCordon
from chaosrun.providers.kubernetes.node_taint import NodeTaint
from chaosrun.providers.kubernetes.pod_failure import PodFailure
from tests.cluster.objects import pods
from tests.cluster.outside import outside, until
from tests.providers.kubernetes.laws.changes import (
    MAPS,
    NODE,
    PLACE,
    SECRETS,
    WEB,
    by_them,
    changing,
    config_map,
    container_of_web,
    data_of_shop,
    env_of_web,
    given_back,
    patching,
    planned,
    replicas_of_web,
    scaling,
    take_marks_off,
)


def test_a_mark_that_was_taken_off_does_not_make_a_change_somebody_elses(
    cluster: Kubernetes, web: str
) -> None:
    path = config_map(a="1", b="1")
    cases: list[tuple[AnyFault, str, Callable[[], Any]]] = [
        (scaling(1), WEB, replicas_of_web),
        (changing("ConfigMap", "shop", set={"a": "2"}, remove=["b"]), path, data_of_shop),
        (changing("Deployment", web, set={"A": "1"}), WEB, env_of_web),
        (patching("ConfigMap", "shop", {"data": {"b": "2"}}), path, data_of_shop),
    ]
    for fault, where, what in cases:
        before, hold, kind = what(), planned(fault, cluster), type(fault)
        kind.inject(hold, cluster)
        take_marks_off(where)
        assert what() != before
        assert not kind.restored(hold, cluster).seen, kind
        given_back(fault, hold, cluster)
        assert what() == before


def test_what_keeps_a_secret_goes_only_when_the_secret_has_its_own_values(
    cluster: Kubernetes,
) -> None:
    for name in ("shop", "chaosrun-undo-shop"):
        outside().delete(f"{SECRETS}/{name}")
    outside().apply(SECRETS, {"metadata": {"name": "shop"}, "stringData": {"password": "right"}})
    before = outside().get(f"{SECRETS}/shop")["data"]
    fault = changing("Secret", "shop", set={"password": "wrong"})
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    take_marks_off(f"{SECRETS}/shop")
    take_marks_off(f"{SECRETS}/chaosrun-undo-shop")
    given_back(fault, hold, cluster)
    assert outside().get(f"{SECRETS}/shop")["data"] == before
    assert outside().get(f"{SECRETS}/chaosrun-undo-shop")["_status"] == 404


def test_a_secret_whose_own_values_are_lost_is_owed_and_told(cluster: Kubernetes) -> None:
    for name in ("lost", "chaosrun-undo-lost"):
        outside().delete(f"{SECRETS}/{name}")
    outside().apply(SECRETS, {"metadata": {"name": "lost"}, "stringData": {"password": "right"}})
    fault = changing("Secret", "lost", set={"password": "wrong"})
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    outside().delete(f"{SECRETS}/chaosrun-undo-lost")
    with pytest.raises(Indeterminate, match="with its own values is gone"):
        fault.revert(hold, cluster)
    assert not fault.restored(hold, cluster).seen
    take_marks_off(f"{SECRETS}/lost")
    assert not fault.restored(hold, cluster).seen


def test_an_object_that_was_made_goes_though_its_mark_was_taken_off(cluster: Kubernetes) -> None:
    outside().delete(f"{MAPS}/made")
    target = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": PLACE, "name": "made"}
    fault = from_plain({"target": target, "manifest": {"data": {"a": "1"}}}, ApiObject)
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    take_marks_off(f"{MAPS}/made")
    assert not fault.restored(hold, cluster).seen
    given_back(fault, hold, cluster)
    assert outside().get(f"{MAPS}/made")["_status"] == 404


def test_an_object_of_somebody_else_at_that_place_stays(cluster: Kubernetes) -> None:
    target = {"apiVersion": "v1", "kind": "ConfigMap", "namespace": PLACE, "name": "theirs"}
    fault = from_plain({"target": target, "manifest": {"data": {"a": "1"}}}, ApiObject)
    hold = planned(fault, cluster)
    by_them("POST", MAPS, {"metadata": {"name": "theirs"}, "data": {"a": "1"}})
    with pytest.raises(Refused, match="is not ours"):
        fault.inject(hold, cluster)
    fault.revert(hold, cluster)
    assert fault.restored(hold, cluster).seen
    assert outside().get(f"{MAPS}/theirs")["_status"] == 200
    outside().delete(f"{MAPS}/theirs")


def test_no_mark_stays_behind_where_controllers_copy_what_an_object_bears(
    cluster: Kubernetes, web: str
) -> None:
    fault = scaling(1)
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    until(lambda: len(pods(PLACE, web)) == 1, "it should be scaled")
    given_back(fault, hold, cluster)
    sets = outside().items(f"/apis/apps/v1/namespaces/{PLACE}/replicasets?labelSelector=app=web")
    assert sets
    assert "chaosrun" not in json.dumps([one["metadata"] for one in [*sets, outside().get(WEB)]
                                         if one["metadata"].pop("managedFields")])  # fmt: skip


def test_a_node_that_somebody_else_closed_stays_closed(cluster: Kubernetes, node: str) -> None:
    fault = from_plain({"target": {"names": [node]}}, NodeCordon)
    hold = planned(fault, cluster)
    by_them("PATCH", f"{NODE}/{node}", {"spec": {"unschedulable": True}})
    with pytest.raises(Refused, match="unschedulable since it was planned"):
        fault.inject(hold, cluster)
    fault.revert(hold, cluster)
    assert outside().get(f"{NODE}/{node}")["spec"]["unschedulable"]
    assert fault.restored(hold, cluster).seen


def test_a_node_opens_and_loses_its_taint_though_the_mark_was_taken_off(
    cluster: Kubernetes, node: str
) -> None:
    for fault in (
        from_plain({"target": {"names": [node]}}, NodeCordon),
        from_plain({"target": {"names": [node]}, "effect": "PreferNoSchedule"}, NodeTaint),
    ):
        hold, kind = planned(fault, cluster), type(fault)
        kind.inject(hold, cluster)
        take_marks_off(f"{NODE}/{node}")
        assert not kind.restored(hold, cluster).seen
        given_back(fault, hold, cluster)
        spec = outside().get(f"{NODE}/{node}")["spec"]
        assert not spec.get("unschedulable")
        assert not any("chaosrun" in one["key"] for one in spec.get("taints") or ())


def test_a_change_goes_back_in_an_object_that_was_made_anew_with_it(
    cluster: Kubernetes,
) -> None:
    path = config_map(a="1")
    fault = changing("ConfigMap", "shop", set={"a": "2"})
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    found = outside().get(path)
    outside().delete(path)  # as `kubectl replace --force` does
    own = {key: found["metadata"][key] for key in ("name", "labels")}
    outside().apply(MAPS, {"metadata": own, "data": found["data"]})
    assert not fault.restored(hold, cluster).seen
    given_back(fault, hold, cluster)
    assert outside().get(path)["data"] == {"a": "1"}


def test_what_else_was_changed_in_a_list_stays_and_ours_goes(cluster: Kubernetes, web: str) -> None:
    patch = [
        {"op": "add", "path": "/spec/template/spec/containers/0/env", "value": [
            {"name": "OURS", "value": "1"}]},
        {"op": "replace", "path": "/spec/template/spec/terminationGracePeriodSeconds", "value": 2},
    ]  # fmt: skip
    fault = patching("Deployment", web, patch, "apps/v1")
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    theirs = {**container_of_web(), "command": ["sh", "-c", "sleep 1000"]}
    by_them("PATCH", WEB, {"spec": {"template": {"spec": {"containers": [theirs]}}}})
    given_back(fault, hold, cluster)
    spec = outside().get(WEB)["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] == 1
    assert "env" not in spec["containers"][0]
    assert spec["containers"][0]["command"] == theirs["command"]


@pytest.mark.parametrize(
    ("before", "ours", "now", "after"),
    [
        ([1, 2], [1, 3], [0, 1, 3], [0, 1, 2]),
        ([1, 2], [1, 2, 3], [1, 2, 3, 4], [1, 2, 4]),
        ([1, 2, 3], [1, 3], [1, 3, 4], [1, 2, 3, 4]),
        ([{"w": 1}, {"w": 2}], [{"w": 1, "f": 1}, {"w": 2}], [{"w": 9, "f": 1}, {"w": 2}],
         [{"w": 9}, {"w": 2}]),
        ([{"name": "a"}, {"name": "b"}], [{"name": "a", "x": 1}, {"name": "c"}],
         [{"name": "n"}, {"name": "c"}, {"name": "a", "x": 1, "y": 2}],
         [{"name": "n"}, {"name": "b"}, {"name": "a", "y": 2}]),
        ([1], [2], [7], [7]),
        (None, [1], [1, 2], [2]),
        (None, [1], [1], None),
        (None, {"delay": "2s", "share": 10}, {"delay": "1s", "share": 10},
         {"delay": "1s", "share": 10}),
        (None, {"delay": "2s"}, {"delay": "2s"}, None),
        (None, {"pool": {"most": 1}}, {"pool": {"most": 1}, "tls": {}}, {"tls": {}}),
        (None, {"most": 1}, {"most": 1, "least": 2}, {"least": 2}),
        (None, {"pool": {"most": 1}, "by": {"x": "a"}}, {"pool": {"most": 1}, "by": {"x": "b"}},
         {"by": {"x": "b"}}),
        (None, {"delay": {"of": "2s", "share": {"value": 1}}},
         {"delay": {"of": "1s", "share": {"value": 1}}},
         {"delay": {"of": "1s", "share": {"value": 1}}}),
        (None, {}, {}, None),
        ({}, {"a": "1"}, {}, {}),
    ],
)  # fmt: skip
def test_a_list_or_a_map_is_undone_part_by_part(
    before: Any, ours: Any, now: Any, after: Any
) -> None:
    there, back = ({"l": ours}, {"l": before})
    found = merging.undone({"l": now}, there, back, lambda _: True)
    assert found == ({} if after is None else {"l": after})
    assert merging.undone(found, there, back, lambda _: True) == found


@pytest.mark.parametrize(
    ("ours", "now", "after"),
    [
        ({"a": "1"}, {"a": "1", "b": "2"}, {"b": "2"}),
        ({"a": "1"}, {"a": "2"}, {"a": "2"}),
        ({"a": "1"}, {"a": "1"}, None),
    ],
)
def test_of_labels_and_data_each_key_is_undone_for_itself(ours: Any, now: Any, after: Any) -> None:
    found = merging.undone({"labels": now}, {"labels": ours}, {"labels": None}, lambda _: True)
    assert found == ({} if after is None else {"labels": after})


def test_what_is_empty_and_somebody_elses_stays() -> None:
    assert merging.undone({"x": []}, {"x": []}, {"x": None}, lambda _: False) == {"x": []}


def test_a_change_that_lands_after_the_revert_is_refused_by_the_api_server(
    cluster: Kubernetes, web: str, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_map(a="1")
    name = pods(PLACE, "web")[0]["metadata"]["name"]
    target = {"namespace": PLACE, "names": [name]}
    monkeypatch.setattr(calls, "_FIRST_PAUSE", 0.01)
    send = Connection.send
    for fault in (
        scaling(1),
        changing("ConfigMap", "shop", set={"a": "2"}),
        changing("Deployment", web, set={"A": "1"}),
        patching("ConfigMap", "shop", {"data": {"a": "3"}}),
        from_plain({"target": {"names": [node]}}, NodeCordon),
        from_plain({"target": target}, PodFailure),
    ):
        kind, hold, late = type(fault), planned(fault, cluster), list[Any]()

        def lost(own: Connection, call: Call, *, late: Any = late, **more: Any) -> Any:
            if call.method == "PATCH":
                late.append(lambda: send(own, call, **more))
                return Indeterminate("no answer")
            return send(own, call, **more)

        with monkeypatch.context() as patched:
            patched.setattr(Connection, "send", lost)
            with pytest.raises(Indeterminate, match="no answer"):
                kind.inject(hold, cluster)
        given_back(fault, hold, cluster)
        assert [each().status for each in late] == [409] * len(late) != []
        assert kind.restored(hold, cluster).seen
        assert not kind.took_effect(hold, cluster).seen


def test_what_somebody_added_beside_what_was_not_there_before_stays(
    cluster: Kubernetes, node: str
) -> None:
    ours, theirs = ({"key": key, "effect": "NoSchedule"} for key in ("ours", "theirs"))
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    fault = from_plain({"target": target, "patch": {"spec": {"taints": [ours]}}}, ApiObject)
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    by_them("PATCH", f"{NODE}/{node}", {"spec": {"taints": [ours, theirs]}})
    given_back(fault, hold, cluster)
    assert [one["key"] for one in outside().get(f"{NODE}/{node}")["spec"]["taints"]] == ["theirs"]
    made = config_map()
    fault = patching("ConfigMap", "shop", {"data": {"a": "1"}, "metadata": {"labels": {"x": "1"}}})
    hold = planned(fault, cluster)
    fault.inject(hold, cluster)
    by_them("PATCH", made, {"data": {"b": "2"}, "metadata": {"labels": {"y": "2"}}})
    given_back(fault, hold, cluster)
    assert data_of_shop() == {"b": "2"}
    assert outside().get(made)["metadata"]["labels"] == {"y": "2"}


def test_what_may_not_be_changed_at_all_is_owed_nothing(
    cluster: Kubernetes, web: str, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(own: Kubernetes, access: Any, ref: Any, edit: Any, **_: Any) -> None:
        edit(own.get(access, ref))
        raise Refused("a webhook says no")

    for fault in (scaling(1), from_plain({"target": {"names": [node]}}, NodeCordon)):
        kind, hold = type(fault), planned(fault, cluster)
        with monkeypatch.context() as patched:
            patched.setattr(Kubernetes, "change", denied)
            with pytest.raises(Refused, match="a webhook says no"):
                kind.inject(hold, cluster)
            kind.revert(hold, cluster)
        assert kind.restored(hold, cluster).seen
        kind.inject(hold, cluster)
        with monkeypatch.context() as patched:  # of a change that was made, it is owed
            patched.setattr(Kubernetes, "change", denied)
            with pytest.raises(Refused, match="a webhook says no"):
                kind.revert(hold, cluster)
        given_back(fault, hold, cluster)


def test_a_revert_whose_answers_are_lost_makes_nothing_of_somebody_else_ours(
    cluster: Kubernetes, web: str, node: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside().delete(f"{SECRETS}/shop")
    outside().apply(SECRETS, {"metadata": {"name": "shop"}, "stringData": {"password": "old"}})
    closing = from_plain({"target": {"names": [node]}}, NodeCordon)
    cases: list[tuple[AnyFault, str, str, Any]] = [
        (closing, f"{NODE}/{node}", "unschedulable", {"spec": {"unschedulable": True}}),
        (scaling(1), WEB, "replicas", {"spec": {"replicas": 1}}),
        (changing("Secret", "shop", set={"password": "new"}), f"{SECRETS}/shop", "password", None),
    ]  # fmt: skip
    monkeypatch.setattr(calls, "_FIRST_PAUSE", 0.01)
    send = Connection.send
    for fault, path, part, theirs in cases:
        kind, hold = type(fault), planned(fault, cluster)
        if theirs is not None:
            by_them("PATCH", path, theirs)
            with pytest.raises(Refused):
                kind.inject(hold, cluster)
        wanted = value_of(path, part)

        def lost(own: Connection, call: Call, **more: Any) -> Any:
            answer = send(own, call, **more)
            return Indeterminate("no answer") if call.method == "PATCH" else answer

        with monkeypatch.context() as patched:
            patched.setattr(Connection, "send", lost)
            for _ in range(2):
                with contextlib.suppress(Indeterminate):
                    kind.revert(hold, cluster)
        given_back(fault, hold, cluster)
        assert value_of(path, part) == wanted
        labels = outside().get(path)["metadata"].get("labels") or {}
        assert not any("chaosrun" in name for name in labels)


def value_of(path: str, part: str) -> Any:
    found = outside().get(path)
    return found.get("spec", {}).get(part), found.get("data", {}).get(part)
