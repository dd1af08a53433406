"""The runner, etcd, the API server or a kubelet is lost in the middle: nothing is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaosrun.providers.kubernetes.kinds import labels_of
from chaosrun.providers.kubernetes.marks import LABEL
from tests.cluster.inside import python
from tests.cluster.objects import pods
from tests.cluster.outside import until
from tests.cluster.programs import ASK
from tests.cluster.session import parts
from tests.contract.cluster_lab import ClusterLab
from tests.contract.labs.in_pods import PartitionLab
from tests.contract.labs.kubernetes_pods import PodFailureLab, ScaleLab, scaled

RUN = [sys.executable, "-m", "chaosrun"]


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
        with started(experiment(tmp_path, scale_step(lab, "10s"))) as runner:
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


@pytest.mark.parametrize("by", ["ephemeral", "helper"])
def test_an_agent_ends_at_its_deadline_on_a_node_whose_kubelet_stands_still(
    tmp_path: Path, by: str
) -> None:
    cluster = parts()
    with PartitionLab(by=by) as lab:
        before, pod, hold, timeout = lab.snapshot(), lab.pod(), 15, 20
        node = pod["spec"]["nodeName"]
        kubelet = node.replace("node", "kubelet")
        elsewhere = [one for one in pods(lab.place, "client") if one["spec"]["nodeName"] != node]

        def status() -> int:
            """What a pod of another node, whose kubelet works, sees."""
            name, address = elsewhere[0]["metadata"]["name"], pod["status"]["podIP"]
            return int(python(lab.place, name, ASK, address, "/")[0])

        step = f"""\
    - name: a pod is cut off
      fault: kubernetes.network-partition
      target: {{namespace: {lab.place}, selector: app=web, pick: one}}
      with: {{agent: {{by: {by}}}}}
      hold: {hold}s
      timeout: {timeout}s
"""
        began = time.time()
        with started(experiment(tmp_path, step, "  limits: {share: 100%}\n")) as runner:
            until(lambda: status() == 0, "it should be cut off")
            cluster.parts.signal(kubelet, signal.SIGSTOP)
            try:
                until(lambda: status() == 200, "it should end at its deadline")
                ended = time.time()
            finally:
                cluster.parts.signal(kubelet, signal.SIGCONT)
            said = runner.communicate(timeout=150)[0]
        assert ended > began + timeout + hold - 1, "the runner ended it, and not its deadline"
        assert runner.returncode in (0, 5), said  # whether the effect was looked at in time
        lab.eventually(lab.snapshot, lambda now: now == before, "as before")
        assert LABEL not in labels_of(lab.pod())
