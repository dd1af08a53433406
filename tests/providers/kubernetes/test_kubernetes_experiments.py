"""Every experiment in experiments/kubernetes/ is run as a service account with exactly its role."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chaosrun import discovery
from chaosrun.events import Verdict
from chaosrun.providers.kubernetes.kinds import labels_of
from chaosrun.providers.kubernetes.marks import LABEL
from chaosrun.verdicts import exit_code
from tests.contract.labs.in_pods import point
from tests.contract.labs.kubernetes import (
    EnvoyLab,
    IstioLab,
    definition,
    outside,
    until,
    worn,
)
from tests.providers.kubernetes.conftest import Runner, calm, rights_of

FILES = sorted(Path("experiments/kubernetes").glob("*.yaml"))
SECRET = "a-password-that-nobody-may-see"
RUN = [sys.executable, "-m", "chaosrun"]


def verdict_of(file: Path) -> str:
    found = re.search(r"^# verdict: (\S+)$", file.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def words_of(file: Path) -> list[str]:
    hold = "5s" if verdict_of(file) == "deviated" else "1500ms"  # until traffic has told
    given = ["--set", f"hold={hold}"]
    zone = outside().items("/api/v1/nodes")[0]["metadata"]["labels"]
    if "    zone: {type" in file.read_text():
        given += ["--set", f"zone={zone['topology.kubernetes.io/zone']}"]
    return [str(file), *given]


def told(*words: str) -> str:
    environment = {**os.environ, "WRONG_PASSWORD": SECRET}
    return subprocess.run(
        [*RUN, "permissions", *words], capture_output=True, text=True, check=True, timeout=60,
        env=environment,
    ).stdout  # fmt: skip


def snapshot(place: str) -> Any:
    """All that the experiments could have left behind."""
    found: dict[str, Any] = {}
    for kind in ("apis/apps/v1/{}/deployments", "api/v1/{}/configmaps", "api/v1/{}/secrets",
                 "api/v1/{}/services", "apis/networking.k8s.io/v1/{}/networkpolicies",
                 "apis/networking.istio.io/v1/{}/virtualservices",
                 "apis/gateway.envoyproxy.io/v1alpha1/{}/backendtrafficpolicies"):  # fmt: skip
        for one in outside().items("/" + kind.format(f"namespaces/{place}")):
            content = one.get("data", one.get("spec"))
            if "template" in content:
                content["template"]["metadata"].pop("annotations", None)
            found[f"{kind} {one['metadata']['name']}"] = [content, worn(one)]
    for one in outside().items(f"/api/v1/namespaces/{place}/pods"):
        if labels_of(one).keys() & {"app.kubernetes.io/name", LABEL}:
            found[f"pod {one['metadata']['name']}"] = "is an agent's, or marked"
    for one in outside().items("/api/v1/nodes"):
        taints = [t for t in one["spec"].get("taints", ()) if "kubernetes.io/" not in t["key"]]
        closed = one["spec"].get("unschedulable", False)
        found[f"node {one['metadata']['name']}"] = [closed, taints, worn(one)]
    return found


def whole(place: str) -> bool:
    found = outside().items(f"/apis/apps/v1/namespaces/{place}/deployments")
    return all(
        one["status"].get("observedGeneration") == one["metadata"]["generation"]
        and one["status"].get("replicas") == one["spec"]["replicas"]
        and one["status"].get("readyReplicas") == one["spec"]["replicas"]
        for one in found
    )


@pytest.fixture
def cleanup() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def world(shop: str) -> str:
    """The shop, with objects of a mesh and of a gateway."""
    IstioLab.define()
    EnvoyLab.define()
    outside().apply(f"/apis/networking.istio.io/v1/namespaces/{shop}/virtualservices", {
        "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
        "metadata": {"name": "checkout"},
        "spec": {"hosts": ["checkout"], "http": [{"route": []}]},
    })  # fmt: skip
    definition("chaos-mesh.org", "v1alpha1", "PodChaos", "podchaos")
    return shop


@contextlib.contextmanager
def as_it_says(file: Path, place: str) -> Iterator[None]:
    """The world as the experiment's own words have it."""
    path = f"/apis/apps/v1/namespaces/{place}/deployments/catalog"
    if "degraded" not in file.name:
        until(lambda: whole(place), "the shop should be whole")
        until(lambda: calm(place), "all of the last purchases should be served")
        yield
        return
    wrong = {"spec": {"template": {"spec": {"nodeSelector": {"no": "node"}}}}}
    outside().patch(path, wrong)
    yield
    outside().patch(path, {"spec": {"template": {"spec": {"nodeSelector": None}}}})


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_ends_as_it_says_with_exactly_its_rights(
    world: str, file: Path, tmp_path: Path, cleanup: contextlib.ExitStack
) -> None:
    rights = rights_of(json.loads(told(*words_of(file), "--output", "json")))
    runner = Runner(tmp_path, rights)
    if "${hold}\n      timeout: 90s" in file.read_text():  # agents do it inside of pods
        point(cleanup)
    environment = {**os.environ, "KUBECONFIG": str(runner.kubeconfig), "WRONG_PASSWORD": SECRET}
    before = snapshot(world)
    with as_it_says(file, world):
        done = subprocess.run(
            [*RUN, "run", *words_of(file)], capture_output=True, text=True, timeout=120,
            env=environment,
        )  # fmt: skip
    said = done.stdout[-4000:] + done.stderr[-1000:]
    assert done.returncode == exit_code(Verdict(verdict_of(file))), said
    until(lambda: snapshot(world) == before, "everything should be as before")
    assert SECRET not in said
    assert not any(
        SECRET.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    )
    runner.revoke()


def test_every_fault_probe_and_gate_is_in_an_experiment() -> None:
    provider = discovery.provider_of("faults", "kubernetes.scale")
    text = "\n".join(file.read_text() for file in FILES)
    names = {*provider.faults, *provider.gates, *provider.probes} - {"kubernetes.metrics"}
    assert [name for name in sorted(names) if not re.search(rf"{re.escape(name)}\b", text)] == []
    assert len(FILES) >= 12


def test_the_roles_are_told_as_kubectl_takes_them() -> None:
    import yaml

    file = "experiments/kubernetes/01-survives-the-loss-of-a-pod.yaml"
    written = told(file, "--document", "rbac", "--subject", "chaos/runner")
    roles = list(yaml.safe_load_all(written))
    assert [one["kind"] for one in roles] == [
        "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding",
    ]  # fmt: skip
    own = {"kind": "ServiceAccount", "name": "runner", "namespace": "chaos"}
    assert roles[1]["subjects"] == roles[3]["subjects"] == [own]
    evicting = {"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]}
    assert evicting in roles[2]["rules"]
    assert "*" not in written
