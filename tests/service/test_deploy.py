"""What deploy/ holds is what systemd, Kubernetes and Compose take, and what the daemons know."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaosrun.cli.root import chaosrun
from chaosrun.loading import check_files

DEPLOY = Path(__file__).parents[2] / "deploy"


def documents(folder: str) -> list[dict[str, Any]]:
    files = sorted((DEPLOY / folder).glob("*.yaml"))
    return [each for file in files for each in yaml.safe_load_all(file.read_text())]


def of_kind(kind: str) -> dict[str, dict[str, Any]]:
    found = documents("kubernetes")
    return {each["metadata"]["name"]: each for each in found if each.get("kind") == kind}


def is_a_command_line(words: list[str]) -> None:
    """The words are a daemon's and its options, each with a value that it takes."""
    command = chaosrun.get_command(None, words[0])  # type: ignore[arg-type]
    assert command is not None
    context = command.make_context(words[0], list(words[1:]))
    context.close()


def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    text = (DEPLOY / "systemd" / "chaosrun.service").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("ExecStart=")]
    program, *words = line.removeprefix("ExecStart=").split()
    is_a_command_line(words)
    # Else systemd kills the processes that hold faults as soon as the runner is gone.
    assert "KillMode=process" in text.splitlines()
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is missing: apt-get install systemd")
    unit = tmp_path / "chaosrun.service"
    unit.write_text(text.replace(program, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def test_the_compose_file_starts_commands_that_there_are() -> None:
    (compose,) = documents("compose")
    services = compose["services"]
    assert set(services) == {"postgres", "scheduler", "worker"}
    for name in ("scheduler", "worker"):
        is_a_command_line(services[name]["command"])
        assert services[name]["stop_grace_period"] == "15m"
    assert set(compose["volumes"]) == {"journal"}


@pytest.mark.parametrize("role", ["scheduler", "worker"])
def test_each_deployment_starts_a_command_that_there_is_and_is_watched(role: str) -> None:
    deployment = of_kind("Deployment")[f"chaosrun-{role}"]
    pod = deployment["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    is_a_command_line(container["args"])
    port = container["ports"][0]["containerPort"]
    assert f"0.0.0.0:{port}" in container["args"]
    assert container["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    account = pod["spec"]["serviceAccountName"]
    assert account in of_kind("ServiceAccount")
    labels = deployment["spec"]["selector"]["matchLabels"]
    assert labels.items() <= pod["metadata"]["labels"].items()
    budget = of_kind("PodDisruptionBudget")[f"chaosrun-{role}"]
    assert budget["spec"]["selector"]["matchLabels"] == labels
    mounts = {mount["name"] for mount in container["volumeMounts"]}
    assert mounts == {volume["name"] for volume in pod["spec"]["volumes"]}


def test_a_worker_has_longer_to_end_than_it_drains() -> None:
    spec = of_kind("Deployment")["chaosrun-worker"]["spec"]["template"]["spec"]
    assert spec["terminationGracePeriodSeconds"] > 5 * 60
    assert spec["containers"][0]["args"][-2:] == ["--drain", "5m"]


def test_kustomize_builds_all_of_it() -> None:
    (made,) = [each for each in documents("kubernetes") if each["kind"] == "Kustomization"]
    for name in made["resources"]:
        assert (DEPLOY / "kubernetes" / name).is_file()
    for generated in made["configMapGenerator"]:
        for name in generated["files"]:
            assert (DEPLOY / "kubernetes" / name).is_file()
    if shutil.which("kubectl") is None:
        return  # what it would build is in the files that were looked at above
    done = subprocess.run(
        ["kubectl", "kustomize", str(DEPLOY / "kubernetes")], capture_output=True, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    kinds = sorted(each["kind"] for each in built)
    assert kinds == [
        "ConfigMap", "Deployment", "Deployment", "PodDisruptionBudget", "PodDisruptionBudget",
        "Role", "RoleBinding", "ServiceAccount", "ServiceAccount",
    ]  # fmt: skip
    assert all(each["metadata"]["namespace"] == "chaosrun" for each in built)


def test_the_example_schedules_are_valid() -> None:
    checked = check_files([DEPLOY / "kubernetes" / "schedules"])
    assert [one.problems for one in checked] == [(), ()]
