"""The subnets of an availability zone are cut off, by a network ACL that lets nothing through."""

from __future__ import annotations

import random
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission
from chaosrun.providers.aws import keeping_out, marks
from chaosrun.providers.aws.access import (
    MARK_KEY,
    Access,
    access_of,
    belonging,
    iam,
    labels_of,
    undo,
)  # fmt: skip
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.instances import ids_of
from chaosrun.targeting import Pick, Target, pick, populations
from chaosrun.units import JSON


class Subnets(Access, frozen=True, kw_only=True):
    """Subnets of one VPC that are in one zone."""

    vpc: Annotated[str, Meta(description="The id or ARN of the VPC", min_length=1)]
    zone: Annotated[str, Meta(description="The name of the availability zone", min_length=1)]
    tags: Annotated[dict[str, str], Meta(description="Only subnets with these tags")] = {}
    subnets: Annotated[tuple[str, ...], Meta(description="Only subnets of these ids or ARNs")] = ()
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("all")


class AzOutage(Fault[Aws], frozen=True, kw_only=True):
    """Cut the subnets of an availability zone off, from outside and from one another.

    A network ACL without rules takes the place of each subnet's own, which is put back when the
    hold ends. Traffic within one subnet goes on. As in a real outage, no Auto Scaling group can
    launch there meanwhile: the subnets are taken out of its list, and rebalancing is suspended so
    that it does not terminate what it has there; a group with no other subnet cannot launch at all.
    Its list and its processes are put back exactly. The blast radius is measured against the VPC's
    subnets in all zones.
    """

    name: ClassVar[str] = "aws.az-outage"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "ec2:DescribeSubnets",
        "ec2:DescribeNetworkAcls",
        "ec2:CreateNetworkAcl",
        "ec2:DeleteNetworkAcl",
        "ec2:ReplaceNetworkAclAssociation",
        "ec2:CreateTags",
        *keeping_out.CALLS,
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"vpc": "vpc-0a1b2c3d4e5f60718", "zone": "eu-west-1a"}
    }

    target: Subnets
    groups: Annotated[
        Literal["keep-out", "leave"],
        Meta(
            description="Keep Auto Scaling groups from launching there, or leave them as they are"
        ),
    ] = "keep-out"

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access, wanted = client.settle(self.target.access()), self.target
        vpc, chosen = access.named(wanted.vpc), {access.named(one) for one in wanted.subnets}
        filters = [{"Name": "vpc-id", "Values": [vpc]}]
        filters += [
            {"Name": f"tag:{key}", "Values": [value]} for key, value in sorted(wanted.tags.items())
        ]
        found = client.pages(access, "ec2", "describe_subnets", "Subnets", Filters=filters)
        known = {subnet["SubnetId"] for subnet in found}
        if missing := sorted(chosen - known):
            raise Refused(f"{', '.join(missing)}: not in {vpc} as selected")
        acls = _associations(client, access, vpc)
        subnets = [
            Target(
                kind="subnet",
                id=subnet["SubnetId"],
                domain=subnet["AvailabilityZone"],
                labels=labels_of(subnet.get("Tags", ())),
                groups=belonging(access),
                undo={"acl": acls[subnet["SubnetId"]]["NetworkAclId"]},
            )
            for subnet in found
        ]
        targets = pick(
            [
                subnet
                for subnet in subnets
                if subnet.domain == wanted.zone and (not chosen or subnet.id in chosen)
            ],
            wanted.pick,
            rng,
        )
        groups = (
            keeping_out.plan(client, access, [target.id for target in targets])
            if self.groups == "keep-out"
            else []
        )
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(found),
            populations=populations(subnets),
            effect=f"they are cut off, as if {wanted.zone} were lost",
            undo=undo(access, vpc=vpc, groups=groups),
            way_back="chaosrun gives each subnet its network ACL again"
            + (", and each group its subnets" if groups else ""),
            mechanism="a network ACL without rules" + keeping_out.in_words(groups),
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access, vpc = access_of(hold), hold.undo["vpc"]
        ours = _ours(hold, client)
        acl = ours[0] if ours else _created(hold, client)
        keeping_out.inject(hold, client)
        now = _associations(client, access, vpc)
        for target in hold.targets:
            _associate(hold, client, now[target.id], acl)

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        ours = _ours(hold, client)
        now = _associations(client, access_of(hold), hold.undo["vpc"]) if ours else {}
        for target in hold.targets:
            if target.id in now and now[target.id]["NetworkAclId"] in ours:
                _associate(hold, client, now[target.id], target.undo["acl"])
        keeping_out.revert(hold, client)  # when what they launch there can be reached again
        for acl in ours:  # the last: it bears the mark
            client.call(access_of(hold), "ec2", "delete_network_acl", NetworkAclId=acl)

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        ours = _ours(hold, client)
        now = _associations(client, access_of(hold), hold.undo["vpc"])
        cut = [t for t in ids_of(hold) if t in now and now[t]["NetworkAclId"] in ours]
        free = keeping_out.not_kept(hold, client)
        said = f"{len(cut)} of {len(hold.targets)} are cut off"
        said += f"; {', '.join(free)} can launch there" if free else ""
        return Evidence(len(cut) == len(hold.targets) and not free, said)

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        ours = _ours(hold, client)
        now = _associations(client, access_of(hold), hold.undo["vpc"])
        wrong = [
            target.label
            for target in hold.targets
            if target.id not in now or now[target.id]["NetworkAclId"] != target.undo["acl"]
        ]
        said = [f"not as before: {', '.join(wrong)}"] if wrong else []
        said += [f"our network ACL is still there: {', '.join(ours)}"] if ours else []
        left = keeping_out.not_restored(hold, client)
        said += [f"groups not as before: {', '.join(left)}"] if left else []
        well = "each has its network ACL again"
        well += ", and each group its subnets" if hold.undo.get("groups") else ""
        return Evidence(not said, "; ".join(said) or well)


def _associations(client: Aws, access: Access, vpc: str) -> dict[str, dict[str, Any]]:
    """The association of each subnet with a network ACL."""
    found = client.pages(
        access, "ec2", "describe_network_acls", "NetworkAcls",
        Filters=[{"Name": "vpc-id", "Values": [vpc]}],
    )  # fmt: skip
    return {one["SubnetId"]: one for acl in found for one in acl["Associations"]}


def _associate(hold: Hold, client: Aws, association: dict[str, Any], acl: str) -> None:
    if association["NetworkAclId"] != acl:
        client.call(
            access_of(hold), "ec2", "replace_network_acl_association",
            AssociationId=association["NetworkAclAssociationId"], NetworkAclId=acl,
        )  # fmt: skip


def _ours(hold: Hold, client: Aws) -> list[str]:
    found = client.pages(
        access_of(hold), "ec2", "describe_network_acls", "NetworkAcls",
        Filters=[{"Name": f"tag:{MARK_KEY}", "Values": [marks.value(hold)]}],
    )  # fmt: skip
    return sorted(acl["NetworkAclId"] for acl in found)


def _created(hold: Hold, client: Aws) -> str:
    made = client.call(
        access_of(hold), "ec2", "create_network_acl",
        VpcId=hold.undo["vpc"], TagSpecifications=marks.on_creation(hold, "network-acl"),
    )  # fmt: skip
    return str(made["NetworkAcl"]["NetworkAclId"])
