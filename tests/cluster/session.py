"""The cluster of a test session: started when the first test asks, gone when the session ends.

`CHAOSRUN_TEST_KUBECONFIG` names another cluster to test on. One that `make cluster` has started
is used, and left as it is. Two sessions on one machine take turns.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
from functools import cache
from pathlib import Path
from typing import IO

import pytest

from chaosrun.providers.kubernetes import calls
from tests.cluster import images
from tests.cluster.build import Missing
from tests.cluster.cluster import Cluster

_started: list[Cluster] = []
_locks: list[IO[str]] = []


@cache
def kubeconfig() -> Path:
    """How to reach the cluster. Skips the test where there can be none."""
    named = os.environ.get("CHAOSRUN_TEST_KUBECONFIG")
    if named:
        return Path(named)
    try:
        return own().kubeconfig
    except Missing as missing:
        pytest.skip(f"a Kubernetes cluster: {missing}")


def enter(cleanup: contextlib.ExitStack) -> None:
    """Point this process, and those that it starts, at the cluster.

    A call of this process that is on its way while the machine stands still is made again.
    """
    cleanup.callback(setattr, calls, "_BOUND", calls._BOUND)
    calls._BOUND = 60.0
    before = os.environ.get("KUBECONFIG")
    os.environ["KUBECONFIG"] = str(kubeconfig())
    if before is None:
        cleanup.callback(os.environ.pop, "KUBECONFIG", None)
    else:
        cleanup.callback(os.environ.__setitem__, "KUBECONFIG", before)


@cache
def own() -> Cluster:
    """The cluster of this machine, whose parts a test may stop. Raises Missing."""
    cluster = Cluster()
    cluster.check()
    cluster.directory.parent.mkdir(parents=True, exist_ok=True)
    lock = cluster.directory.with_suffix(".lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    _locks.append(lock)
    if not cluster.ready():
        _started.append(cluster)
        cluster.up()
    return cluster


@cache
def agent() -> str:
    """The name of the image of the agent, which every node has now."""
    if os.environ.get("CHAOSRUN_TEST_KUBECONFIG"):
        if not images.AGENT:
            pytest.skip("an image of the agent: set CHAOSRUN_TEST_AGENT_IMAGE")
        return images.AGENT
    kubeconfig()
    own().load(images.agent())
    return images.AGENT


def parts() -> Cluster:
    """The same, for tests that stop its parts. Skips where the cluster is somebody else's."""
    if os.environ.get("CHAOSRUN_TEST_KUBECONFIG"):
        pytest.skip("it stops parts of the cluster, so it needs one of its own")
    kubeconfig()
    return own()


def beside() -> Cluster:
    """The same, for tests that start something beside it. Skips where it is another machine's."""
    cluster = Cluster()
    if kubeconfig() != cluster.kubeconfig:
        pytest.skip("it starts a program beside the cluster, so it needs one on this machine")
    return cluster


def finish() -> list[str]:
    """End what this session started; what is left behind is returned."""
    left: list[str] = []
    while _started:
        cluster = _started.pop()
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            cluster.down()
            left += cluster.left()
        finally:
            signal.signal(signal.SIGINT, before)
    while _locks:
        _locks.pop().close()
    return left
