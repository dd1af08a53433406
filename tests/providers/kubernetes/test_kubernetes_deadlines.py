"""A runner is killed by `kill -9` while agents of it are in pods: the fault ends all the same.

Law (L2, L3): with nobody left, each agent ends at its deadline what it did, as programs in other
pods see it, or in the same one; and `recover` has it end before. Each of the ten faults is done by
an ephemeral container and by a helper pod, where it can be: each in a pod of its own, all at once.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import labels_of
from chaosrun.providers.kubernetes.marks import LABEL
from chaosrun.units import JSON
from tests.cluster import images
from tests.cluster.inside import make, one, python, whole
from tests.cluster.objects import namespace
from tests.cluster.outside import outside, until
from tests.cluster.programs import WATCH
from tests.contract.labs import in_pods
from tests.contract.labs.in_pods import InPodsLab

PLACE, OBSERVED_FROM = "inside-deadlines", "inside-observers"
RUN = [sys.executable, "-m", "chaosrun"]
AT_ONCE = 3
IN_PLACE_WITHIN = 30
HOLD = IN_PLACE_WITHIN + 1  # nobody reverts the first before the last is done
MARGIN = 15.0
"""How long after its deadline the end of a fault is seen: some samples later, on a machine that is
full of what all of them do at once."""


class CpuLab(in_pods.CpuLab):
    """Half a processor, so that there is some left for all others."""

    given = {"cores": 1, "load": "50%", "mechanism": "worker"}


WATCHED: dict[type[InPodsLab], str] = {
    in_pods.LatencyLab: "request",
    in_pods.LossLab: "request",
    in_pods.CorruptLab: "request",
    in_pods.RateLab: "large",
    in_pods.PartitionLab: "request",
    in_pods.DnsLab: "lookup",
    in_pods.HttpLab: "request",
    CpuLab: "cpu",
    in_pods.MemoryLab: "memory",
    in_pods.IoLab: "files",
}
"""What is watched of each; see `WATCH`."""
CASES = [
    (kind, by) for kind in WATCHED for by in ("ephemeral", "helper")
    if (kind, by) != (in_pods.IoLab, "ephemeral")  # does not see files of others: it is refused
]  # fmt: skip


@pytest.fixture
def labs(cluster: Kubernetes) -> Iterator[list[InPodsLab]]:
    with contextlib.ExitStack() as stack:
        servers = [f"web-{number}" for number in range(len(CASES))]
        make(PLACE, *servers)
        observers()
        until(lambda: whole(PLACE, *servers), f"{PLACE} should be whole", 120)
        yield [
            stack.enter_context(kind(PLACE, server, by))
            for (kind, by), server in zip(CASES, servers, strict=True)
        ]


def observers() -> None:
    """A pod on each node that sees its control groups."""
    namespace(OBSERVED_FROM)
    for node in outside().items("/api/v1/nodes"):
        name = node["metadata"]["name"]
        container = {
            "name": "main", "image": images.PYTHON, "imagePullPolicy": "IfNotPresent",
            "command": ["sleep", "1000000"],
            "volumeMounts": [{"name": "cgroup", "mountPath": "/node/cgroup", "readOnly": True}],
        }  # fmt: skip
        spec = {
            "nodeName": name, "terminationGracePeriodSeconds": 1, "containers": [container],
            "volumes": [{"name": "cgroup", "hostPath": {"path": "/sys/fs/cgroup"}}],
        }  # fmt: skip
        path = f"/api/v1/namespaces/{OBSERVED_FROM}/pods"
        if outside().get(f"{path}/on-{name}")["_status"] == 404:
            outside().apply(path, {"metadata": {"name": f"on-{name}"}, "spec": spec})


def test_each_fault_ends_at_its_deadline_though_its_runner_is_killed_and_nobody_recovers(
    labs: list[InPodsLab], tmp_path: Path
) -> None:
    leases: list[dict[str, Any]] = []
    watching: list[Future[list[tuple[float, bool]]]] = []
    killed: list[float] = []
    with ThreadPoolExecutor(len(labs)) as threads:
        for first in range(0, len(labs), AT_ONCE):
            some = labs[first : first + AT_ONCE]
            (own := tmp_path / f"run-{first}").mkdir()  # else the next recovers what this one left
            with injected(some, own, hold=HOLD) as (runner, begun):
                runner.kill()
                killed += [time.time()] * len(some)
            leases += begun
            watching += [
                threads.submit(watched, lab, hold["deadline"] + MARGIN + 3)
                for lab, hold in zip(some, begun, strict=True)
            ]
    for lab, hold, watch, since in zip(labs, leases, watching, killed, strict=True):
        ends_in_time(f"{lab.fault} by {lab.way}", watch.result(), since, hold["deadline"])
    for own in sorted(tmp_path.glob("run-*")):
        recovered(own)
    for lab, hold in zip(labs, leases, strict=True):
        is_clean(lab, hold)


def ends_in_time(name: str, seen: list[tuple[float, bool]], killed: float, deadline: float) -> None:
    """It is there until the deadline, though nobody holds it, and not for long after it."""
    told = [(round(when - deadline, 1), well) for when, well in seen]
    held = [well for when, well in seen if killed + 1 < when < deadline - 2]
    assert held, f"{name}: nobody looked: {told}"
    if "kubernetes.cpu" in name:  # others may want the processors, and it gets few of them
        assert sum(held) < len(held) / 2, f"{name} ended too soon: {told}"
        last = max(when for when, well in seen if not well)
        assert deadline - 6 < last < deadline + MARGIN, f"{name} ended at another time: {told}"
        return
    assert not any(held), f"{name} ended too soon: {told}"
    ended = [when for when, well in seen if well and when > deadline - 2]
    assert ended, f"{name} did not end: {told}"
    assert ended[0] < deadline + MARGIN, f"{name} ended late: {told}"


@pytest.mark.parametrize("by", ["ephemeral", "helper"])
def test_recover_ends_what_a_killed_runner_left_in_a_pod(
    cluster: Kubernetes, tmp_path: Path, by: str
) -> None:
    with in_pods.PartitionLab(PLACE, f"web-{by}", by) as lab:
        before = lab.snapshot()
        with injected([lab], tmp_path, hold=600) as (runner, leases):
            assert lab.snapshot() != before
            runner.kill()
            runner.wait()
            assert lab.seen() != before["seen"], "it ended with its runner"
        recovered(tmp_path)
        assert lab.snapshot() == before
        is_clean(lab, leases[0])


@contextlib.contextmanager
def injected(
    labs: list[InPodsLab], directory: Path, *, hold: int
) -> Iterator[tuple[subprocess.Popen[bytes], list[dict[str, Any]]]]:
    """A runner that has done all of them, and its leases, in their order."""
    steps: list[JSON] = [
        {
            "name": f"step-{number}", "fault": lab.fault, **lab.arguments(), "after": [],
            "hold": f"{hold}s", "timeout": f"{IN_PLACE_WITHIN}s",
        }
        for number, lab in enumerate(labs)
    ]  # fmt: skip
    check = {"name": "well", "probe": "command", "with": {"command": "true"}, "expect": "code == 0"}
    spec = {
        "title": "A test of what is left behind", "steadyState": [check], "method": steps,
        "limits": {"share": "100%", "targets": len(labs), "concurrency": len(labs)},
    }  # fmt: skip
    file, events = directory / "experiment.yaml", directory / "events.jsonl"
    file.write_text(json.dumps({
        "apiVersion": "chaosrun.dev/v1", "kind": "Experiment",
        "metadata": {"name": "of-a-test"}, "spec": spec,
    }))  # fmt: skip
    said = directory / "said"
    with (
        said.open("wb") as out,
        subprocess.Popen(
            [*RUN, "run", str(file), "--events", str(events), *journal_in(directory)],
            stdout=out,
            stderr=out,
        ) as runner,
    ):
        try:
            until(
                lambda: len(of_kind(events, "injected")) == len(labs) or runner.poll() is not None,
                "all of it should be done", 120,
            )  # fmt: skip
            assert runner.poll() is None, said.read_text()
            assert not of_kind(events, "inject-failed"), said.read_text()  # it reverts already
            leases = {each["step"]: each["hold"] for each in of_kind(events, "leased")}
            yield runner, [leases[f"step-{number}"] for number in range(len(labs))]
        finally:
            runner.kill()


def of_kind(events: Path, kind: str) -> list[dict[str, Any]]:
    lines = events.read_text().splitlines(keepends=True) if events.exists() else []
    found = [json.loads(line) for line in lines if line.endswith("\n")]
    return [each for each in found if each["type"] == kind]


def watched(lab: InPodsLab, until: float) -> list[tuple[float, bool]]:
    """What a program sees of it, in the pod where it can be seen."""
    kind = WATCHED[type(lab)]
    target, client = lab.pod(), lab.pod("client")
    uid, node = target["metadata"]["uid"], target["spec"]["nodeName"]
    place, pod, what = {
        "lookup": (PLACE, target["metadata"]["name"], client["status"]["podIP"]),
        "files": (PLACE, target["metadata"]["name"], ""),
        "cpu": (OBSERVED_FROM, f"on-{node}", uid),
        "memory": (OBSERVED_FROM, f"on-{node}", uid),
    }.get(kind, (PLACE, client["metadata"]["name"], target["status"]["podIP"]))
    found = python(place, pod, WATCH, kind, what, str(until), within=until - time.time() + 30)
    return [(when, well) for when, well in found]


def journal_in(directory: Path) -> list[str]:
    return ["--journal", f"sqlite:///{directory}/journal.db"]


def recovered(directory: Path) -> None:
    command = [*RUN, "recover", *journal_in(directory)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def is_clean(lab: InPodsLab, hold: dict[str, Any]) -> None:
    """No pod bears its mark any more, and with that its helper is gone."""
    mark = f"mark.chaosrun.dev/{hold['mark']}"

    def bearers() -> list[str]:
        there = outside().items(f"/api/v1/namespaces/{PLACE}/pods")
        return [each["metadata"]["name"] for each in there if mark in labels_of(each)]

    until(lambda: not bearers(), f"no pod should bear {mark}")
    assert LABEL not in labels_of(one(PLACE, lab.server))
