"""The shop on Kubernetes, which experiments/kubernetes/ speaks of: what is deployed.

Law: all of it is in one namespace, and bears one label, so that `down` takes away exactly that.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from chaosrun.errors import Refused
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.answers import Exists
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import (
    DEPLOYMENT,
    NAMESPACE,
    Object,
    Ref,
    guessed,
    labels_of,
    uid_of,
)
from chaosrun.providers.kubernetes.merging import merged
from chaosrun.providers.kubernetes.workloads import look

IMAGE = "python:3-alpine"
LABEL = {"app.kubernetes.io/part-of": "chaosrun-lab"}
_CODE = "/shop"
_TIMES = {"checkout": 3, "catalog": 3, "traffic": 1}


def objects(namespace: str, image: str) -> list[Object]:
    """Everything, in the order in which it is to be made: containers are told of Services that
    were there before them."""
    own = {"namespace": namespace, "labels": LABEL}
    code = Path(__file__).with_name("shop.py").read_text()
    found: list[Object] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace, "labels": LABEL}},
        _config_map(own, "shop-code", {"shop.py": code}),
        _config_map(own, "checkout", {"currency": "EUR", "banner": "welcome"}),
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {**own, "name": "checkout"},
            "stringData": {"password": "a-password-of-the-lab"},
        },
    ]
    found += [_service(own, name) for name in ("checkout", "catalog")]
    found += [_deployment(own, name, image) for name in _TIMES]
    found += [_budget(own, "checkout", 2), _budget(own, "catalog", 2)]
    return found


def _config_map(own: Object, name: str, data: dict[str, str]) -> Object:
    metadata = {**own, "name": name}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}


def _service(own: Object, name: str) -> Object:
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {**own, "name": name}, "spec": spec}


def _budget(own: Object, name: str, least: int) -> Object:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {**own, "name": name},
        "spec": {"minAvailable": least, "selector": {"matchLabels": {"app": name}}},
    }


def _deployment(own: Object, name: str, image: str) -> Object:
    container: Object = {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["python3", f"{_CODE}/shop.py", name],
        "volumeMounts": [{"name": "code", "mountPath": _CODE}],
    }
    if name != "traffic":
        container["readinessProbe"] = {
            "httpGet": {"path": "/ready", "port": 8080},
            "periodSeconds": 1,
        }
        container["lifecycle"] = {"preStop": {"sleep": {"seconds": 1}}}
    if name == "checkout":
        container["env"] = [{"name": "CATALOG_TIMEOUT", "value": "1"}]
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": name}},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {**own, "name": name},
        "spec": {
            "replicas": _TIMES[name],
            "selector": {"matchLabels": {"app": name}},
            "strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": {"app": name, **LABEL}},
                "spec": {
                    "terminationGracePeriodSeconds": 5,
                    "automountServiceAccountToken": False,
                    "topologySpreadConstraints": [spread],
                    "containers": [container],
                    "volumes": [{"name": "code", "configMap": {"name": "shop-code"}}],
                },
            },
        },
    }


def up(client: Kubernetes, access: Access, namespace: str, image: str) -> None:
    """Deploy the shop, or bring it to what it is here. Raises Refused for a foreign namespace."""
    found = client.find(access, Ref(NAMESPACE, namespace))
    if found is not None and not LABEL.items() <= labels_of(found).items():
        raise Refused(
            f"namespace {namespace} is there, and is not the lab's",
            hint="choose another with --namespace",
        )
    for body in objects(namespace, image):
        ref = _ref(body)
        try:
            client.create(access, ref, body)
        except Exists:
            client.change(access, ref, partial(_overwrite, body=body))


def waits_for(client: Kubernetes, access: Access, namespace: str) -> list[str]:
    """What is not ready yet, in words; nothing once the shop is open."""
    said = []
    for name in _TIMES:
        state = look(client, access, Ref(DEPLOYMENT, name, namespace))
        if state is None or not state.whole:
            said.append(f"{name}: {state.said if state else 'is not there'}")
    return said


def down(client: Kubernetes, access: Access, namespace: str) -> bool:
    """Delete the lab's namespace; whether there was one. Raises Refused for a foreign one."""
    ref = Ref(NAMESPACE, namespace)
    found = client.find(access, ref)
    if found is None:
        return False
    if not LABEL.items() <= labels_of(found).items():
        raise Refused(f"namespace {namespace} is not the lab's")
    client.delete(access, ref, uid_of(found))
    return True


def _ref(body: Object) -> Ref:
    kind = guessed(body["apiVersion"], body["kind"])
    return Ref(kind, body["metadata"]["name"], body["metadata"].get("namespace", ""))


def _overwrite(now: Object, body: Object) -> None:
    """Make what is there what is written; a Secret's `stringData` is written by the server."""
    now.update(merged(now, {k: v for k, v in body.items() if k != "metadata"}))
