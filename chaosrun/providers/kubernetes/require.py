"""Before anything is touched: do we have every right that this takes?

Law (L4): a right that is missing is found while planning, and named; not half-way.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaosrun.errors import Refused
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes, missing
from chaosrun.rights import Permission


def require(client: Kubernetes, access: Access, rights: Iterable[Permission]) -> None:
    """Raise Refused that lists the rights which we do not have."""
    if lacking := missing(client, access, rights):
        raise Refused(
            f"rights are missing: {'; '.join(map(in_words, lacking))}",
            hint="`chaosrun permissions FILE --document rbac` writes the roles it takes",
            code="forbidden",
        )


def in_words(right: Permission) -> str:
    """A right as a person reads it: `patch deployments.apps checkout in shop`."""
    namespace, _, name = right.scope.partition("/")
    place = f" in {namespace}" if namespace else ""
    return f"{right.action} {right.resource}{' ' + name if name else ''}{place}"
