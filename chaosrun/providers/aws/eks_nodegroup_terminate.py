"""Nodes of an EKS node group are terminated, and the node group replaces them."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.aws import healing
from chaosrun.providers.aws.access import Access, access_of, iam, undo
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.groups import groups_named
from chaosrun.providers.aws.instances import described
from chaosrun.providers.aws.picking import Per, picked
from chaosrun.targeting import Pick, populations
from chaosrun.units import JSON


class Nodes(Access, frozen=True, kw_only=True):
    """Nodes of one managed node group that are in service."""

    cluster: Annotated[str, Meta(description="The cluster's name or ARN", min_length=1)]
    nodegroup: Annotated[str, Meta(description="The node group's name", min_length=1)]
    zone: Annotated[str, Meta(description="Only those of this availability zone")] = ""
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")
    per: Per = "all"


class EksNodegroupTerminate(Fault[Aws], frozen=True, kw_only=True):
    """Terminate nodes of an EKS managed node group, and see that it replaces them.

    Nothing is drained first: it is a loss, not an update. Refused unless the node group is active
    and without health issues, and its Auto Scaling groups can heal, as for aws.asg-terminate. It
    has healed when the desired count is in service again and the node group is active. A
    replacement takes minutes: give the step a `timeout`.
    """

    name: ClassVar[str] = "aws.eks-nodegroup-terminate"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    permissions: ClassVar[tuple[Permission, ...]] = iam("eks:DescribeNodegroup", *healing.CALLS)
    example: ClassVar[dict[str, JSON]] = {
        "target": {"cluster": "shop", "nodegroup": "workers", "pick": "one"}
    }

    target: Nodes

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access, wanted = client.settle(self.target.access()), self.target
        cluster = access.named(wanted.cluster)
        status, issues, names = _look(client, access, cluster, wanted.nodegroup)
        if status != "ACTIVE" or issues:
            raise Refused(
                f"{wanted.nodegroup} is {status}" + "".join(f"; {issue}" for issue in issues),
                hint="wait until it is active and has no health issue",
            )
        groups = groups_named(client, access, names)
        if missing := sorted(set(names) - {group.name for group in groups}):
            raise Refused(f"no Auto Scaling group {', '.join(missing)} in {access.region}")
        heals = [healing.how_it_heals(client, access, group) for group in groups]
        whole = healing.serving(access, groups)
        able = healing.serving(access, groups, wanted.zone, protected=False)
        targets = picked(able, wanted.pick, rng, per=wanted.per)
        return Hold(
            fault=self.name,
            targets=described(client, access, targets),
            population=len(whole),
            populations=populations(whole),
            effect="they are terminated, while " + healing.what_is_left(groups, targets),
            undo=undo(
                access, cluster=cluster, nodegroup=wanted.nodegroup, **healing.undo_of(groups)
            ),
            way_back="; ".join(dict.fromkeys(heals)),
            mechanism="TerminateInstanceInAutoScalingGroup, the desired capacity kept",
            reversal=self.reversal,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        healing.terminate(hold, client)

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        """The node group does it: it is waited for, as long as the step's `timeout`."""
        healing.await_healed(hold, client)

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        return healing.ended(hold, client)

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        healed, name = healing.healed(hold, client), hold.undo["nodegroup"]
        status, issues, _ = _look(client, access_of(hold), hold.undo["cluster"], name)
        said = "; ".join([healed.detail, f"{name} is {status}", *issues])
        return Evidence(healed.seen and status == "ACTIVE", said, healed.measured)


def _look(
    client: Aws, access: Access, cluster: str, nodegroup: str
) -> tuple[str, list[str], list[str]]:
    """The node group's status, its health issues, and the names of its Auto Scaling groups."""
    found = client.call(
        access, "eks", "describe_nodegroup", clusterName=cluster, nodegroupName=nodegroup
    )["nodegroup"]  # fmt: skip
    issues = [
        f"{issue['code']}: {issue.get('message', '')}"
        for issue in found.get("health", {}).get("issues", ())
    ]
    groups = [one["name"] for one in found.get("resources", {}).get("autoScalingGroups", ())]
    return found["status"], issues, sorted(groups)
