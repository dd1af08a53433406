"""Instances are cut off: their security groups are swapped for one that lets nothing through."""

from __future__ import annotations

import random
from typing import Any, ClassVar

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.access import MARK_KEY, access_of, iam, undo
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.instances import ENDED, Instances, held, ids_of
from chaosrun.units import JSON


class Ec2Isolate(Fault[Aws], frozen=True, kw_only=True):
    """Cut EC2 instances off the network, by a security group without rules on every interface.

    Groups are put back when the hold ends. EC2 keeps connections that it tracks open for a
    while, so what is connected already may go on; new connections fail at once. The group of
    ours is taken away afterwards. An Auto Scaling group with a health check of its load balancer
    may replace what is cut off.
    """

    name: ClassVar[str] = "aws.ec2-isolate"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "ec2:DescribeInstances",
        "ec2:DescribeSecurityGroups",
        "ec2:CreateSecurityGroup",
        "ec2:DeleteSecurityGroup",
        "ec2:RevokeSecurityGroupEgress",
        "ec2:ModifyNetworkInterfaceAttribute",
        "ec2:CreateTags",
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"tags": {"app": "checkout"}, "pick": "one"}}

    target: Instances

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        chosen = self.target.choose(client, access, rng)
        targets = tuple(
            each.target({"vpc": each.vpc, "interfaces": each.interfaces})
            for each in chosen.instances
        )
        for target in targets:
            if not target.undo["interfaces"] or not target.undo["vpc"]:
                raise Refused(f"{target.label} has no network interface in a VPC")
        return Hold(
            fault=self.name,
            targets=targets,
            population=chosen.population,
            populations=chosen.populations,
            effect="they are cut off the network",
            undo=undo(access),
            way_back="chaosrun puts their security groups back",
            mechanism="a security group without rules",
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access = access_of(hold)
        groups = {group["VpcId"]: group for group in _ours(hold, client)}
        for vpc in sorted({target.undo["vpc"] for target in hold.targets}):
            group = groups.get(vpc)
            group_id = group["GroupId"] if group else _created(hold, client, vpc)
            # A new group lets everything out: the rule is seen, so it is taken away but once.
            if group is None or group.get("IpPermissionsEgress"):
                (now,) = client.pages(
                    access, "ec2", "describe_security_groups", "SecurityGroups",
                    GroupIds=[group_id],
                )  # fmt: skip
                if now["IpPermissionsEgress"]:
                    client.call(
                        access, "ec2", "revoke_security_group_egress",
                        GroupId=group_id, IpPermissions=now["IpPermissionsEgress"],
                    )  # fmt: skip
            for target in hold.targets:
                if target.undo["vpc"] == vpc:
                    for interface in target.undo["interfaces"]:
                        _set(hold, client, interface, [group_id])

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        ours = {group["GroupId"] for group in _ours(hold, client)}
        before = _before(hold)
        for instance in held(hold, client):
            for interface, groups in instance.interfaces.items():
                if ours & set(groups) and interface in before:
                    _set(hold, client, interface, before[interface])
        for group in sorted(ours):
            client.call(access_of(hold), "ec2", "delete_security_group", GroupId=group)

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        closed = {
            group["GroupId"]
            for group in _ours(hold, client)
            if not group["IpPermissions"] and not group["IpPermissionsEgress"]
        }
        now = {each.id: each for each in held(hold, client)}
        cut = [
            target.label
            for target in hold.targets
            if (one := now.get(target.id))
            and one.interfaces
            and all(groups and set(groups) <= closed for groups in one.interfaces.values())
        ]
        return Evidence(
            len(cut) == len(hold.targets), f"{len(cut)} of {len(hold.targets)} are cut off"
        )

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        ours = [group["GroupId"] for group in _ours(hold, client)]
        now = {each.id: each for each in held(hold, client) if each.state not in ENDED}
        wrong = [
            target.label
            for target in hold.targets
            if target.id not in now
            or any(
                now[target.id].interfaces.get(interface) != groups
                for interface, groups in target.undo["interfaces"].items()
            )
        ]
        said = [f"not as before: {', '.join(wrong)}"] if wrong else []
        said += [f"our group is still there: {', '.join(ours)}"] if ours else []
        return Evidence(not said, "; ".join(said) or "each has its security groups again")


def _before(hold: Hold) -> dict[str, list[str]]:
    """The security groups that each interface had."""
    return {i: groups for target in hold.targets for i, groups in target.undo["interfaces"].items()}


def _ours(hold: Hold, client: Aws) -> list[dict[str, Any]]:
    found = client.pages(
        access_of(hold), "ec2", "describe_security_groups", "SecurityGroups",
        Filters=[{"Name": f"tag:{MARK_KEY}", "Values": [marks.value(hold)]}],
    )  # fmt: skip
    return sorted(found, key=lambda group: str(group["GroupId"]))


def _created(hold: Hold, client: Aws, vpc: str) -> str:
    made = client.call(
        access_of(hold), "ec2", "create_security_group",
        GroupName=f"chaosrun-{hold.mark}", VpcId=vpc,
        Description=f"chaosrun cuts off {len(ids_of(hold))} instances",
        TagSpecifications=marks.on_creation(hold, "security-group"),
    )  # fmt: skip
    return str(made["GroupId"])


def _set(hold: Hold, client: Aws, interface: str, groups: list[str]) -> None:
    client.call(
        access_of(hold), "ec2", "modify_network_interface_attribute",
        NetworkInterfaceId=interface, Groups=groups,
    )  # fmt: skip
