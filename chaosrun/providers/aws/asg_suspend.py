"""Processes of an Auto Scaling group stand still: it no longer launches, replaces or scales."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from chaosrun.fault import Evidence, Fault, Hold, Permission
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.access import MARK_KEY, Access, access_of, belonging, iam, undo
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.groups import Group, group_named
from chaosrun.targeting import Target
from chaosrun.units import JSON

Process = Literal[
    "Launch", "Terminate", "HealthCheck", "ReplaceUnhealthy", "AZRebalance", "AlarmNotification",
    "ScheduledActions", "AddToLoadBalancer", "InstanceRefresh",
]  # fmt: skip


class Named(Access, frozen=True, kw_only=True):
    """One Auto Scaling group."""

    group: Annotated[str, Meta(description="The group's name or ARN", min_length=1)]


class AsgSuspend(Fault[Aws], frozen=True, kw_only=True):
    """Suspend processes of an Auto Scaling group, and resume them when the hold ends.

    A process that was suspended before stays so.
    """

    name: ClassVar[str] = "aws.asg-suspend"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:SuspendProcesses",
        "autoscaling:ResumeProcesses",
        "autoscaling:CreateOrUpdateTags",
        "autoscaling:DeleteTags",
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"group": "checkout"},
        "with": {"processes": ["Launch"]},
    }

    target: Named
    processes: Annotated[
        tuple[Process, ...], Meta(description="The processes to suspend", min_length=1)
    ]

    def plan(self, client: Aws, rng: random.Random) -> Hold:  # noqa: ARG002
        access = client.settle(self.target.access())
        group = group_named(client, access, self.target.group)
        wanted = sorted(set(self.processes))
        return Hold(
            fault=self.name,
            targets=(
                Target(
                    kind="asg",
                    id=group.arn,
                    name=group.name,
                    labels=group.labels,
                    groups=belonging(access, zone=""),
                ),
            ),
            population=1,
            effect=f"{', '.join(wanted)} is suspended",
            undo=undo(access, processes=sorted(set(wanted) - set(group.suspended)), wanted=wanted),
            way_back="chaosrun resumes them",
            mechanism="SuspendProcesses",
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        if hold.undo["processes"]:
            access, name = access_of(hold), hold.targets[0].name
            client.call(access, "autoscaling", "create_or_update_tags", Tags=_tag(hold))
            client.call(
                access, "autoscaling", "suspend_processes",
                AutoScalingGroupName=name, ScalingProcesses=hold.undo["processes"],
            )  # fmt: skip

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        access, name = access_of(hold), hold.targets[0].name
        if hold.undo["processes"]:
            client.call(
                access, "autoscaling", "resume_processes",
                AutoScalingGroupName=name, ScalingProcesses=hold.undo["processes"],
            )  # fmt: skip
        if _ours(hold, group_named(client, access, name)):
            client.call(access, "autoscaling", "delete_tags", Tags=_tag(hold))

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        group = group_named(client, access_of(hold), hold.targets[0].name)
        return Evidence(set(hold.undo["wanted"]) <= set(group.suspended), _in_words(group))

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        group = group_named(client, access_of(hold), hold.targets[0].name)
        left = set(hold.undo["processes"]) & set(group.suspended)
        tagged = _ours(hold, group)
        return Evidence(
            not left and not tagged, _in_words(group) + ("; still tagged" if tagged else "")
        )


def _in_words(group: Group) -> str:
    return f"suspended: {', '.join(group.suspended) or 'nothing'}"


def _ours(hold: Hold, group: Group) -> bool:
    return group.tags.get(MARK_KEY) == marks.value(hold)


def _tag(hold: Hold) -> list[dict[str, object]]:
    common = {
        "ResourceId": hold.targets[0].name,
        "ResourceType": "auto-scaling-group",
        "PropagateAtLaunch": False,
    }
    return [{**tag, **common} for tag in marks.with_way_back(hold)]
