"""What tests make in the cluster: namespaces, Deployments with their pods, kinds; and how it is."""

from __future__ import annotations

import re
from typing import Any

from chaosrun.units import JSON
from tests.cluster import images
from tests.cluster.outside import Object, outside, until

_SLEEPS = "trap 'exit 0' TERM; while :; do sleep 1 & wait $!; done"
_VOLATILE = re.compile(r"deployment\.kubernetes\.io/revision|kubectl|chaosrun\.dev/restarted")


def namespace(name: str) -> str:
    outside().apply("/api/v1/namespaces", {"metadata": {"name": name}})
    return name


def template(app: str, image: str = images.BUSYBOX, **container: Any) -> Object:
    """Pods of an application, spread over the zones, that end at once when they are told."""
    spread = {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": app}},
    }
    one = {
        "name": "main", "image": image, "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _SLEEPS], **container,
    }  # fmt: skip
    return {
        "metadata": {"labels": {"app": app}},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "topologySpreadConstraints": [spread],
            "automountServiceAccountToken": False,
            "containers": [one],
        },
    }


def deployment(place: str, app: str, replicas: int = 3, **container: Any) -> None:
    body = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": app, "labels": {"app": app}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": app}},
            "strategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
            "template": template(app, **container),
        },
    }
    outside().apply(f"/apis/apps/v1/namespaces/{place}/deployments", body)


def definition(group: str, version: str, kind: str, plural: str) -> None:
    """A kind that the cluster knows from now on; where its operator has defined it, that stays."""
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    body = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{plural}.{group}",
            "annotations": {"api-approved.kubernetes.io": "unapproved, plays its part in tests"},
        },
        "spec": {
            "group": group,
            "names": {"kind": kind, "plural": plural},
            "scope": "Namespaced",
            "versions": [
                {
                    "name": version, "served": True, "storage": True,
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {
                            "type": "object",
                            "properties": {"spec": anything, "status": anything},
                        }
                    },
                }
            ],
        },
    }  # fmt: skip
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    if outside().get(f"{definitions}/{plural}.{group}")["_status"] == 404:
        outside().apply(definitions, body)
    path = f"/apis/{group}/{version}/namespaces/default/{plural}"
    until(lambda: outside().get(path)["_status"] == 200, f"{plural} should be known")


def pods(place: str, app: str) -> list[Object]:
    """Those that are not ending."""
    found = outside().items(f"/api/v1/namespaces/{place}/pods?labelSelector=app={app}")
    return [one for one in found if "deletionTimestamp" not in one["metadata"]]


def ready(pod: Object) -> bool:
    return any(
        one["type"] == "Ready" and one["status"] == "True"
        for one in pod["status"].get("conditions") or ()
    )


def is_whole(place: str, app: str) -> bool:
    found = outside().get(f"/apis/apps/v1/namespaces/{place}/deployments/{app}")
    if found["_status"] != 200:
        return False
    status, wanted = found["status"], found["spec"]["replicas"]
    everything = outside().items(f"/api/v1/namespaces/{place}/pods?labelSelector=app={app}")
    counts = [status.get(f"{which}eplicas", 0) for which in ("r", "updatedR", "readyR")]
    settled = status.get("observedGeneration") == found["metadata"]["generation"]
    return bool(settled and {*counts, sum(map(ready, everything)), len(everything)} == {wanted})


def worn(found: Object) -> JSON:
    """The labels and annotations of an object, but those that controllers change."""
    metadata = found["metadata"]
    return [
        {k: v for k, v in (metadata.get(part) or {}).items() if not _VOLATILE.search(k)}
        for part in ("labels", "annotations")
    ]
