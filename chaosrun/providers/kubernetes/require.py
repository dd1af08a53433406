"""Before anything is touched: do we have every right that this takes?

Law (L4): a right that is missing is found while planning, and named; not half-way.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaosrun.errors import Refused
from chaosrun.providers.kubernetes.access import IMPERSONATE, Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.rights import Permission

_HINT = "`chaosrun permissions FILE --document rbac` writes the roles it takes"


def require(
    client: Kubernetes, access: Access, rights: Iterable[Permission], hint: str = _HINT
) -> None:
    """Raise Refused that lists the rights which we do not have."""
    if lacking := missing(client, access, rights):
        raise Refused(
            f"rights are missing: {'; '.join(map(in_words, lacking))}",
            hint=hint,
            code="forbidden",
        )


def in_words(right: Permission) -> str:
    """A right as a person reads it: `patch deployments.apps checkout in shop`."""
    namespace, _, name = right.scope.partition("/")
    place = f" in {namespace}" if namespace else ""
    return f"{right.action} {right.resource}{' ' + name if name else ''}{place}"


def missing(client: Kubernetes, access: Access, rights: Iterable[Permission]) -> list[Permission]:
    """Those of these rights that we do not have, by asking for each.

    Rights to act as somebody else are asked of who acts, and the others of whom they act as: where
    the former are missing, nothing is known of the latter, and they are not listed.
    """
    wanted = list(rights)
    to_act = [right for right in wanted if right.action == IMPERSONATE]
    lacking = [right for right in to_act if not _may(client, access.as_itself(), right)]
    return lacking or [
        right for right in wanted if right not in to_act and not _may(client, access, right)
    ]


def _may(client: Kubernetes, access: Access, right: Permission) -> bool:
    resource, _, sub = right.resource.partition("/")
    plural, _, group = resource.partition(".")
    namespace, _, name = right.scope.partition("/")
    wanted = {
        "verb": right.action, "group": group, "resource": plural,
        "subresource": sub, "namespace": namespace, "name": name,
    }  # fmt: skip
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in wanted.items() if value}},
    }
    path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    return bool(client.ask(access, path, review)["status"]["allowed"])
