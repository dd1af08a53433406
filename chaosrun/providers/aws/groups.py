"""Auto Scaling groups as they are now."""

from __future__ import annotations

from typing import Any

import msgspec

from chaosrun.errors import Refused
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One instance of a group."""

    id: str
    zone: str
    state: str
    healthy: bool
    protected: bool

    @property
    def serves(self) -> bool:
        return self.state == "InService" and self.healthy


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A group; `suspended` are the processes that do not run."""

    name: str
    arn: str
    least: int
    desired: int
    deleting: bool
    suspended: list[str]
    members: list[Member]
    tags: dict[str, str]

    @property
    def serving(self) -> list[Member]:
        return [member for member in self.members if member.serves]


def group_named(client: Aws, access: Access, name: str) -> Group:
    """The group of that name. Raises Refused when there is none."""
    found = client.pages(
        access, "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups",
        AutoScalingGroupNames=[name],
    )  # fmt: skip
    if not found:
        raise Refused(f"no Auto Scaling group {name!r} in {access.region}")
    return _group(found[0])


def _group(written: dict[str, Any]) -> Group:
    members = [
        Member(
            id=one["InstanceId"],
            zone=one["AvailabilityZone"],
            state=one["LifecycleState"],
            healthy=one["HealthStatus"] == "Healthy",
            protected=one["ProtectedFromScaleIn"],
        )
        for one in written["Instances"]
    ]
    return Group(
        name=written["AutoScalingGroupName"],
        arn=written["AutoScalingGroupARN"],
        least=written["MinSize"],
        desired=written["DesiredCapacity"],
        deleting=bool(written.get("Status")),
        suspended=sorted(one["ProcessName"] for one in written["SuspendedProcesses"]),
        members=sorted(members, key=lambda member: member.id),
        tags={tag["Key"]: tag["Value"] for tag in written.get("Tags", ())},
    )
