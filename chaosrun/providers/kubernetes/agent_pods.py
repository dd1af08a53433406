"""What the API is sent to start an agent: an ephemeral container, or a helper pod on the node.

Law (L3): a helper pod has an end of its own, little later than that of the lease.
"""

from __future__ import annotations

import contextlib
import math
import time

from chaosrun.codec import to_json
from chaosrun.fault import Hold
from chaosrun.mechanisms.directory import VARIABLE
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import access_of
from chaosrun.providers.kubernetes.agents import RUN, At
from chaosrun.providers.kubernetes.answers import Exists
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import Object

_MARGIN = 60
_NOBODY = 65532


def container(at: At, word: str = "agent") -> Object:
    """The container in which it runs."""
    text = to_json(at.errand).decode().replace("$(", "$$(")  # else Kubernetes reads a variable
    if at.privileged or at.way == "helper":
        context: Object = {"privileged": True, "runAsUser": 0, "runAsNonRoot": False}
    elif at.capabilities:
        added = list(at.capabilities)
        context = {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"add": added}}
    else:
        context = {
            "runAsUser": _NOBODY, "runAsNonRoot": True, "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
    return {
        "name": at.name,
        "image": at.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [*RUN, word, at.errand.mark, text],
        "workingDir": "/",
        "env": [{"name": VARIABLE, "value": "/tmp/chaosrun"}],
        "securityContext": context,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def helper(at: At, node: str, word: str = "agent") -> Object:
    """The helper pod: no longer than the lease."""
    left = max(1, math.ceil(at.errand.deadline - time.time())) + _MARGIN
    groups = {"name": "groups", "mountPath": "/sys/fs/cgroup"}
    own = {**container(at, word), "volumeMounts": [groups]}
    body = on_node(at.name, at.namespace, node, left, own)
    volume = {"name": "groups", "hostPath": {"path": "/sys/fs/cgroup"}}
    body["spec"] |= {"hostPID": True, "volumes": [volume]}
    return body


def on_node(name: str, namespace: str, node: str, seconds: int, container: Object) -> Object:
    """A pod of ours on that node, whatever its taints, and no longer than these seconds."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {"app.kubernetes.io/name": "chaosrun-agent"},
        },
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": seconds,
            "terminationGracePeriodSeconds": 15,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "tolerations": [{"operator": "Exists"}],
            "containers": [container],
        },
    }


def start(
    hold: Hold, client: Kubernetes, at: At, word: str = "agent", *, dry: bool = False
) -> None:
    """Start it, or only ask whether it would be admitted. Twice is once."""
    access = access_of(hold)
    if at.way == "helper":
        body = helper(at, at.target.undo["node"], word)
        if not dry:
            marks.put(body, hold)
        with contextlib.suppress(Exists):
            client.create(access, at.pod, body, dry=dry)
        return

    def edit(found: Object) -> None:
        there = list(found["spec"].get("ephemeralContainers") or ())
        if not any(one["name"] == at.name for one in there):
            found["spec"]["ephemeralContainers"] = [*there, container(at, word)]

    client.change(access, at.pod, edit, uid=at.target.id, sub="ephemeralcontainers", dry=dry)
