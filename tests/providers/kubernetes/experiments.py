"""The files in experiments/kubernetes/: how tests ask them, and what they could change."""

from __future__ import annotations

import contextlib
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaosrun.providers.kubernetes.kinds import labels_of
from chaosrun.providers.kubernetes.marks import LABEL
from tests.cluster.objects import worn
from tests.cluster.outside import outside, until

FILES = sorted(Path("experiments/kubernetes").glob("*.yaml"))
SECRET = "a-password-that-nobody-may-see"
_BUSY = re.compile(
    r"did not hold: users are served: \d+ of \d+ samples failed|too few samples to say"
)
"""What a run says of a fault, or of a machine that stood still for some seconds."""
_TRAFFIC_MOVES = "08-moves-off-a-drained-node"
"""Whose fault moves the traffic itself, too: it is held long enough to outweigh that moment."""


def verdict_of(file: Path) -> str:
    found = re.search(r"^# verdict: (\S+)$", file.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def words_of(file: Path) -> list[str]:
    """The file and its parameters, as they are written on a command line."""
    # Until traffic has told; and so long that a second without it breaks less than half.
    hold = "10s" if verdict_of(file) == "deviated" else "7s"
    if file.stem == _TRAFFIC_MOVES:
        hold = "12s"
    given = ["--set", f"hold={hold}"] if "    hold: {type" in file.read_text() else []
    zone = outside().items("/api/v1/nodes")[0]["metadata"]["labels"]
    if "    zone: {type" in file.read_text():
        given += ["--set", f"zone={zone['topology.kubernetes.io/zone']}"]
    return [str(file), *given]


def asked(
    run: Callable[[], subprocess.CompletedProcess[str]],
    settle: Callable[[], object],
    verdict: str = "passed",
) -> subprocess.CompletedProcess[str]:
    """What a run says; asked again, at most twice, where a busy machine may have said it.

    What a fault does it does each time: it deviates in all of the runs.
    """
    for _ in range(2):
        done = run()
        said = " ".join(done.stdout.split())
        stumbled = "did not hold at the start: users are served" in said
        if not stumbled and not (verdict == "passed" and _BUSY.search(said)):
            return done
        settle()
    return run()


def snapshot(place: str) -> dict[str, Any]:
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


def with_pods(place: str) -> dict[str, Any]:
    """The same, and each pod by its UID with all that could be changed of it."""
    found = outside().items(f"/api/v1/namespaces/{place}/pods")
    return {
        **snapshot(place),
        **{f"pod {one['metadata']['uid']}": [one["spec"], worn(one)] for one in found},
    }


def differences(before: dict[str, Any], now: dict[str, Any]) -> dict[str, Any]:
    """What is not as before: how it was, and how it is."""
    return {
        key: [before.get(key), now.get(key)]
        for key in sorted({*before, *now})
        if before.get(key) != now.get(key)
    }


def await_as(before: dict[str, Any], place: str) -> None:
    """Return when everything is as before; else fail with what is not."""
    with contextlib.suppress(AssertionError):
        until(lambda: snapshot(place) == before, "everything should be as before")
    assert differences(before, snapshot(place)) == {}


def whole(place: str) -> bool:
    found = outside().items(f"/apis/apps/v1/namespaces/{place}/deployments")
    return all(
        one["status"].get("observedGeneration") == one["metadata"]["generation"]
        and one["status"].get("replicas") == one["spec"]["replicas"]
        and one["status"].get("readyReplicas") == one["spec"]["replicas"]
        for one in found
    )
