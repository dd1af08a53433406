"""What grants an experiment its rights: Roles, a ClusterRole, and their bindings. Pure.

Law: nothing is granted but what was asked for; a right in one namespace is granted there only,
one on a named object on that object only. Where an experiment acts as somebody else, they are
granted what it does, and who runs it only the right to act as them.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from typing import Any

from chaosrun.errors import Rejected
from chaosrun.providers.kubernetes.access import IMPERSONATE, account_of, of_arguments
from chaosrun.rights import Need, Permission, by_right

_GROUP = "rbac.authorization.k8s.io"


def document(needs: Iterable[Need], name: str, subject: str) -> str:
    """The YAML for `kubectl apply -f -`: a role for each namespace, and one for the cluster."""
    import yaml

    found: list[dict[str, Any]] = []
    for who, theirs in _by_subject(needs, subject).items():
        called = name if who == subject else f"{name[:22]}-as-{_short(who, name)}"
        found += objects(by_right(theirs), called, who)
    return str(yaml.safe_dump_all(found, sort_keys=False, default_flow_style=None))


def _by_subject(needs: Iterable[Need], subject: str) -> dict[str, list[Need]]:
    """What is granted to whom: to who runs it, and to those that it acts as."""
    found: dict[str, list[Need]] = {}
    for need in needs:
        acting = of_arguments(need.arguments).impersonate
        if not acting or need.permission.action == IMPERSONATE:
            who = subject
        else:
            who = account_of(acting) or f"user:{acting}"
        found.setdefault(who, []).append(need)
    return found


def _short(who: str, experiment: str) -> str:
    """A name that Kubernetes takes, of whatever a user is called; another one for each of both."""
    digest = hashlib.sha256(f"{experiment}\0{who}".encode()).hexdigest()[:6]
    plain = re.sub(r"[^a-z0-9]+", "-", who.lower().removeprefix("user:")).strip("-")[:20]
    return f"{plain}-{digest}".strip("-")


def objects(rights: Iterable[Permission], name: str, subject: str) -> list[dict[str, Any]]:
    """The same as plain data."""
    who, called = _subject(subject), f"chaosrun-{name}"[:63].rstrip("-.")
    places: dict[str, list[Permission]] = {}
    for right in rights:
        places.setdefault(right.scope.partition("/")[0], []).append(right)
    found: list[dict[str, Any]] = []
    for place, here in sorted(places.items()):
        role = "Role" if place else "ClusterRole"
        own = {"name": called, **({"namespace": place} if place else {})}
        version = f"{_GROUP}/v1"
        found.append(
            {"apiVersion": version, "kind": role, "metadata": dict(own), "rules": rules(here)}
        )
        found.append(
            {
                "apiVersion": version,
                "kind": f"{role}Binding",
                "metadata": dict(own),
                "roleRef": {"apiGroup": _GROUP, "kind": role, "name": called},
                "subjects": [dict(who)],
            }
        )
    return found


def rules(rights: Iterable[Permission]) -> list[dict[str, Any]]:
    """RBAC rules: verbs on one resource, or on named objects of it, together."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for right in rights:
        named = right.scope.partition("/")[2]
        verbs.setdefault((right.resource, named), set()).add(right.action)
    found = []
    for (resource, named), actions in sorted(verbs.items()):
        plain, _, sub = resource.partition("/")
        plural, _, group = plain.partition(".")
        rule: dict[str, Any] = {
            "apiGroups": [group],
            "resources": [f"{plural}/{sub}" if sub else plural],
            "verbs": sorted(actions),
        }
        if named:
            rule["resourceNames"] = [named]
        found.append(rule)
    return found


def _subject(text: str) -> dict[str, str]:
    """Whom to grant it. Raises Rejected."""
    if text.startswith("user:") and len(text) > 5:
        return {"apiGroup": _GROUP, "kind": "User", "name": text[5:]}
    match = re.fullmatch(r"([a-z0-9-]+)/([a-z0-9.-]+)", text or "chaosrun/chaosrun")
    if match is None:
        raise Rejected(f"{text!r} is neither NAMESPACE/SERVICEACCOUNT nor user:NAME")
    return {"kind": "ServiceAccount", "name": match[2], "namespace": match[1]}
