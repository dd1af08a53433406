"""Instances of Auto Scaling groups that are terminated, and groups that replace them.

Law: nothing is terminated unless its group is whole and would heal; and nothing is taken for ours
that somebody else ended, for what we terminate bears our mark.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Hold
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.access import Access, access_of, belonging
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.groups import Group, groups_named
from chaosrun.providers.aws.instances import ENDED, held, ids_of, in_words
from chaosrun.targeting import Target
from chaosrun.units import JSON, format_seconds

CALLS = (
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:DescribeInstanceRefreshes",
    "autoscaling:DescribeLifecycleHooks",
    "autoscaling:DescribeScalingActivities",
    "autoscaling:DescribeWarmPool",
    "autoscaling:TerminateInstanceInAutoScalingGroup",
    "ec2:CreateTags",
    "ec2:DeleteTags",
    "ec2:DescribeInstances",
)
REFRESHING = ("Pending", "InProgress", "Cancelling", "RollbackInProgress", "Baking")
_HEALS_BY = ("HealthCheck", "Launch", "ReplaceUnhealthy", "Terminate")
_NEWEST = 100


def serving(
    access: Access, groups: Sequence[Group], zone: str = "", *, protected: bool = True
) -> list[Target]:
    """What is in service; without what is protected from scale-in, if so wanted."""
    return [
        Target(
            kind="ec2-instance",
            id=member.id,
            domain=member.zone,
            groups=belonging(access, workload=group.name, group=group.name),
        )
        for group in groups
        for member in group.serving
        if (protected or not member.protected) and zone in ("", member.zone)
    ]


def refreshing(client: Aws, access: Access, name: str) -> str:
    """The instance refresh of a group that goes on now, in words; or nothing."""
    found = client.call(
        access, "autoscaling", "describe_instance_refreshes",
        AutoScalingGroupName=name, MaxRecords=1,
    )["InstanceRefreshes"]  # fmt: skip
    return next(
        (
            f"an instance refresh of {name} is {one['Status']}"
            for one in found  # the newest comes first
            if one["Status"] in REFRESHING
        ),
        "",
    )


def how_it_heals(client: Aws, access: Access, group: Group) -> str:
    """How a replacement comes, in words. Raises Refused when none would, or it is not whole."""
    if group.deleting:
        raise Refused(f"{group.name} is being deleted")
    if stuck := sorted(set(_HEALS_BY) & set(group.suspended)):
        raise Refused(
            f"{group.name} would not heal: {', '.join(stuck)} is suspended",
            hint=f"aws autoscaling resume-processes --auto-scaling-group-name {group.name}",
        )
    able, wanted = len(group.serving), max(group.desired, group.least)
    if able < wanted:
        states = ", ".join(
            f"{member.id} is {member.state if member.healthy else 'unhealthy'}"
            for member in group.members
            if not member.serves
        )
        raise Refused(
            f"{group.name} is not whole: {able} are healthy and in service, {wanted} are wanted"
            + (f"; {states}" if states else ""),
            hint="wait until it is",
        )
    if said := refreshing(client, access, group.name):
        raise Refused(said, hint="wait until it has ended, or cancel it")
    return "the group launches others in their place" + _on_the_way(client, access, group.name)


def _on_the_way(client: Aws, access: Access, name: str) -> str:
    """What makes a replacement sooner or later than usual."""
    said: list[str] = []
    pool = client.call(
        access, "autoscaling", "describe_warm_pool", AutoScalingGroupName=name
    )  # fmt: skip
    if settings := pool.get("WarmPoolConfiguration"):
        state = settings.get("PoolState", "Stopped")
        said.append(f"its warm pool has {len(pool.get('Instances', ()))} that are {state}")
    hooks = client.call(
        access, "autoscaling", "describe_lifecycle_hooks", AutoScalingGroupName=name
    )["LifecycleHooks"]  # fmt: skip
    for hook in sorted(hooks, key=lambda one: str(one["LifecycleHookName"])):
        when = "launch" if hook["LifecycleTransition"].endswith("LAUNCHING") else "end"
        longest = format_seconds(float(hook.get("HeartbeatTimeout", 3600)))
        said.append(
            f"its hook {hook['LifecycleHookName']} may delay each {when} by {longest},"
            f" and then {hook.get('DefaultResult', 'ABANDON')}"
        )
    return "".join(f"; {one}" for one in said)


def what_is_left(groups: Sequence[Group], targets: Sequence[Target]) -> str:
    """How many of each group serve on while the targets are replaced."""
    gone = {target.id for target in targets}
    said: list[str] = []
    for group in groups:
        left = [member for member in group.serving if member.id not in gone]
        if len(left) < len(group.serving):
            below = f", below its minimum of {group.least}" if len(left) < group.least else ""
            said.append(f"{len(left)} of {len(group.serving)} of {group.name} serve on{below}")
    return "; ".join(said)


def undo_of(groups: Sequence[Group]) -> dict[str, JSON]:
    """What is needed to see that the groups have healed."""
    return {
        "groups": [group.name for group in groups],
        "members": sorted(member.id for group in groups for member in group.members),
    }


def terminate(hold: Hold, client: Aws) -> None:
    """Terminate the targets; twice is once. Raises Refused when somebody else ended one."""
    access, ids = access_of(hold), ids_of(hold)
    groups = _groups(hold, client)
    able = {target.id for target in serving(access, groups)}
    now = held(hold, client)
    ours = {each.id for each in now if each.mark == marks.value(hold)}
    if lost := sorted(set(ids) - able - ours):
        raise Refused(f"{', '.join(lost)} ended or left its group since it was planned")
    left = [each for each in ids if each in able]
    if left:
        for group in groups:  # it may have changed since the plan
            how_it_heals(client, access, group)
        marks.put(hold, client, left)
    for each in left:
        client.call(
            access, "autoscaling", "terminate_instance_in_auto_scaling_group",
            InstanceId=each, ShouldDecrementDesiredCapacity=False,
        )  # fmt: skip
    until(lambda: ended(hold, client).seen, f"{', '.join(ids)} should end")


def await_healed(hold: Hold, client: Aws) -> None:
    """Take our mark from what never came to its end, and wait until the groups are whole."""
    marks.take(hold, client, _marked_alive(hold, client))
    names = ", ".join(hold.undo["groups"])
    until(lambda: healed(hold, client).seen, f"{names} should have the desired count in service")


def ended(hold: Hold, client: Aws) -> Evidence:
    """Whether each target serves no more. One that a hook holds back may run on for a while."""
    now = held(hold, client)
    able = {target.id for target in serving(access_of(hold), _groups(hold, client))}
    gone = [each.id for each in now if each.state in ENDED or each.id not in able]
    known = {each.id for each in now}
    forgotten = [each for each in ids_of(hold) if each not in known]
    return Evidence(len(gone) + len(forgotten) == len(hold.targets), in_words(hold, now))


def healed(hold: Hold, client: Aws) -> Evidence:
    """Whether each group has its desired count in service, and after how long it had."""
    access = access_of(hold)
    groups = _groups(hold, client)
    if missing := sorted(set(hold.undo["groups"]) - {group.name for group in groups}):
        return Evidence(False, f"{', '.join(missing)} is not there any more")
    ended_ids = {each.id for each in held(hold, client) if each.state in ENDED}
    whole = True
    said: list[str] = []
    able, desired = 0, 0
    new: list[str] = []
    for group in groups:
        well = [member.id for member in group.serving if member.id not in ended_ids]
        whole = whole and len(well) >= group.desired
        able, desired = able + len(well), desired + group.desired
        new += sorted(set(well) - set(hold.undo["members"]))
        words = f"{len(well)} are in service, and {group.desired} are desired"
        if group.suspended:
            words += f"; suspended: {', '.join(group.suspended)}"
        said.append(words if len(groups) == 1 else f"{group.name}: {words}")
    measured: dict[str, JSON] = {"inService": able, "desired": desired, "replaced": len(new)}
    if new:
        said.append(f"new: {', '.join(new)}")
    if marked := _marked_alive(hold, client):
        said.append(f"still tagged: {', '.join(marked)}")
    elif whole and (seconds := _recovery(client, access, hold, new)) is not None:
        measured["recoverySeconds"] = seconds
        said.append(f"recovered in {format_seconds(seconds)}")
    return Evidence(whole and not marked, "; ".join(said), measured)


def _groups(hold: Hold, client: Aws) -> list[Group]:
    return groups_named(client, access_of(hold), hold.undo["groups"])


def _marked_alive(hold: Hold, client: Aws) -> list[str]:
    """Targets that bear our mark though they have not ended, nor are about to."""
    members = {member.id for group in _groups(hold, client) for member in group.members}
    return [
        each.id
        for each in held(hold, client)
        if each.mark == marks.value(hold) and each.state not in ENDED and each.id in members
    ]


def _recovery(client: Aws, access: Access, hold: Hold, new: Sequence[str]) -> float | None:
    """From the first termination to the last launch, by the groups' own activities; or unknown."""
    activities: list[dict[str, Any]] = []
    for name in hold.undo["groups"]:
        activities += client.call(
            access, "autoscaling", "describe_scaling_activities",
            AutoScalingGroupName=name, MaxRecords=_NEWEST,
        )["Activities"]  # fmt: skip

    def of(words: str, ids: Sequence[str]) -> list[dict[str, Any]]:
        begins = tuple(f"{words}: {each}" for each in ids)  # what it waits for may follow
        return [one for one in activities if one.get("Description", "").startswith(begins)]

    began: list[datetime] = [
        one["StartTime"] for one in of("Terminating EC2 instance", ids_of(hold))
    ]
    done: list[datetime] = [
        one["EndTime"]
        for one in of("Launching a new EC2 instance", new)
        if one["StatusCode"] == "Successful" and began and one["EndTime"] >= min(began)
    ]
    if not done or len(done) < len(hold.targets):
        return None
    return round((max(done) - min(began)).total_seconds(), 3)
