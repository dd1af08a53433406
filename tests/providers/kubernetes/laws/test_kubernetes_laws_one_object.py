"""A fault changes the one object that was planned, in that cluster, and shows nothing of it.

Law (L8): all faults call an object the same, so one lock is on it; no name leads to another one.
Law (L2): a second fault on it, which would not know the way back, is refused. Law (L9): no error
quotes what it holds.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.api_object import ApiObject
from chaosrun.providers.kubernetes.kinds import CONFIG_MAP, SECRET, Ref
from chaosrun.providers.kubernetes.node_cordon import NodeCordon
from chaosrun.providers.kubernetes.node_taint import NodeTaint
from chaosrun.providers.kubernetes.pod_failure import PodFailure
from tests.cluster.objects import pods
from tests.cluster.outside import outside
from tests.cluster.session import kubeconfig
from tests.providers.kubernetes.laws.changes import (
    PLACE,
    SECRETS,
    changing,
    config_map,
    given_back,
    patching,
    planned,
    scaling,
)


def test_all_faults_call_an_object_the_same_so_that_one_lock_is_on_it(
    cluster: Kubernetes, web: str, node: str
) -> None:
    config_map(a="1")
    patch = {"metadata": {"labels": {"x": "1"}}}
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    of_node = from_plain({"target": target, "patch": patch}, ApiObject)
    name = pods(PLACE, "web")[0]["metadata"]["name"]
    meant = {"namespace": PLACE, "names": [name], "pick": "all"}
    for one, other in (
        (scaling(1), patching("Deployment", web, patch, "apps/v1")),
        (changing("Deployment", web, set={"A": "1"}), scaling(1)),
        (changing("ConfigMap", "shop", set={"a": "2"}), patching("ConfigMap", "shop", patch)),
        (from_plain({"target": {"names": [node]}}, NodeCordon), of_node),
        (from_plain({"target": meant}, PodFailure), patching("Pod", name, patch)),
    ):
        keys = [[t.key for t in planned(each, cluster).targets] for each in (one, other)]
        assert keys[0] == keys[1]


def test_a_second_fault_that_could_not_tell_what_was_before_is_refused(
    cluster: Kubernetes, web: str
) -> None:
    config_map(a="1")
    first = changing("ConfigMap", "shop", set={"a": "2"})
    hold = planned(first, cluster)
    first.inject(hold, cluster)
    for second in (
        changing("ConfigMap", "shop", set={"a": "3"}),
        patching("ConfigMap", "shop", {"data": {"a": "3"}}),
    ):
        with pytest.raises(Refused, match=r"is changed by kubernetes\.config-change of"):
            planned(second, cluster)
    given_back(first, hold, cluster)
    planned(changing("ConfigMap", "shop", set={"a": "3"}), cluster)


@pytest.mark.parametrize("name", ["../secrets/shop", "..", "a/b", "a%2fb"])
def test_a_name_leads_to_no_other_object(cluster: Kubernetes, name: str) -> None:
    for ref in (Ref(CONFIG_MAP, name, PLACE), Ref(CONFIG_MAP, "shop", name)):
        with pytest.raises(Refused, match="not a name"):
            cluster.find(Access(), ref)


def test_an_error_does_not_quote_the_object_and_all_it_holds(cluster: Kubernetes) -> None:
    """The API server quotes all of an object that cannot be read after a patch."""
    outside().apply(SECRETS, {"metadata": {"name": "quoted"}, "stringData": {"a": "a-secret"}})
    held_in_it = outside().get(f"{SECRETS}/quoted")["data"]["a"]
    config_map(a="what-it-holds")

    def edit(found: Any) -> None:
        found["data"] = {**found["data"], "b": "no base64!"}

    with pytest.raises(Refused, match="illegal base64") as refused:
        cluster.change(cluster.settle(Access()), Ref(SECRET, "quoted", PLACE), edit)
    assert held_in_it not in str(refused.value)
    with pytest.raises(Refused, match="cannot unmarshal") as refused:
        planned(patching("ConfigMap", "shop", {"data": {"b": {"c": 1}}}), cluster)
    assert "what-it-holds" not in str(refused.value)
    outside().delete(f"{SECRETS}/quoted")


def test_what_was_planned_elsewhere_is_undone_in_that_cluster_whatever_it_is_called_here(
    cluster: Kubernetes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = yaml.safe_load(kubeconfig().read_text())
    for one in config["contexts"]:
        one["name"] = "elsewhere"
    config["current-context"] = "elsewhere"
    other = tmp_path / "config"
    other.write_text(json.dumps(config))
    path = config_map(a="1")
    fault = changing("ConfigMap", "shop", set={"a": "2"})
    with monkeypatch.context() as there:
        there.setenv("KUBECONFIG", str(other))
        client = Kubernetes()
        hold = planned(fault, client)
        fault.inject(hold, client)
        client.close()
    assert hold.undo["access"]["context"] == "elsewhere"
    given_back(fault, hold, cluster)
    assert outside().get(path)["data"] == {"a": "1"}
    access = Access(context="elsewhere", cluster="another")
    with pytest.raises(Refused, match="cluster another is meant"):
        cluster.get(access, Ref(CONFIG_MAP, "shop", PLACE))


def test_a_run_that_was_refused_does_not_end_what_another_does(
    cluster: Kubernetes, web: str, node: str
) -> None:
    name = pods(PLACE, "web")[0]["metadata"]["name"]
    target = {"namespace": PLACE, "names": [name]}
    failing = from_plain({"target": target}, PodFailure)
    closing = from_plain({"target": {"names": [node]}}, NodeCordon)
    repelling = from_plain({"target": {"names": [node]}}, NodeTaint)
    with_key = from_plain({"target": {"names": [node]}, "key": "example.com/x"}, NodeTaint)
    # Of two journals, which do not see each other.
    for fault in (failing, closing, repelling, with_key, scaling(1)):
        kind, first, second = type(fault), planned(fault, cluster), planned(fault, cluster)
        kind.inject(first, cluster)
        with pytest.raises(Refused):
            kind.inject(second, cluster)
        kind.revert(second, cluster)
        assert kind.restored(second, cluster).seen
        assert kind.took_effect(first, cluster).seen
        given_back(fault, first, cluster)
