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

import pytest

from chaosrun import discovery
from chaosrun.events import Verdict
from chaosrun.verdicts import exit_code
from tests.cluster.inside import point
from tests.cluster.outside import outside, until
from tests.providers.kubernetes.conftest import Runner, calm, rights_of
from tests.providers.kubernetes.experiments import (
    FILES,
    SECRET,
    asked,
    await_as,
    snapshot,
    verdict_of,
    whole,
    words_of,
)

RUN = [sys.executable, "-m", "chaosrun"]


def told(*words: str) -> str:
    environment = {**os.environ, "WRONG_PASSWORD": SECRET}
    return subprocess.run(
        [*RUN, "permissions", *words], capture_output=True, text=True, check=True, timeout=60,
        env=environment,
    ).stdout  # fmt: skip


@contextlib.contextmanager
def as_it_says(file: Path, place: str) -> Iterator[None]:
    """The world as the experiment's own words have it."""
    path = f"/apis/apps/v1/namespaces/{place}/deployments/catalog"
    if "degraded" not in file.name:
        settle(file, place)
        yield
        return
    wrong = {"spec": {"template": {"spec": {"nodeSelector": {"no": "node"}}}}}
    outside().patch(path, wrong)
    yield
    outside().patch(path, {"spec": {"template": {"spec": {"nodeSelector": None}}}})


def settle(file: Path, place: str) -> None:
    """Return when the shop is as well as it can be."""
    if "degraded" not in file.name:
        until(lambda: whole(place), "the shop should be whole")
    until(lambda: calm(place), "all of the last purchases should be served")


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

    def run() -> subprocess.CompletedProcess[str]:
        words = [*RUN, "run", *words_of(file)]
        return subprocess.run(words, capture_output=True, text=True, timeout=300, env=environment)

    with as_it_says(file, world):
        done = asked(run, lambda: settle(file, world), verdict_of(file))
    said = done.stdout[-4000:] + done.stderr[-1000:]
    assert done.returncode == exit_code(Verdict(verdict_of(file))), said
    await_as(before, world)
    assert SECRET not in said
    assert not any(
        SECRET.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    )
    runner.end()


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
