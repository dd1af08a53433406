"""What the tests of the laws change on a cluster, by a fault of ours or as somebody else does.

Law (L2): what is given back was seen to be, and to give it back once more changes nothing.
"""

from __future__ import annotations

import random
import time
from typing import Any

from msgspec.structs import replace

from chaosrun.codec import from_plain
from chaosrun.fault import AnyFault, Hold
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.api_object import ApiObject
from chaosrun.providers.kubernetes.config_change import ConfigChange
from chaosrun.providers.kubernetes.scale import Scale
from tests.cluster.outside import outside, until

PLACE = "laws"
MAPS = f"/api/v1/namespaces/{PLACE}/configmaps"
SECRETS = f"/api/v1/namespaces/{PLACE}/secrets"
WEB = f"/apis/apps/v1/namespaces/{PLACE}/deployments/web"
NODE = "/api/v1/nodes"


def planned(fault: AnyFault, client: Kubernetes) -> Hold:
    return replace(fault.plan(client, random.Random(1)), mark=f"mark-{time.monotonic_ns()}")


def config_map(**data: str) -> str:
    """The path of one that is made anew, and holds this."""
    outside().delete(f"{MAPS}/shop")
    outside().apply(MAPS, {"metadata": {"name": "shop"}, "data": data})
    return f"{MAPS}/shop"


def changing(kind: str, name: str, **more: Any) -> ConfigChange:
    target = {"kind": kind, "namespace": PLACE, "name": name}
    return from_plain({"target": target, **more}, ConfigChange)


def scaling(replicas: int) -> Scale:
    return from_plain({"target": {"namespace": PLACE, "name": "web"}, "replicas": replicas}, Scale)


def patching(kind: str, name: str, patch: Any, version: str = "v1") -> ApiObject:
    target = {"apiVersion": version, "kind": kind, "namespace": PLACE, "name": name}
    return from_plain({"target": target, "patch": patch}, ApiObject)


def container_of_web() -> Any:
    """The container of the Deployment."""
    return outside().get(WEB)["spec"]["template"]["spec"]["containers"][0]


def take_marks_off(path: str) -> None:
    """As a controller does that writes an object's labels whole."""
    found = outside().get(path)["metadata"]
    gone = {k: None for k in found.get("labels") or {} if "chaosrun" in k}
    assert gone, "it should bear a mark"
    outside().patch(path, {"metadata": {"labels": gone}})


def env_of_web() -> Any:
    return container_of_web().get("env")


def replicas_of_web() -> Any:
    return outside().get(WEB)["spec"]["replicas"]


def data_of_shop() -> Any:
    return outside().get(f"{MAPS}/shop")["data"]


def given_back(fault: AnyFault, hold: Hold, client: Kubernetes) -> None:
    """Reverted, and seen to be: once more changes nothing."""
    kind = type(fault)
    until(lambda: kind.revert(hold, client) or kind.restored(hold, client).seen, "restored", 60)


def by_them(method: str, path: str, body: Any) -> None:
    """As kubectl does it: the API server keeps that it was not chaosrun."""
    content = "application/merge-patch+json" if method == "PATCH" else ""
    done = outside().call(method, f"{path}?fieldManager=kubectl", body, content)
    assert done["_status"] < 300, done
