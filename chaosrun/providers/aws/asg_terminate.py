"""Instances of an Auto Scaling group are terminated, and the group replaces them."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.aws.access import Access, access_of, belonging, iam, undo
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.groups import Group, group_named
from chaosrun.providers.aws.instances import ENDED, held, ids_of, in_words
from chaosrun.targeting import Pick, Target, pick, populations
from chaosrun.units import JSON

_HEALS_BY = ("HealthCheck", "Launch", "ReplaceUnhealthy", "Terminate")


class Members(Access, frozen=True, kw_only=True):
    """Instances of one Auto Scaling group that are in service."""

    group: Annotated[str, Meta(description="The group's name", min_length=1)]
    zone: Annotated[str, Meta(description="Only those of this availability zone")] = ""
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")


class AsgTerminate(Fault[Aws], frozen=True, kw_only=True):
    """Terminate instances of an Auto Scaling group, and see that the group replaces them.

    Refused unless the group can heal: as many are healthy and in service as it wants, that is
    not less than its minimum, and no process that heals it is suspended. Instances with
    scale-in protection are never picked. It has healed when the desired count is in service again.
    A replacement takes minutes: give the step a `timeout`.
    """

    name: ClassVar[str] = "aws.asg-terminate"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:TerminateInstanceInAutoScalingGroup",
        "ec2:DescribeInstances",
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"group": "checkout", "pick": "one"}}

    target: Members

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        group = group_named(client, access, self.target.group)
        _must_heal(group)
        groups = belonging(access, workload=group.name, group=group.name)
        serving = {
            member.id: Target(kind="ec2-instance", id=member.id, domain=member.zone, groups=groups)
            for member in group.serving
        }
        targets = pick(
            [
                serving[member.id]
                for member in group.serving
                if not member.protected and self.target.zone in ("", member.zone)
            ],
            self.target.pick,
            rng,
        )
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(group.serving),
            populations=populations(serving.values()),
            effect=f"they are terminated, and {group.name} replaces them",
            undo=undo(access, group=group.name),
            way_back="the group launches others in their place",
            mechanism="TerminateInstanceInAutoScalingGroup, the desired capacity kept",
            reversal=self.reversal,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access, ids = access_of(hold), ids_of(hold)
        group = group_named(client, access, hold.undo["group"])
        serving = {member.id for member in group.serving}
        if set(ids) <= serving:  # the first time: it may have changed since the plan
            _must_heal(group)
        for target in ids:
            if target in serving:
                client.call(
                    access, "autoscaling", "terminate_instance_in_auto_scaling_group",
                    InstanceId=target, ShouldDecrementDesiredCapacity=False,
                )  # fmt: skip
        until(lambda: cls.took_effect(hold, client).seen, f"{', '.join(ids)} should end")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        """The group does it."""

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        now = held(hold, client)
        return Evidence(all(each.state in ENDED for each in now), in_words(hold, now))

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        group = group_named(client, access_of(hold), hold.undo["group"])
        dying = {each.id for each in held(hold, client) if each.state in ENDED}
        serving = [member.id for member in group.serving if member.id not in dying]
        said = f"{len(serving)} are in service, and {group.desired} are desired"
        if group.suspended:
            said += f"; suspended: {', '.join(group.suspended)}"
        return Evidence(
            len(serving) >= group.desired,
            said,
            {"inService": len(serving), "desired": group.desired},
        )


def _must_heal(group: Group) -> None:
    """Raise Refused when the group is not whole, or would not become so again."""
    if group.deleting:
        raise Refused(f"{group.name} is being deleted")
    if stuck := sorted(set(_HEALS_BY) & set(group.suspended)):
        raise Refused(
            f"{group.name} would not heal: {', '.join(stuck)} is suspended",
            hint=f"aws autoscaling resume-processes --auto-scaling-group-name {group.name}",
        )
    serving, wanted = len(group.serving), max(group.desired, group.least)
    if serving < wanted:
        raise Refused(
            f"{group.name} is not whole: {serving} are healthy and in service, {wanted} are wanted",
            hint="wait until it is",
        )
