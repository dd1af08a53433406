"""The runner is killed with -9 in the middle of a lease: somebody else ends what it did."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.labs.docker import need_root
from tests.docker_engine import DockerEngine
from tests.providers.docker.conftest import eventually
from tests.providers.docker.shop import ComposedShop

_EXPERIMENT = """
apiVersion: chaosrun.dev/v1
kind: Experiment
metadata: {{name: killed}}
spec:
  title: The runner is killed
  steadyState:
    - name: the client runs
      probe: docker.container
      with: {{container: practice-client-1}}
      expect: running
  method:
    - name: harm
      fault: {fault}
      target: {{names: [practice-web-1]}}
      with: {with_}
      hold: {hold}
      timeout: 8s
"""
_FAULTS = [("docker.pause", "{}"), ("docker.partition", "{peers: [store]}")]


def _killed_in_the_middle(path: Path, fault: str, with_: str, hold: str) -> None:
    path.write_text(_EXPERIMENT.format(fault=fault, with_=with_, hold=hold))
    words = [sys.executable, "-m", "chaosrun", "run", str(path), "--no-input", "--events", "-"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as runner:
        assert runner.stdout is not None
        written = b""
        while b'"type":"effect-seen"' not in written:
            assert select.select([runner.stdout], [], [], 30)[0], written
            part = os.read(runner.stdout.fileno(), 65536)
            assert part, written
            written += part
        runner.send_signal(signal.SIGKILL)


def _harmed(engine: DockerEngine) -> bool:
    paused = engine.inspect("practice-web-1")["State"]["Paused"]
    return paused or "chaosrun_" in _rules(engine)


def _rules(engine: DockerEngine) -> str:
    namespace = f"--net=/proc/{engine.pid('practice-web-1')}/ns/net"
    words = ["nsenter", namespace, "nft", "list", "ruleset"]
    return subprocess.run(words, capture_output=True, text=True, check=True, timeout=10).stdout


@pytest.mark.kills
@pytest.mark.parametrize(("fault", "with_"), _FAULTS)
def test_recover_ends_it(
    shop: ComposedShop, engine: DockerEngine, tmp_path: Path, fault: str, with_: str
) -> None:
    need_root()
    _killed_in_the_middle(tmp_path / "killed.yaml", fault, with_, "10m")
    assert _harmed(engine)
    words = [sys.executable, "-m", "chaosrun", "recover"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert not _harmed(engine), done.stdout + done.stderr
    assert engine.marks() == []


@pytest.mark.kills
def test_without_it_the_deadline_does(
    shop: ComposedShop, engine: DockerEngine, tmp_path: Path
) -> None:
    need_root()
    _killed_in_the_middle(tmp_path / "killed.yaml", "docker.pause", "{}", "1s")
    eventually(lambda: not _harmed(engine), within=60)
    eventually(lambda: engine.marks() == [])
