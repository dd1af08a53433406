"""The probe `aws.rds-status`: whether a database cluster or instance is available."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.fault import Permission
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.databases import cluster_named, database_named, writer_of
from chaosrun.providers.aws.looking import AwsProbe
from chaosrun.units import JSON


class DatabaseState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How a database is."""

    available: Annotated[bool, Meta(description="Whether its status is `available`")]
    status: Annotated[str, Meta(description="Its status, in RDS' words")]
    writer: Annotated[str, Meta(description="The instance that writes; empty when none does")]
    zone: Annotated[str, Meta(description="The zone of an instance; empty for a cluster")]
    members: Annotated[int, Meta(description="How many instances a cluster has; 1 for an instance")]


class DatabaseProbe(AwsProbe[DatabaseState], frozen=True, kw_only=True):
    """Looks at the status of a database cluster, or of one instance."""

    name: ClassVar[str] = "aws.rds-status"
    Result = DatabaseState
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "rds:DescribeDBClusters", "rds:DescribeDBInstances"
    )
    example: ClassVar[dict[str, JSON]] = {
        "with": {"cluster": "orders"},
        "expect": 'available && writer != ""',
    }

    cluster: Annotated[str, Meta(description="The cluster's identifier or ARN")] = ""
    instance: Annotated[str, Meta(description="Or the instance's identifier or ARN")] = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.cluster) is bool(self.instance):
            raise ValueError("say which: cluster or instance, and not both")

    def look(self, client: Aws, access: Access) -> DatabaseState:
        if self.cluster:
            cluster = cluster_named(client, access, access.named(self.cluster))
            return DatabaseState(
                available=cluster["Status"] == "available",
                status=cluster["Status"],
                writer=writer_of(cluster),
                zone="",
                members=len(cluster["DBClusterMembers"]),
            )
        instance = database_named(client, access, access.named(self.instance))
        available = instance["DBInstanceStatus"] == "available"
        return DatabaseState(
            available=available,
            status=instance["DBInstanceStatus"],
            writer=instance["DBInstanceIdentifier"] if available else "",
            zone=instance.get("AvailabilityZone", ""),
            members=1,
        )
