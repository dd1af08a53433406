"""What is reserved: what belongs to the cluster itself, and what chaosrun runs in.

Law (L4): such a target says why it is reserved, and the limits refuse it unless a policy opens
it. Where chaosrun runs is known by the pod's own files and the names that POD_NAME and NODE_NAME
give, without a question to the API.
"""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterable
from pathlib import Path

from chaosrun.providers.kubernetes.kinds import WORKLOADS, Ref

PROTECTED = ("kube-system",)
"""Namespaces that belong to the cluster itself."""
CONTROL = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")
"""The labels of nodes of the control plane."""
_IN_A_POD = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
_GENERATED = 58
"""Of a longer name that much is kept before five letters are added: the API's names.go."""
_OF_CLUSTER = "belongs to the cluster itself"


def why(ref: Ref, labels: Iterable[str] = ()) -> str:
    """Why an object is reserved, or nothing. `labels` are the names of its labels."""
    named = ref.name if ref.kind.kind == "Namespace" else ref.namespace
    if named in PROTECTED:
        return _OF_CLUSTER
    if ref.kind.kind == "Node" and set(CONTROL) & set(labels):
        return "is of the control plane"
    if ref.kind.kind == "Node" and ref.name == own_node():
        return "is where chaosrun runs"
    own = own_pod()
    if own is None:
        return ""
    namespace, pod = own
    if ref.kind.kind == "Namespace" and ref.name == namespace:
        return "is where chaosrun runs"
    if ref.namespace != namespace:
        return ""
    if ref.kind.kind == "Pod":
        return "is where chaosrun runs" if ref.name == pod else ""
    return "is what chaosrun runs in" if _is_of(pod, ref) else ""


def why_in(namespaces: Iterable[str]) -> str:
    """Why pods of these namespaces may not all be made to leave, or nothing."""
    protected = sorted(set(namespaces) & set(PROTECTED))
    return f"would lose pods of {', '.join(protected)}" if protected else ""


def own_pod() -> tuple[str, str] | None:
    """The namespace and name of the pod in which chaosrun runs."""
    try:
        namespace = _IN_A_POD.read_text().strip()
    except OSError:
        return None
    return namespace, os.environ.get("POD_NAME") or _hostname()


def own_node() -> str:
    """The node on which chaosrun runs, where it was told."""
    return os.environ.get("NODE_NAME", "")


def _hostname() -> str:
    return socket.gethostname()


def _is_of(pod: str, ref: Ref) -> bool:
    """Whether a pod of that name may be one of this workload: told by the name alone."""
    if ref.kind.kind not in WORKLOADS:
        return False
    hashed = r"-[a-z0-9]+" if ref.kind.kind == "Deployment" else ""
    if re.fullmatch(f"{re.escape(ref.name)}{hashed}-[a-z0-9]+", pod):
        return True
    base, start = pod[:-5], f"{ref.name}-"  # a name that was too long lost its end
    return len(base) == _GENERATED and (base.startswith(start) or start.startswith(base))
