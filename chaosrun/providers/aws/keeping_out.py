"""Auto Scaling groups are kept from launching in subnets that are lost, and let in again.

Law: what a group had is recorded to the letter before the first change; the way back changes
nothing that somebody else has set meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.aws.access import Access, access_of
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.groups import Group, groups_in, groups_named
from chaosrun.units import JSON

CALLS = (
    "autoscaling:DescribeAutoScalingGroups",
    "autoscaling:UpdateAutoScalingGroup",
    "autoscaling:SuspendProcesses",
    "autoscaling:ResumeProcesses",
)


def plan(client: Aws, access: Access, lost: Sequence[str]) -> list[dict[str, JSON]]:
    """What to change of each group that may launch in these subnets, and what it has now."""
    return [_change(group, set(lost)) for group in groups_in(client, access, lost)]


def in_words(changes: Sequence[dict[str, JSON]]) -> str:
    """What the groups cannot do meanwhile."""
    out = [change["name"] for change in changes if change["without"]]
    shut = [change["name"] for change in changes if not change["without"]]
    said = f"; {_groups(out)} can only launch elsewhere" if out else ""
    return said + (f"; {_groups(shut)} cannot launch at all" if shut else "")


def inject(hold: Hold, client: Aws) -> None:
    """Keep the groups out. Twice is once. Raises Refused when one changed since the plan."""
    access, now = access_of(hold), _now(hold, client)
    changes = hold.undo["groups"]
    for change in changes:
        group = now.get(change["name"])
        known = [_subnets(change[which]) for which in ("before", "without")]
        if group is None or _subnets(group.subnets) not in known:
            raise Refused(f"the group {change['name']} changed since it was planned")
    for change in changes:
        group = now[change["name"]]
        if pending := sorted(set(change["processes"]) - set(group.suspended)):
            client.call(
                access, "autoscaling", "suspend_processes",
                AutoScalingGroupName=group.name, ScalingProcesses=pending,
            )  # fmt: skip
        if change["without"] and _subnets(group.subnets) != _subnets(change["without"]):
            _set(hold, client, group.name, change["without"])


def revert(hold: Hold, client: Aws) -> None:
    """Let them in again, by the very list of subnets that each had."""
    now = _now(hold, client)
    for change in hold.undo.get("groups", ()):
        group = now.get(change["name"])
        if group is None:
            continue
        if change["without"] and _subnets(group.subnets) == _subnets(change["without"]):
            _set(hold, client, group.name, change["before"])
        if ours := sorted(set(change["processes"]) & set(group.suspended)):
            client.call(
                access_of(hold), "autoscaling", "resume_processes",
                AutoScalingGroupName=group.name, ScalingProcesses=ours,
            )  # fmt: skip


def not_kept(hold: Hold, client: Aws) -> list[str]:
    """The groups that can launch in the lost subnets."""
    now = _now(hold, client)
    return [
        change["name"]
        for change in hold.undo.get("groups", ())
        if (group := now.get(change["name"])) is not None
        and (
            _subnets(group.subnets) != _subnets(change["without"])
            if change["without"]
            else "Launch" not in group.suspended
        )
    ]


def not_restored(hold: Hold, client: Aws) -> list[str]:
    """The groups that are not as they were before."""
    now = _now(hold, client)
    return [
        change["name"]
        for change in hold.undo.get("groups", ())
        if (group := now.get(change["name"])) is None
        or _subnets(group.subnets) != _subnets(change["before"])
        or set(change["processes"]) & set(group.suspended)
    ]


def _groups(names: Sequence[str]) -> str:
    return f"the group{'' if len(names) == 1 else 's'} {', '.join(names)}"


def _change(group: Group, lost: set[str]) -> dict[str, Any]:
    rest = [subnet for subnet in group.subnets.split(",") if subnet.strip() not in lost]
    wanted = {"AZRebalance"} if rest else {"Launch"}
    return {
        "name": group.name,
        "before": group.subnets,
        "without": ",".join(rest),
        "processes": sorted(wanted - set(group.suspended)),
    }


def _subnets(written: str) -> set[str]:
    return {subnet.strip() for subnet in written.split(",")}


def _now(hold: Hold, client: Aws) -> dict[str, Group]:
    names = [change["name"] for change in hold.undo.get("groups", ())]
    return {group.name: group for group in groups_named(client, access_of(hold), names)}


def _set(hold: Hold, client: Aws, name: str, subnets: str) -> None:
    client.call(
        access_of(hold), "autoscaling", "update_auto_scaling_group",
        AutoScalingGroupName=name, VPCZoneIdentifier=subnets,
    )  # fmt: skip
