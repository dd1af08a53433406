"""chaosrun runs in a pod, as its service account, and never harms that pod itself."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import images
from tests.cluster.outside import outside, until
from tests.cluster.session import parts
from tests.providers.kubernetes.conftest import RUNNERS, Runner, calm, rights_of
from tests.providers.kubernetes.experiments import asked

REPOSITORY = Path(__file__).parents[3]
FILE = "experiments/kubernetes/12-nobody-reads-the-banner.yaml"
_OWN = """\
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {name: kills-itself}
spec:
  title: A pod that runs chaosrun is no target
  steadyState:
    - {name: all is well, probe: command, with: {command: "true"}, expect: code == 0}
  method:
    - name: the runner fails
      fault: kubernetes.pod-failure
      target: {namespace: runners, names: [inside]}
"""


def needed(file: str) -> Any:
    words = [sys.executable, "-m", "chaosrun", "permissions", file, "--output", "json"]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=60)
    return json.loads(done.stdout)


@pytest.fixture
def inside(shop: str, tmp_path: Path) -> Iterator[Path]:
    """A pod that has this machine's Python and this checkout, and waits; and its own experiment."""
    parts()  # only on a node that is this machine
    own = tmp_path / "own.yaml"
    own.write_text(_OWN)
    runner = Runner(tmp_path, rights_of([*needed(FILE), *needed(str(own))]))
    shown = {"/lib", "/lib64", "/usr", str(REPOSITORY), sys.prefix, sys.base_prefix, str(tmp_path)}
    real = sorted(place for place in shown if Path(place).exists())
    body = {
        "metadata": {"name": "inside"},
        "spec": {
            "serviceAccountName": runner.name,
            "terminationGracePeriodSeconds": 0,
            "containers": [
                {
                    "name": "main",
                    "image": images.BUSYBOX,
                    "workingDir": str(REPOSITORY),
                    "env": [
                        {"name": "PYTHONPATH", "value": str(REPOSITORY)},
                        {"name": "XDG_STATE_HOME", "value": "/tmp"},
                        {"name": "PYTHONDONTWRITEBYTECODE", "value": "1"},
                    ],
                    "volumeMounts": [
                        {"name": f"v{number}", "mountPath": place, "readOnly": True}
                        for number, place in enumerate(real)
                    ],
                }
            ],
            "volumes": [
                {"name": f"v{number}", "hostPath": {"path": place}}
                for number, place in enumerate(real)
            ],
        },
    }
    path = f"/api/v1/namespaces/{RUNNERS}/pods"
    outside().apply(path, body)
    until(
        lambda: outside().get(f"{path}/inside")["status"].get("phase") == "Running",
        "the pod should run",
    )
    yield own
    outside().delete(f"{path}/inside")
    until(lambda: outside().get(f"{path}/inside")["_status"] == 404, "the pod should go")
    runner.revoke()


def within(*words: str) -> subprocess.CompletedProcess[str]:
    cluster = parts()
    return subprocess.run(
        [cluster.program, "kubectl", f"--kubeconfig={cluster.kubeconfig}", "exec", "-n", RUNNERS,
         "inside", "--", sys.executable, "-m", "chaosrun", *words],
        capture_output=True, text=True, timeout=180,
    )  # fmt: skip


def test_it_runs_in_the_cluster_as_its_service_account(inside: Path) -> None:
    def settle() -> None:
        until(lambda: calm("shop"), "all of the last purchases should be served")

    settle()
    done = asked(lambda: within("run", FILE, "--set", "hold=7s", "--quiet"), settle)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout
    own = within("run", str(inside), "--quiet")
    assert own.returncode == 3, own.stdout + own.stderr
    assert "runners/inside is where chaosrun runs" in " ".join(own.stdout.split())
