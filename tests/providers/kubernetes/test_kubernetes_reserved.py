"""What belongs to the cluster, or runs chaosrun, is touched only where a policy opens it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import draining, reserved
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import DEPLOYMENT, JOB, STATEFUL_SET, Kind, Ref
from tests.cluster.objects import deployment, is_whole, pods
from tests.cluster.outside import outside, until
from tests.providers.kubernetes.experiments import asked

RUN = [sys.executable, "-m", "chaosrun"]
CLUSTERS, APP = "kube-system", "of-a-test"
EXPERIMENT = f"""\
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {{name: loses-a-pod-of-the-cluster}}
spec:
  title: The cluster survives the loss of one of its own pods
  steadyState:
    - {{name: well, probe: command, with: {{command: "true"}}, every: 500ms, expect: code == 0}}
  method:
    - name: kill one
      fault: kubernetes.pod-kill
      target: {{namespace: {CLUSTERS}, selector: app={APP}, pick: one}}
      with: {{gracePeriod: 0s}}
      hold: 5s
"""
POLICY = f"""\
apiVersion: chaosrun.dev/v1
kind: Policy
metadata: {{name: production}}
spec:
  opens:
    - {{namespace: {CLUSTERS}, workload: {CLUSTERS}/{APP}, because: it must survive that}}
"""


@pytest.fixture
def theirs(cluster: Kubernetes) -> Iterator[None]:
    """A workload of the cluster itself."""
    deployment(CLUSTERS, APP, 2)
    until(lambda: is_whole(CLUSTERS, APP), "it should be whole")
    yield
    outside().delete(f"/apis/apps/v1/namespaces/{CLUSTERS}/deployments/{APP}")
    until(lambda: not pods(CLUSTERS, APP), "it should go")


def uids() -> set[str]:
    return {str(one["metadata"]["uid"]) for one in pods(CLUSTERS, APP)}


def plan(client: Kubernetes, name: str, **given: Any) -> Hold:
    hold: Hold = from_plain(given, discovery.fault(name)).plan(client, random.Random(1))
    return hold


def test_a_policy_opens_what_belongs_to_the_cluster(theirs: None, tmp_path: Path) -> None:
    experiment, policy = tmp_path / "experiment.yaml", tmp_path / "policy.yaml"
    experiment.write_text(EXPERIMENT)
    policy.write_text(POLICY)
    before = uids()
    words = [*RUN, "run", str(experiment)]
    refused = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert refused.returncode == 3, refused.stdout + refused.stderr
    said = " ".join(refused.stdout.split())
    assert "belongs to the cluster itself" in said
    assert "a policy can open" in said
    assert uids() == before
    opened = ["--policy", str(policy)]
    for more, code in (([], 3), (opened, 0)):
        test = [*RUN, "policy", "test", str(experiment), *more]
        tested = subprocess.run(test, capture_output=True, text=True, timeout=60)
        assert tested.returncode == code, tested.stdout + tested.stderr
        assert "belongs to the cluster itself" in " ".join(tested.stdout.split())

    def settle() -> None:
        nonlocal before
        until(lambda: is_whole(CLUSTERS, APP), "it should be whole")
        before = uids()

    done = asked(
        lambda: subprocess.run([*words, *opened], capture_output=True, text=True, timeout=120),
        settle,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(uids() & before) == 1
    told = subprocess.run(
        [*RUN, "report", "last", "-f", "json"], capture_output=True, text=True, timeout=60
    )
    (limit,) = [one for one in json.loads(told.stdout)["limits"] if one["limit"] == "reserved"]
    assert "opened by policy production: it must survive that" in limit["measured"]


SELF = {"namespace": CLUSTERS, "name": APP}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("pod-kill", {"target": {"namespace": CLUSTERS, "selector": f"app={APP}"}}),
        ("pod-failure", {"target": {"namespace": CLUSTERS, "owner": f"Deployment/{APP}"}}),
        ("scale", {"target": SELF, "replicas": 1}),
        ("rollout-restart", {"target": SELF}),
        ("config-change", {"target": {**SELF, "kind": "Deployment"}, "set": {"A": "1"}}),
        (
            "api-object",
            {
                "target": {"apiVersion": "apps/v1", "kind": "Deployment", **SELF},
                "patch": {"spec": {"paused": True}},
            },
        ),
        (
            "api-object",
            {
                "target": {"apiVersion": "v1", "kind": "Namespace", "name": CLUSTERS},
                "patch": {"metadata": {"labels": {"a": "b"}}},
            },
        ),
        ("node-drain", {"target": {"names": ["node-1"]}, "namespaces": [CLUSTERS]}),
        ("zone-outage", {"target": {"zone": "zone-a"}, "namespaces": [CLUSTERS]}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_fault_knows_what_belongs_to_the_cluster(
    theirs: None, cluster: Kubernetes, name: str, given: dict[str, Any]
) -> None:
    node = outside().items("/api/v1/nodes")[0]
    target = given["target"]
    if "names" in target:
        given["target"] = {"names": [node["metadata"]["name"]]}
    if "zone" in target:
        given["target"] = {"zone": node["metadata"]["labels"]["topology.kubernetes.io/zone"]}
    hold = plan(cluster, f"kubernetes.{name}", **given)
    assert all(target.reserved for target in hold.targets)


def test_a_drain_leaves_the_pods_of_the_cluster_unless_their_namespace_is_named(
    theirs: None, cluster: Kubernetes
) -> None:
    (one, *_) = pods(CLUSTERS, APP)
    access, node = cluster.settle(Access()), one["spec"]["nodeName"]
    everywhere = draining.leaving(cluster, access, [node], [])
    assert not [pod for pod in everywhere if pod.namespace == CLUSTERS]
    named = plan(cluster, "kubernetes.node-drain", target={"names": [node]}, namespaces=[CLUSTERS])
    assert [CLUSTERS, "Deployment", APP] in [each[:3] for each in named.undo["owners"]]
    assert named.targets[0].reserved == "would lose pods of kube-system"


def test_the_pod_in_which_chaosrun_runs_is_meant_only_when_it_is_named(
    theirs: None, cluster: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = sorted(str(one["metadata"]["name"]) for one in pods(CLUSTERS, APP))[0]
    (node,) = [
        one["spec"]["nodeName"] for one in pods(CLUSTERS, APP) if one["metadata"]["name"] == own
    ]
    monkeypatch.setattr(reserved, "own_pod", lambda: (CLUSTERS, own))
    monkeypatch.setattr(reserved, "PROTECTED", ())
    every = {"namespace": CLUSTERS, "selector": f"app={APP}", "pick": "all"}
    (other,) = plan(cluster, "kubernetes.pod-kill", target=every).targets
    assert (other.name != f"{CLUSTERS}/{own}", other.reserved) == (True, "")
    (named,) = plan(cluster, "kubernetes.pod-kill", target={**every, "names": [own]}).targets
    assert named.reserved == "is where chaosrun runs"
    scaled = plan(cluster, "kubernetes.scale", target=SELF, replicas=0)
    assert scaled.targets[0].reserved == "is what chaosrun runs in"
    target = {"names": [node]}
    drained = plan(cluster, "kubernetes.node-drain", target=target, namespaces=[CLUSTERS])
    assert drained.targets[0].reserved == "would lose the pod in which chaosrun runs"


SERVICE = Kind("v1", "Service", "services")


@pytest.mark.parametrize(
    ("pod", "kind", "name", "is_ours"),
    [
        ("chaosrun-6d4cf56db6-x7x2p", DEPLOYMENT, "chaosrun", True),
        ("chaosrun-6d4cf56db6-x7x2p", DEPLOYMENT, "chaos", False),
        ("chaosrun-worker-6d4cf56db6-x7x2p", DEPLOYMENT, "chaosrun", False),
        ("chaosrun-worker-6d4cf56db6-x7x2p", DEPLOYMENT, "chaosrun-worker", True),
        ("chaosrun-0", STATEFUL_SET, "chaosrun", True),
        ("nightly-29412-abcde", JOB, "nightly-29412", True),
        ("chaosrun-6d4cf56db6-x7x2p", SERVICE, "chaosrun", False),
        (f"{'a' * 52}-6d4cf" + "abcde", DEPLOYMENT, "a" * 52, True),
        (f"{'a' * 58}" + "abcde", DEPLOYMENT, "a" * 60, True),
    ],
)
def test_what_chaosrun_runs_in_is_known_by_its_pods_name(
    monkeypatch: pytest.MonkeyPatch, pod: str, kind: Kind, name: str, is_ours: bool
) -> None:
    monkeypatch.setattr(reserved, "own_pod", lambda: ("tools", pod))
    assert bool(reserved.why(Ref(kind, name, "tools"))) is is_ours
    assert not reserved.why(Ref(kind, name, "other"))
