"""Worlds of AWS: databases, caches and tables."""

from __future__ import annotations

from typing import Any

from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.contract.aws_lab import AwsLab


class FailoverLab(AwsLab):
    """A cluster of a writer and two readers."""

    fault = "aws.rds-failover"
    found_by_sweep = False  # it heals by the failover itself, so nothing is left to find

    def made(self) -> None:
        rds = self.service("rds")
        rds.create_db_cluster(
            DBClusterIdentifier="shop",
            Engine="aurora-mysql",
            MasterUsername="root",
            MasterUserPassword="long-enough",
        )
        for name in ("one", "two", "three"):
            rds.create_db_instance(
                DBInstanceIdentifier=name,
                DBClusterIdentifier="shop",
                Engine="aurora-mysql",
                DBInstanceClass="db.r5.large",
            )

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"cluster": "shop"}}

    def snapshot(self) -> JSON:
        (now,) = self.service("rds").describe_db_clusters(DBClusterIdentifier="shop")["DBClusters"]
        writers = [one for one in now["DBClusterMembers"] if one["IsClusterWriter"]]
        return {"status": now["Status"], "of": len(now["DBClusterMembers"]), "w": len(writers)}


class RebootOfADatabaseThatMotoIgnoresLab(AwsLab):
    """A database with a standby. That a reboot is an event, and moves it, is the lab's doing."""

    fault = "aws.rds-reboot"
    found_by_sweep = False  # it heals by itself, so nothing is left to find
    failover = False

    def made(self) -> None:
        self.service("rds").create_db_instance(
            DBInstanceIdentifier="orders",
            Engine="mysql",
            DBInstanceClass="db.r5.large",
            MasterUsername="root",
            MasterUserPassword="long-enough",
            AllocatedStorage=20,
            MultiAZ=True,
        )

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"instance": "orders"}, "with": {"failover": self.failover}}

    def snapshot(self) -> JSON:
        rds = self.service("rds")
        (now,) = rds.describe_db_instances(DBInstanceIdentifier="orders")["DBInstances"]
        return {"status": now["DBInstanceStatus"]}


class FailoverOfADatabaseThatMotoIgnoresLab(RebootOfADatabaseThatMotoIgnoresLab):
    failover = True


class CacheFailoverThatMotoLacksLab(AwsLab):
    """Two replicas for a primary, of which the lab makes one the primary."""

    fault = "aws.elasticache-failover"
    found_by_sweep = False  # it heals by itself, so nothing is left to find
    more: dict[str, Any] = {"ReplicasPerNodeGroup": 2}

    def made(self) -> None:
        self.service("elasticache").create_replication_group(
            ReplicationGroupId="sessions",
            ReplicationGroupDescription="of users",
            AutomaticFailoverEnabled=True,
            **self.more,
        )

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"replicationGroup": "sessions", "pick": "one"}}

    def snapshot(self) -> JSON:
        (now,) = self.service("elasticache").describe_replication_groups(
            ReplicationGroupId="sessions"
        )["ReplicationGroups"]
        shards = {one["NodeGroupId"]: len(one["NodeGroupMembers"]) for one in now["NodeGroups"]}
        return {"status": now["Status"], "shards": shards}


class CacheFailoverInClusterModeLab(CacheFailoverThatMotoLacksLab):
    """Three shards that do not tell who is their primary."""

    more = {"ClusterMode": "enabled", "NumNodeGroups": 3, "ReplicasPerNodeGroup": 1}


class ProvisionedTableLab(AwsLab):
    """A table with capacity units. moto keeps the number, and does not throttle."""

    fault = "aws.dynamodb-throttle"
    mode: dict[str, Any] = {
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": {"ReadCapacityUnits": 40, "WriteCapacityUnits": 20},
    }

    def made(self) -> None:
        self.arn = self.service("dynamodb").create_table(
            TableName="shop",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            **self.mode,
        )["TableDescription"]["TableArn"]

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"table": "shop"}, "with": {"read": 2, "write": 30}}

    def snapshot(self) -> JSON:
        table = self.service("dynamodb").describe_table(TableName="shop")["Table"]
        given = table["ProvisionedThroughput"]
        most = table.get("OnDemandThroughput", {})
        tags = self.service("dynamodb").list_tags_of_resource(ResourceArn=self.arn)["Tags"]
        return {
            "provisioned": [given["ReadCapacityUnits"], given["WriteCapacityUnits"]],
            "most": [most.get(f"Max{way}RequestUnits", -1) for way in ("Read", "Write")],
            "tags": {tag["Key"]: tag["Value"] for tag in tags},  # moto keeps one twice
        }


class TableOnDemandOfAnAdapterLab(ProvisionedTableLab):
    """A table without a maximum. Moto does not keep one: our adapter in it does."""

    mode = {"BillingMode": "PAY_PER_REQUEST"}


LABS: list[type[Lab]] = [
    ProvisionedTableLab,
    TableOnDemandOfAnAdapterLab,
    FailoverLab,
    RebootOfADatabaseThatMotoIgnoresLab,
    CacheFailoverThatMotoLacksLab,
]
