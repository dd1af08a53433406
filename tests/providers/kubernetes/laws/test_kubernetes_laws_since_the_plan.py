"""What somebody changes between a plan and its inject.

Law (L2, L8): what is not as it was planned is refused, and stays: a revert spares it, too. Law
(L1): so does a pod that came since, and that nothing would bring back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import AnyFault
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.node_drain import NodeDrain
from tests.cluster.objects import namespace, template
from tests.cluster.outside import outside, until
from tests.providers.kubernetes.laws.changes import (
    WEB,
    by_them,
    changing,
    config_map,
    data_of_shop,
    env_of_web,
    given_back,
    patching,
    planned,
    replicas_of_web,
    scaling,
)


def test_what_has_changed_since_the_plan_is_refused_and_stays(
    cluster: Kubernetes, web: str
) -> None:
    path = config_map(a="1")
    theirs = [{"name": "A", "value": "theirs"}]
    container = {**template("web")["spec"]["containers"][0], "env": theirs}
    in_template = {"spec": {"template": {"spec": {"containers": [container]}}}}
    cases: list[tuple[AnyFault, str, Any, Callable[[], Any]]] = [
        (scaling(1), WEB, {"spec": {"replicas": 3}},
         replicas_of_web),
        (scaling(1), WEB, {"spec": {"replicas": 1}},
         replicas_of_web),
        (changing("ConfigMap", "shop", set={"a": "2"}), path, {"data": {"a": "3"}},
         data_of_shop),
        (changing("ConfigMap", "shop", set={"a": "2"}), path, {"data": {"a": "2"}},
         data_of_shop),
        (patching("ConfigMap", "shop", {"data": {"a": "5"}}), path, {"data": {"a": "5"}},
         data_of_shop),
        (changing("Deployment", web, set={"A": "1"}), WEB, in_template,
         env_of_web),
    ]  # fmt: skip
    for fault, where, change, what in cases:
        hold, kind = planned(fault, cluster), type(fault)
        by_them("PATCH", where, change)
        theirs = what()
        with pytest.raises(Refused, match="planned"):
            kind.inject(hold, cluster)
        kind.revert(hold, cluster)
        assert what() == theirs
        until(lambda k=kind, h=hold: k.restored(h, cluster).seen, "restored")  # type: ignore[misc]


def test_a_drain_ends_no_pod_that_came_since_and_would_never_come_back(
    cluster: Kubernetes, node: str
) -> None:
    namespace(place := "laws-drained")
    target = {"target": {"names": [node]}, "namespaces": [place], "how": "force"}
    drain = from_plain(target, NodeDrain)
    hold = planned(drain, cluster)
    path = f"/api/v1/namespaces/{place}/pods"
    outside().apply(path, {
        "metadata": {"name": "alone"},
        "spec": {"nodeName": node, **template("alone")["spec"]},
    })  # fmt: skip
    with pytest.raises(Refused, match=f"would bring these pods back: {place}/alone"):
        NodeDrain.inject(hold, cluster)
    given_back(drain, hold, cluster)
    assert "deletionTimestamp" not in outside().get(f"{path}/alone")["metadata"]
    outside().delete(f"{path}/alone")
