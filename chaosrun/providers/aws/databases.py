"""RDS clusters and instances as they are now."""

from __future__ import annotations

from typing import Any

from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws, NotFound


def cluster_named(client: Aws, access: Access, name: str) -> dict[str, Any]:
    """The cluster of that name. Raises Refused when there is none."""
    return _first(client, access, "describe_db_clusters", "DBClusters", DBClusterIdentifier=name)


def database_named(client: Aws, access: Access, name: str) -> dict[str, Any]:
    """The instance of that name. Raises Refused when there is none."""
    return _first(client, access, "describe_db_instances", "DBInstances", DBInstanceIdentifier=name)


def writer_of(cluster: dict[str, Any]) -> str:
    """The name of the cluster's writer, or nothing."""
    members = cluster["DBClusterMembers"]
    return next((one["DBInstanceIdentifier"] for one in members if one["IsClusterWriter"]), "")


def _first(client: Aws, access: Access, operation: str, key: str, **by: str) -> dict[str, Any]:
    try:
        found: list[dict[str, Any]] = client.pages(access, "rds", operation, key, **by)
    except NotFound:
        found = []
    if not found:
        (name,) = by.values()
        raise NotFound(f"no database {name!r} in {access.region}")
    return found[0]


def restarts(client: Aws, access: Access, name: str) -> list[str]:
    """When an instance was restarted, of what RDS remembers of the last hour, in order."""
    found = client.pages(
        access, "rds", "describe_events", "Events",
        SourceIdentifier=name, SourceType="db-instance", Duration=60,
    )  # fmt: skip
    return sorted(
        one["Date"].isoformat() for one in found if "restarted" in one.get("Message", "").lower()
    )
