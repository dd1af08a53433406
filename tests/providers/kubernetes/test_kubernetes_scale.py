"""Five thousand pods: what is asked of the API server, and how long it takes, against bare calls.

The nodes and pods are played by kwok, against the real API server.
"""

from __future__ import annotations

import random
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import ChaosrunError
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.client import Call, Connection
from chaosrun.providers.kubernetes.pod_kill import PodKill
from tests.cluster.build import Missing, program
from tests.cluster.objects import namespace
from tests.cluster.outside import outside, until
from tests.cluster.session import kubeconfig, parts

pytestmark = pytest.mark.long

PODS, NODES, KILLED = 5000, 25, 500
PLACE = "many"
STAGES = Path("tests/cluster/kwok/stages.yaml").absolute()


@pytest.fixture
def many() -> Iterator[None]:
    """As many pods, that are ready."""
    cluster = parts()
    try:
        kwok = program("kwok")
    except Missing as missing:
        pytest.skip(f"a Kubernetes cluster: {missing}")
    words: list[str | Path] = [kwok, f"--kubeconfig={cluster.kubeconfig}",
             "--manage-nodes-with-label-selector=type=kwok", "--server-address=",
             "--node-lease-duration-seconds=40", f"--config={STAGES}"]  # fmt: skip
    cluster.parts.start("kwok", words)
    capacity = {"cpu": "64", "memory": "256Gi", "pods": "300"}
    for number in range(NODES):
        name, zone = f"kwok-{number}", f"zone-{'abc'[number % 3]}"
        labels = {"type": "kwok", "topology.kubernetes.io/zone": zone}
        taint = {"key": "type", "value": "kwok", "effect": "NoSchedule"}
        outside().apply("/api/v1/nodes", {
            "metadata": {"name": name, "labels": labels}, "spec": {"taints": [taint]},
            "status": {"capacity": capacity, "allocatable": capacity},
        })  # fmt: skip
    namespace(PLACE)
    path = f"/apis/apps/v1/namespaces/{PLACE}/deployments"
    outside().apply(path, {
        "metadata": {"name": "many"},
        "spec": {
            "replicas": PODS,
            "selector": {"matchLabels": {"app": "many"}},
            "template": {
                "metadata": {"labels": {"app": "many"}},
                "spec": {
                    "nodeSelector": {"type": "kwok"},
                    "tolerations": [{"key": "type", "operator": "Exists"}],
                    "automountServiceAccountToken": False,
                    "containers": [{"name": "main", "image": "no/matter"}],
                },
            },
        },
    })  # fmt: skip
    until(
        lambda: outside().get(f"{path}/many")["status"].get("readyReplicas") == PODS,
        "all should be ready", seconds=300,
    )  # fmt: skip
    yield
    outside().call("DELETE", f"{path}/many", {"propagationPolicy": "Background"})
    pods = f"/api/v1/namespaces/{PLACE}/pods"
    until(lambda: not outside().items(f"{pods}?limit=1"), "all should go", seconds=300)
    for number in range(NODES):
        outside().delete(f"/api/v1/nodes/kwok-{number}")
    cluster.parts.end("kwok")


def bare(calls: list[tuple[str, str, dict[str, str]]], bodies: list[object]) -> float:
    """The seconds that the same calls take with the client's connection alone."""
    connection = Connection(Access(kubeconfig=str(kubeconfig())))
    began = time.monotonic()
    for (method, path, query), body in zip(calls, bodies, strict=True):
        answer = connection.send(Call(method, path, query, body))
        assert not isinstance(answer, ChaosrunError)
    took = time.monotonic() - began
    connection.close()
    return took


def test_five_hundred_of_five_thousand_pods_take_no_request_but_their_own(
    many: None, capsys: pytest.CaptureFixture[str]
) -> None:
    client = Kubernetes()
    calls: list[tuple[str, str, dict[str, str]]] = []
    client.observers.append(lambda m, p, q: calls.append((m, p, dict(q))))
    target = {"namespace": PLACE, "selector": "app=many", "pick": KILLED,
              "kubeconfig": str(kubeconfig())}  # fmt: skip
    fault = from_plain({"target": target, "how": "force"}, PodKill)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    began = time.monotonic()
    hold: Hold = fault.plan(client, random.Random(7))
    planning, asked = time.monotonic() - began, len(calls)
    lists = [call for call in calls if call[0] == "GET"]
    assert len(hold.targets) == KILLED
    assert hold.population == PODS
    assert asked <= PODS / 500 + 25  # pages of the list, and one question for each right
    same = bare(lists, [None] * len(lists))

    calls.clear()
    began = time.monotonic()
    PodKill.inject(hold, client)
    killing = time.monotonic() - began
    assert len(calls) == KILLED
    others = [
        one["metadata"]["name"]
        for one in outside().items(f"/api/v1/namespaces/{PLACE}/pods?limit=1000")
        if one["metadata"]["uid"] not in {target.id for target in hold.targets}
    ][:KILLED]
    deletions: list[tuple[str, str, dict[str, str]]] = [
        ("DELETE", f"/api/v1/namespaces/{PLACE}/pods/{name}", {}) for name in others
    ]
    killed_bare = bare(deletions, [{"gracePeriodSeconds": 0}] * KILLED)
    until(lambda: PodKill.restored(hold, client).seen, "all should be replaced", seconds=120)
    client.close()

    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    with capsys.disabled():
        print(
            f"\n{PODS} pods: planned in {planning:.2f}s with {asked} requests "
            f"({planning / same:.1f} times the bare lists); {KILLED} killed in {killing:.2f}s with "
            f"{KILLED} requests ({killing / killed_bare:.1f} times the bare calls); "
            f"{grown:.0f} MiB more memory"
        )
    assert planning < 10 * same + 1
    assert killing < 3 * killed_bare + 1
