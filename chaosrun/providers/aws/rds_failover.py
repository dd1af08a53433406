"""A database cluster's writer changes: another instance takes over."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.aws.access import Access, access_of, belonging, iam, labels_of, undo
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.databases import cluster_named, writer_of
from chaosrun.targeting import Target
from chaosrun.units import JSON


class Cluster(Access, frozen=True, kw_only=True):
    """One database cluster of RDS (Aurora, or a Multi-AZ cluster)."""

    cluster: Annotated[str, Meta(description="The cluster's identifier or ARN", min_length=1)]


class RdsFailover(Fault[Aws], frozen=True, kw_only=True):
    """Make a database cluster fail over to one of its readers.

    The cluster heals by the failover itself: the writer that it had becomes a reader, and stays
    one. It has healed when the cluster is available, with one writer and as many members
    as before. A failover takes a minute or so: give the step a `timeout`.
    """

    name: ClassVar[str] = "aws.rds-failover"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "rds:DescribeDBClusters", "rds:FailoverDBCluster"
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"cluster": "orders"}}

    target: Cluster

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        name = access.named(self.target.cluster)
        cluster = cluster_named(client, access, name)
        if cluster["Status"] != "available":
            raise Refused(f"{name} is {cluster['Status']}, not available")
        readers = sorted(
            one["DBInstanceIdentifier"]
            for one in cluster["DBClusterMembers"]
            if not one["IsClusterWriter"]
        )
        if not readers:
            raise Refused(f"{name} has no reader to fail over to")
        writer, heir = writer_of(cluster), rng.choice(readers)
        return Hold(
            fault=self.name,
            targets=(
                Target(
                    kind="rds-cluster",
                    id=cluster["DBClusterArn"],
                    name=name,
                    labels=labels_of(cluster.get("TagList", ())),
                    groups=belonging(access, zone=""),
                ),
            ),
            population=1,
            effect=f"{heir} takes over from {writer}",
            undo=undo(access, writer=writer, heir=heir, members=len(readers) + 1),
            way_back="the cluster has another writer, and the old one reads",
            mechanism="FailoverDBCluster",
            reversal=self.reversal,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access, name = access_of(hold), hold.targets[0].name
        if writer_of(cluster_named(client, access, name)) == hold.undo["writer"]:
            client.call(
                access, "rds", "failover_db_cluster",
                DBClusterIdentifier=name, TargetDBInstanceIdentifier=hold.undo["heir"],
            )  # fmt: skip
        until(lambda: cls.took_effect(hold, client).seen, f"{name} should have another writer")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        """The cluster does it: it is waited for, as long as the step's `timeout`."""
        name = hold.targets[0].label
        until(lambda: cls.restored(hold, client).seen, f"{name} should be whole")

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        writer = writer_of(cluster_named(client, access_of(hold), hold.targets[0].name))
        return Evidence(
            writer not in ("", hold.undo["writer"]), f"the writer is {writer or 'nobody'}"
        )

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        cluster = cluster_named(client, access_of(hold), hold.targets[0].name)
        writer, members = writer_of(cluster), len(cluster["DBClusterMembers"])
        whole = cluster["Status"] == "available" and members >= hold.undo["members"]
        return Evidence(
            whole and bool(writer),
            f"it is {cluster['Status']}; {members} members, the writer is {writer or 'nobody'}",
        )
