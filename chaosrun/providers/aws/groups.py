"""Auto Scaling groups as they are now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from chaosrun.errors import Refused
from chaosrun.providers.aws.access import OURS, Access
from chaosrun.providers.aws.client import Aws

_AT_ONCE = 50


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
    """A group; `suspended` are the processes that do not run, `subnets` as AWS writes them."""

    name: str
    arn: str
    least: int
    desired: int
    deleting: bool
    suspended: list[str]
    members: list[Member]
    tags: dict[str, str]
    subnets: str

    @property
    def labels(self) -> dict[str, str]:
        """Its tags, without those that faults leave."""
        return {key: value for key, value in self.tags.items() if not key.startswith(OURS)}

    @property
    def serving(self) -> list[Member]:
        return [member for member in self.members if member.serves]


def group_named(client: Aws, access: Access, written: str) -> Group:
    """The group of that name or ARN. Raises Refused when there is none."""
    found = groups_named(client, access, [access.named(written)])
    if not found:
        raise Refused(f"no Auto Scaling group {written!r} in {access.region}")
    return found[0]


def groups_named(client: Aws, access: Access, names: Sequence[str]) -> list[Group]:
    """Those of these names that exist, by name."""
    found: list[Group] = []
    for start in range(0, len(names), _AT_ONCE):
        found += _described(client, access, AutoScalingGroupNames=names[start : start + _AT_ONCE])
    return sorted(found, key=lambda group: group.name)


def groups_in(client: Aws, access: Access, subnets: Sequence[str]) -> list[Group]:
    """Every group that may launch instances in one of these subnets, by name."""
    wanted = set(subnets)
    found = [one for one in _described(client, access) if wanted & set(one.subnets.split(","))]
    return sorted(found, key=lambda group: group.name)


def _described(client: Aws, access: Access, **which: Any) -> list[Group]:
    found = client.pages(
        access, "autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups", **which
    )
    return [_group(one) for one in found]


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
        subnets=written.get("VPCZoneIdentifier") or "",
    )
