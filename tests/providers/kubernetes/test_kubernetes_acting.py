"""A step that acts as somebody else: what it takes is granted to them, and the right to act as
them to who runs it. Law (L4): whose rights are asked is whose rights are used."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.providers.kubernetes import grants
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.require import in_words
from chaosrun.providers.kubernetes.safe_gates import CanDo
from chaosrun.providers.kubernetes.scale import Scale
from chaosrun.rights import Need
from tests.cluster.outside import until
from tests.providers.kubernetes.conftest import RUNNERS, Runner

SCALE: dict[str, Any] = {"namespace": "shop", "name": "checkout"}


def needs_of(target: dict[str, Any]) -> tuple[Need, ...]:
    written = {"target": target, "replicas": 1}
    rights = from_plain(written, Scale).needs()
    return tuple(
        Need(permission=right, uses="kubernetes.scale", by="fewer", arguments=written)
        for right in rights
    )


def granted(
    needs: tuple[Need, ...], subject: str, experiment: str = "fewer"
) -> dict[str, list[str]]:
    """Whom the document grants what: verbs, resources and names."""
    found: dict[str, list[str]] = {}
    objects = list(yaml.safe_load_all(grants.document(needs, experiment, subject)))
    roles = {(one["kind"], one["metadata"]["name"], one["metadata"].get("namespace")): one
             for one in objects}  # fmt: skip
    assert len(roles) == len(objects)
    for (kind, name, place), one in roles.items():
        if kind.endswith("Binding"):
            (who,) = one["subjects"]
            for rule in roles[one["roleRef"]["kind"], name, place]["rules"]:
                words = [*rule["verbs"], *rule["resources"], *rule.get("resourceNames", ())]
                found.setdefault(who["name"], []).append(" ".join(words))
    return {who: sorted(rules) for who, rules in found.items()}


def test_nobody_is_granted_what_another_does() -> None:
    acting = {**SCALE, "impersonate": "jane@example.com", "impersonateGroups": ["oncall"]}
    assert granted((*needs_of(acting), *needs_of(SCALE)), "chaos/runner") == {
        "jane@example.com": [
            "get list patch watch deployments checkout", "get namespaces kube-system",
        ],
        "runner": [
            "get list patch watch deployments checkout", "get namespaces kube-system",
            "impersonate groups oncall", "impersonate users jane@example.com",
        ],
    }  # fmt: skip


def test_a_service_account_is_one_of_its_namespace() -> None:
    acting = {**SCALE, "impersonate": "system:serviceaccount:chaos:hand"}
    told = granted(needs_of(acting), "chaos/runner")
    assert told["runner"] == ["impersonate serviceaccounts hand"]
    assert "impersonate serviceaccounts hand in chaos" in [
        in_words(need.permission) for need in needs_of(acting)
    ]
    assert told["hand"] == [
        "get list patch watch deployments checkout",
        "get namespaces kube-system",
    ]


def test_two_whom_it_acts_as_have_roles_of_their_own_however_long_its_name() -> None:
    needs = [
        need
        for user in ("system:serviceaccount:shop:runner-a", "system:serviceaccount:shop:runner-b")
        for need in needs_of({**SCALE, "impersonate": user})
    ]
    told = granted(tuple(needs), "chaos/runner", "nothing-answers-without-a-catalog")
    assert told["runner-a"] == told["runner-b"] != []
    names = {
        one["metadata"]["name"]
        for of in ("survives-the-loss-of-a-pod", "survives-the-loss-of-a-zone")
        for one in yaml.safe_load_all(grants.document(needs, of, "chaos/runner"))
        if one["kind"] == "ClusterRole"
    }
    assert len(names) == 4


@pytest.fixture
def two(shop: str, tmp_path: Path) -> Iterator[tuple[Runner, Runner]]:
    """Who runs it, and whom it acts as; neither may do anything yet."""
    runners = Runner(tmp_path, ()), Runner(tmp_path, ())
    yield runners
    for runner in runners:
        runner.end()


def test_with_what_is_granted_to_both_it_is_planned_and_without_either_refused(
    two: tuple[Runner, Runner], cluster: Kubernetes
) -> None:
    runs, acts = two
    target = {**SCALE, "kubeconfig": str(runs.kubeconfig), "impersonate": acts.user}
    needs, gate = needs_of(target), CanDo(kubeconfig=str(runs.kubeconfig))
    fault = from_plain({"target": target, "replicas": 1}, Scale)
    with pytest.raises(Refused, match="cannot impersonate resource"):
        fault.plan(cluster, random.Random(1))
    (to_act,) = (need.permission for need in needs if need.permission.action == "impersonate")
    runs.grant([to_act])
    until(lambda: "impersonate" not in gate.measure_rights(cluster, needs).measured, "it acts")
    closed = gate.measure_rights(cluster, needs)
    assert "patch deployments.apps checkout in shop" in closed.measured
    acts.grant(need.permission for need in needs if need.permission != to_act)
    until(lambda: gate.measure_rights(cluster, needs).open, "all rights should be there")
    assert [target.name for target in fault.plan(cluster, random.Random(1)).targets] == [
        "shop/checkout"
    ]
    runs.revoke()
    told = f"missing: impersonate serviceaccounts {acts.name} in {RUNNERS}"
    until(lambda: told in gate.measure_rights(cluster, needs).measured, "it is noticed")
    with pytest.raises(Refused, match=f"rights are missing: impersonate .* {acts.name}"):
        fault.plan(cluster, random.Random(1))
