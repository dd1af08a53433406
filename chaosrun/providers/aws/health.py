"""The probes `aws.asg-health` and `aws.target-health`: how many serve."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.fault import Permission
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.groups import group_named
from chaosrun.providers.aws.looking import AwsProbe
from chaosrun.providers.aws.target_groups import arn_of, health_of
from chaosrun.units import JSON


class GroupHealth(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How an Auto Scaling group is."""

    in_service: Annotated[int, Meta(description="How many are healthy and in service")]
    desired: Annotated[int, Meta(description="How many it wants")]
    minimum: Annotated[int, Meta(description="How many it must have")]
    instances: Annotated[int, Meta(description="How many it has, in whatever state")]
    zones: Annotated[int, Meta(description="In how many zones some are in service")]
    suspended: Annotated[list[str], Meta(description="Its processes that are suspended")]


class GroupProbe(AwsProbe[GroupHealth], frozen=True, kw_only=True):
    """Looks how many instances of an Auto Scaling group are in service."""

    name: ClassVar[str] = "aws.asg-health"
    Result = GroupHealth
    permissions: ClassVar[tuple[Permission, ...]] = iam("autoscaling:DescribeAutoScalingGroups")
    example: ClassVar[dict[str, JSON]] = {
        "with": {"group": "checkout"},
        "expect": "inService >= minimum",
    }

    group: Annotated[str, Meta(description="The group's name or ARN", min_length=1)]

    def look(self, client: Aws, access: Access) -> GroupHealth:
        group = group_named(client, access, self.group)
        return GroupHealth(
            in_service=len(group.serving),
            desired=group.desired,
            minimum=group.least,
            instances=len(group.members),
            zones=len({member.zone for member in group.serving}),
            suspended=group.suspended,
        )


class TargetHealth(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How the targets of a load balancer's target group are."""

    healthy: Annotated[int, Meta(description="How many are healthy")]
    total: Annotated[int, Meta(description="How many are registered")]
    states: Annotated[dict[str, int], Meta(description="How many are in each state")]


class TargetProbe(AwsProbe[TargetHealth], frozen=True, kw_only=True):
    """Looks how many targets of a load balancer's target group are healthy."""

    name: ClassVar[str] = "aws.target-health"
    Result = TargetHealth
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "elasticloadbalancing:DescribeTargetGroups", "elasticloadbalancing:DescribeTargetHealth"
    )
    example: ClassVar[dict[str, JSON]] = {
        "with": {"targetGroup": "checkout"},
        "expect": "healthy >= 2",
    }

    target_group: Annotated[str, Meta(description="The target group's name or ARN", min_length=1)]

    def look(self, client: Aws, access: Access) -> TargetHealth:
        found = health_of(client, access, arn_of(client, access, self.target_group))
        states = [one["TargetHealth"]["State"] for one in found]
        return TargetHealth(
            healthy=states.count("healthy"),
            total=len(states),
            states={state: states.count(state) for state in sorted(set(states))},
        )
