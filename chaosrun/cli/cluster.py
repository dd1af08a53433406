"""The cluster of the current context, for commands that change something in it outside of runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chaosrun.providers.kubernetes.access import Access
    from chaosrun.providers.kubernetes.api import Kubernetes


@contextmanager
def current() -> Iterator[tuple[Kubernetes, Access]]:
    """A client, and the access to it. Raises Rejected without the extra."""
    from chaosrun.discovery import builtin_providers

    provider = next(one for one in builtin_providers() if one.name == "kubernetes")
    client: Kubernetes = provider.client()
    from chaosrun.providers.kubernetes.access import Access

    try:
        yield client, client.settle(Access())
    finally:
        client.close()


def where(access: Access) -> str:
    """Its context, in words."""
    return f"context {access.context}" if access.context else "this cluster"
