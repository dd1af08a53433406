"""The API server is busy, broken, slow or gone, at every call: nothing is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chaosrun.errors import Indeterminate, Transient
from chaosrun.providers.kubernetes.api import Kubernetes
from tests.cluster.faults import Fail, FaultyApi
from tests.cluster.session import kubeconfig, parts
from tests.contract.labs.kubernetes import (
    ClusterLab,
    ConfigMapLab,
    PodFailureLab,
    PodKillLab,
    ScaleLab,
    outside,
    pods,
    until,
)

RUN = [sys.executable, "-m", "chaosrun"]


@pytest.fixture
def faulty(tmp_path: Path) -> Iterator[FaultyApi]:
    with FaultyApi(kubeconfig(), tmp_path) as api:
        yield api


def through(lab: ClusterLab, api: FaultyApi) -> None:
    """Let the lab's client, and its plans, go through the server that fails."""
    os.environ["KUBECONFIG"] = str(api.kubeconfig)
    lab.client.close()
    lab.client = Kubernetes()


@pytest.mark.parametrize("wrong", ["busy", "broken", "cut", "lost", "slow"])
@pytest.mark.parametrize("kind", [ConfigMapLab, PodKillLab])
def test_one_failed_request_anywhere_changes_nothing(
    faulty: FaultyApi, kind: type[ClusterLab], wrong: str
) -> None:
    with kind() as lab:
        through(lab, faulty)
        before, fault = lab.snapshot(), lab.kind()
        for act in ("inject", "revert"):
            number, calls = 0, 1
            while number < calls:
                until(lab.whole, "the world should be whole")
                hold = lab.lease()
                if act == "revert":
                    fault.inject(hold, lab.client)
                with faulty.failing(at(number, wrong)):
                    getattr(fault, act)(hold, lab.client)
                    calls = len(faulty.requests)
                if act == "inject":
                    assert lab.took_effect(hold).seen
                    fault.revert(hold, lab.client)
                lab.eventually(partial(lab.restored, hold), lambda e: e.seen, "restored")
                number += 1
        lab.eventually(lab.snapshot, lambda now: now == before, "as before")
        lab.client.close()


def test_an_api_server_that_is_always_broken_is_said_to_be_within_seconds(
    faulty: FaultyApi,
) -> None:
    with ScaleLab() as lab:
        through(lab, faulty)
        hold, before = lab.lease(), lab.snapshot()
        for wrong, said in (("broken", "etcd has no leader"), ("busy", "too many requests")):
            with faulty.failing(always(wrong)):
                began = time.monotonic()
                with pytest.raises((Transient, Indeterminate), match=said):
                    lab.kind().inject(hold, lab.client)
                assert time.monotonic() - began < 20
                assert 1 < len(faulty.requests) < 10
        lab.kind().revert(hold, lab.client)
        assert lab.snapshot() == before
        lab.client.close()


def at(bad: int, wrong: str) -> Fail:
    """Only that request goes wrong."""
    return lambda number, _method, _path: wrong if number == bad else ""


def always(wrong: str) -> Fail:
    return lambda _number, _method, _path: wrong


def experiment(directory: Path, body: str, extra: str = "") -> Path:
    path = directory / "experiment.yaml"
    path.write_text(
        f"""\
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {{name: of-a-test}}
spec:
  title: A test of what is left behind
  revertWithin: 120s
  steadyState:
    - {{name: all is well, probe: command, with: {{command: "true"}}, every: 1s, expect: code == 0}}
  method:
{body}{extra}"""
    )
    return path


def scaled(lab: ClusterLab) -> int:
    path = f"/apis/apps/v1/namespaces/{lab.place}/deployments/web"
    return int(outside().get(path)["spec"]["replicas"])


def scale_step(lab: ClusterLab, hold: str) -> str:
    return f"""\
    - name: one less
      fault: kubernetes.scale
      target: {{namespace: {lab.place}, name: web}}
      with: {{replicas: 1}}
      hold: {hold}
      timeout: 20s
"""


def started(file: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*RUN, "run", str(file)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_runner_that_is_killed_leaves_a_fault_that_recover_takes_away(tmp_path: Path) -> None:
    with ScaleLab() as lab:
        before = lab.snapshot()
        with started(experiment(tmp_path, scale_step(lab, "10m"))) as runner:
            until(lambda: scaled(lab) == 1, "it should be scaled")
            runner.kill()
        assert scaled(lab) == 1
        done = subprocess.run([*RUN, "recover"], capture_output=True, text=True, timeout=90)
        assert done.returncode == 0, done.stdout + done.stderr
        lab.eventually(lab.snapshot, lambda now: now == before, "as before")


def test_etcd_and_the_api_server_may_be_killed_while_a_fault_is_held(tmp_path: Path) -> None:
    cluster = parts()
    with ScaleLab() as lab:
        before = lab.snapshot()
        with started(experiment(tmp_path, scale_step(lab, "4s"))) as runner:
            until(lambda: scaled(lab) == 1, "it should be scaled")
            for name in ("kube-apiserver", "etcd"):
                cluster.parts.end(name, signal.SIGKILL)
            for name in ("etcd", "kube-apiserver"):
                cluster.parts.again(name)
            said = runner.communicate(timeout=150)[0]
        assert runner.returncode in (0, 5), said
        lab.eventually(lab.snapshot, lambda now: now == before, "as before")


def test_nothing_is_left_on_a_node_whose_kubelet_stood_still(tmp_path: Path) -> None:
    cluster = parts()
    with PodFailureLab() as lab:
        before = lab.snapshot()
        node = pods(lab.place, "web")[0]["spec"]["nodeName"]
        kubelet = node.replace("node", "kubelet")
        step = f"""\
    - name: a pod fails
      fault: kubernetes.pod-failure
      target: {{namespace: {lab.place}, selector: app=web, pick: one}}
      hold: 2s
      timeout: 4s
"""
        cluster.parts.signal(kubelet, signal.SIGSTOP)
        try:
            done = subprocess.run(
                [*RUN, "run", str(experiment(tmp_path, step, "  limits: {share: 100%}\n"))],
                capture_output=True, text=True, timeout=120,
            )  # fmt: skip
        finally:
            cluster.parts.signal(kubelet, signal.SIGCONT)
        assert done.returncode == 5, done.stdout + done.stderr  # no effect was seen
        lab.eventually(lab.snapshot, lambda now: now == before, "as before")


def test_a_controller_that_fights_back_is_noticed_and_told() -> None:
    import threading

    with ScaleLab() as lab:
        path, over = f"/apis/apps/v1/namespaces/{lab.place}/deployments/web", threading.Event()
        changed: list[Any] = []

        def fight() -> None:
            while not over.wait(0.05):
                if scaled(lab) != lab.replicas:
                    changed.append(outside().patch(path, {"spec": {"replicas": lab.replicas}}))

        fighter = threading.Thread(target=fight)
        fighter.start()
        try:
            hold = lab.lease()
            lab.kind().inject(hold, lab.client)
            until(lambda: changed, "the controller should fight")
            seen = lab.took_effect(hold)
            assert not seen.seen
            assert "somebody set it back" in seen.detail
            lab.kind().revert(hold, lab.client)
            lab.eventually(lambda: lab.restored(hold), lambda e: e.seen, "restored")
        finally:
            over.set()
            fighter.join()
