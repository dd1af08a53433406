"""A database instance is rebooted, with or without a failover to its standby."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.aws.access import Access, access_of, belonging, iam, labels_of, undo
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.databases import database_named, restarts
from chaosrun.targeting import Target
from chaosrun.units import JSON


class Database(Access, frozen=True, kw_only=True):
    """One database instance of RDS."""

    instance: Annotated[
        str, Meta(description="The database instance's identifier or ARN", min_length=1)
    ]


class RdsReboot(Fault[Aws], frozen=True, kw_only=True):
    """Reboot a database instance; with `failover`, its standby in another zone takes over.

    RDS' own event of the restart is the evidence, and with a failover the zone that changed. It
    has healed when it is available. This takes minutes: give the step a `timeout`.
    """

    name: ClassVar[str] = "aws.rds-reboot"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "rds:DescribeDBInstances", "rds:DescribeEvents", "rds:RebootDBInstance"
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"instance": "orders-1"},
        "with": {"failover": True},
    }

    target: Database
    failover: Annotated[
        bool, Meta(description="Let the standby take over; needs a Multi-AZ instance")
    ] = False

    def plan(self, client: Aws, rng: random.Random) -> Hold:  # noqa: ARG002
        access = client.settle(self.target.access())
        name = access.named(self.target.instance)
        now = database_named(client, access, name)
        if now["DBInstanceStatus"] != "available":
            raise Refused(f"{name} is {now['DBInstanceStatus']}, not available")
        if self.failover and not now.get("MultiAZ"):
            raise Refused(f"{name} has no standby to fail over to: it is not Multi-AZ")
        zone = now.get("AvailabilityZone", "")
        done = restarts(client, access, name)
        return Hold(
            fault=self.name,
            targets=(
                Target(
                    kind="rds-instance",
                    id=now["DBInstanceArn"],
                    name=name,
                    domain=zone,
                    labels=labels_of(now.get("TagList", ())),
                    groups=belonging(access, workload=now.get("DBClusterIdentifier", "")),
                ),
            ),
            population=1,
            effect="its standby takes over" if self.failover else "it is rebooted",
            undo=undo(access, zone=zone, failover=self.failover, last=done[-1] if done else ""),
            way_back="it starts, and is available",
            mechanism="RebootDBInstance" + (", ForceFailover" if self.failover else ""),
            reversal=self.reversal,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access, (target,) = access_of(hold), hold.targets
        now = database_named(client, access, target.name)["DBInstanceStatus"]
        if now != "rebooting" and not cls.took_effect(hold, client).seen:
            client.call(
                access, "rds", "reboot_db_instance",
                DBInstanceIdentifier=target.name, ForceFailover=hold.undo["failover"],
            )  # fmt: skip
        until(lambda: cls.took_effect(hold, client).seen, f"{target.name} should restart")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        """It starts by itself: it is waited for, as long as the step's `timeout`."""
        name = hold.targets[0].label
        until(lambda: cls.restored(hold, client).seen, f"{name} should be available")

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        access, (target,) = access_of(hold), hold.targets
        new = [one for one in restarts(client, access, target.name) if one > hold.undo["last"]]
        said = f"it was restarted at {new[-1]}" if new else "it was not restarted"
        if not hold.undo["failover"]:
            return Evidence(bool(new), said)
        zone = database_named(client, access, target.name).get("AvailabilityZone", "")
        moved = zone != hold.undo["zone"]
        return Evidence(bool(new) and moved, f"{said}; it is in {zone}, and was in {target.domain}")

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        status = database_named(client, access_of(hold), hold.targets[0].name)["DBInstanceStatus"]
        return Evidence(status == "available", f"it is {status}")
