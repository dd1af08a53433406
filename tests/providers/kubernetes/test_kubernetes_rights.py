"""Without any one of its rights an experiment is refused before anything is touched."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.node_drain import NodeDrain
from chaosrun.providers.kubernetes.require import in_words
from chaosrun.providers.kubernetes.safe_gates import CanDo
from chaosrun.providers.kubernetes.scale import Scale
from chaosrun.rights import Need
from tests.contract.labs.kubernetes import outside, until
from tests.providers.kubernetes.conftest import Runner, rights_of

FILE = "experiments/kubernetes/01-survives-the-loss-of-a-pod.yaml"
RUN = [sys.executable, "-m", "chaosrun"]


def needed(file: str) -> list[dict[str, object]]:
    words = [*RUN, "permissions", file, "--output", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    found: list[dict[str, object]] = json.loads(done.stdout)
    return found


def test_the_gate_names_each_right_that_is_missing(
    cluster: Kubernetes, shop: str, tmp_path: Path
) -> None:
    rights = rights_of(needed(FILE))
    runner = Runner(tmp_path, rights)
    gate = CanDo(kubeconfig=str(runner.kubeconfig))
    needs = tuple(
        Need(permission=right, uses="kubernetes.pod-kill", by="a step", arguments={})
        for right in rights
    )
    until(lambda: gate.measure_rights(cluster, needs).open, "all rights should be there")
    for missing in rights:
        left = [right for right in rights if right != missing]
        runner.grant(left)

        def closed(missing: str = in_words(missing)) -> bool:
            found = gate.measure_rights(cluster, needs)
            return not found.open and found.measured == f"missing: {missing}"

        until(closed, f"the gate should name {in_words(missing)}")
    runner.revoke()


def test_without_a_right_the_run_is_refused_and_nothing_was_touched(
    shop: str, tmp_path: Path
) -> None:
    rights = rights_of(needed(FILE))
    evicting = next(right for right in rights if right.resource == "pods/eviction")
    runner = Runner(tmp_path, [right for right in rights if right != evicting])
    path = f"/api/v1/namespaces/{shop}/pods?labelSelector=app=checkout"
    before = {one["metadata"]["uid"] for one in outside().items(path)}
    done = subprocess.run(
        [*RUN, "run", FILE], capture_output=True, text=True, timeout=60,
        env={**os.environ, "KUBECONFIG": str(runner.kubeconfig)},
    )  # fmt: skip
    assert done.returncode == 3, done.stdout + done.stderr
    assert "create pods/eviction in shop" in done.stdout + done.stderr
    assert {one["metadata"]["uid"] for one in outside().items(path)} == before
    runner.revoke()


def test_a_plan_without_the_gate_is_refused_too(
    shop: str, cluster: Kubernetes, tmp_path: Path
) -> None:
    plain = {"target": {"namespace": shop, "name": "checkout"}, "replicas": 1}
    rights = from_plain(plain, Scale).needs()
    runner = Runner(tmp_path, [right for right in rights if right.action != "patch"])
    target = {**plain["target"], "kubeconfig": str(runner.kubeconfig)}  # type: ignore[dict-item]
    with pytest.raises(Refused, match=r"patch deployments\.apps checkout in shop"):
        from_plain({**plain, "target": target}, Scale).plan(cluster, random.Random(1))
    runner.revoke()


def test_somebody_else_can_be_acted_for(shop: str, cluster: Kubernetes, tmp_path: Path) -> None:
    runner = Runner(tmp_path, [])
    nobody = Access(impersonate=runner.user, impersonate_groups=("system:authenticated",))
    with pytest.raises(Refused, match="cannot get resource"):
        cluster.settle(nobody)


def test_a_role_for_one_namespace_is_enough_to_drain_only_its_pods(shop: str) -> None:
    target = {"names": ["node-1"]}
    everywhere = from_plain({"target": target}, NodeDrain).needs()
    here = from_plain({"target": target, "namespaces": [shop]}, NodeDrain).needs()
    assert {r.scope for r in everywhere if r.resource == "pods/eviction"} == {""}
    assert {r.scope for r in here if r.resource == "pods/eviction"} == {shop}


def test_what_is_not_there_is_told_by_name(cluster: Kubernetes, shop: str) -> None:
    plain = {"target": {"namespace": shop, "name": "nothing"}, "replicas": 1}
    with pytest.raises(NotFound, match='"nothing" not found'):
        from_plain(plain, Scale).plan(cluster, random.Random(1))
