"""A cache's primary is lost: in shards of a replication group a replica takes over."""

from __future__ import annotations

import random
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.aws.access import Access, access_of, belonging, iam, labels_of, undo
from chaosrun.providers.aws.client import Aws, until
from chaosrun.targeting import Pick, Target, pick, populations
from chaosrun.units import JSON

_COMPLETED = "Failover from primary node"


class Shards(Access, frozen=True, kw_only=True):
    """Shards (node groups) of one replication group."""

    replication_group: Annotated[
        str, Meta(description="The replication group's id or ARN", min_length=1)
    ]
    shards: Annotated[tuple[str, ...], Meta(description="Only shards of these ids")] = ()
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")


class ElasticacheFailover(Fault[Aws], frozen=True, kw_only=True):
    """Make shards of an ElastiCache replication group fail over to a replica.

    Refused unless the group is available, fails over automatically, and each picked shard has a
    replica. The evidence is who the primary is; where ElastiCache does not tell (cluster mode), its
    own event of the failover. ElastiCache allows so many tests in a day, and replaces the node that
    was the primary. It has healed when the group and its shards are available, with as many members
    as before. This takes minutes: give the step a `timeout`.
    """

    name: ClassVar[str] = "aws.elasticache-failover"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "elasticache:DescribeReplicationGroups",
        "elasticache:DescribeEvents",
        "elasticache:ListTagsForResource",
        "elasticache:TestFailover",
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"replicationGroup": "sessions", "pick": "one"}}

    target: Shards

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access, wanted = client.settle(self.target.access()), self.target
        name = access.named(wanted.replication_group)
        group = _group(client, access, name)
        if group["Status"] != "available":
            raise Refused(f"{name} is {group['Status']}, not available")
        if group.get("AutomaticFailover") != "enabled":
            raise Refused(f"{name} does not fail over automatically")
        shards = {one["NodeGroupId"]: one for one in group["NodeGroups"]}
        if missing := sorted(set(wanted.shards) - set(shards)):
            raise Refused(f"{', '.join(missing)}: no shard of {name}")
        labels = _labels(client, access, group)
        whole = [
            Target(
                kind="elasticache-shard",
                id=f"{group.get('ARN', name)}/{shard}",
                name=shard,
                domain=_primary(one).get("PreferredAvailabilityZone", ""),
                labels=labels,
                groups=belonging(access, workload=name, group=name),
                undo={
                    "primary": _primary(one).get("CacheClusterId", ""),
                    "members": len(one["NodeGroupMembers"]),
                },
            )
            for shard, one in shards.items()
        ]
        able = [target for target in whole if not wanted.shards or target.name in wanted.shards]
        targets = pick(able, wanted.pick, rng)
        for target in targets:
            if target.undo["members"] < 2:
                raise Refused(f"shard {target.name} of {name} has no replica to fail over to")
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(shards),
            populations=populations(whole),
            effect="a replica takes over from the primary",
            undo=undo(access, group=name, seen=_failovers(client, access, name)),
            way_back="the shard has another primary, and the old one is replaced",
            mechanism="TestFailover",
            reversal=self.reversal,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access, name = access_of(hold), hold.undo["group"]
        for target in hold.targets:  # one at a time: a group fails over one shard after another
            if target.name in _over(hold, client):
                continue
            client.call(
                access, "elasticache", "test_failover",
                ReplicationGroupId=name, NodeGroupId=target.name,
            )  # fmt: skip

            def over(shard: str = target.name) -> bool:
                return shard in _over(hold, client)

            until(over, f"shard {target.name} of {name} should have another primary")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        """ElastiCache does it: it is waited for, as long as the step's `timeout`."""
        name = hold.undo["group"]
        until(lambda: cls.restored(hold, client).seen, f"{name} should be whole")

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        over = _over(hold, client)
        said = "; ".join(
            f"{target.name} {'failed over' if target.name in over else 'did not fail over'}"
            for target in hold.targets
        )
        return Evidence(len(over) == len(hold.targets), said)

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        group = _group(client, access_of(hold), hold.undo["group"])
        well, said = group["Status"] == "available", [f"the group is {group['Status']}"]
        for target in hold.targets:
            shard = _shard(group, target)
            members = len(shard.get("NodeGroupMembers", ()))
            status = shard.get("Status", "gone")
            primary = _primary(shard).get("CacheClusterId", "")
            whole = members >= target.undo["members"] and (primary or not target.undo["primary"])
            well = well and status == "available" and bool(whole)
            known = f", the primary is {primary}" if primary else ""
            said.append(f"{target.name} is {status}: {members} members{known}")
        return Evidence(well, "; ".join(said))


def _group(client: Aws, access: Access, name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = client.pages(
        access, "elasticache", "describe_replication_groups", "ReplicationGroups",
        ReplicationGroupId=name,
    )  # fmt: skip
    return found[0]


def _labels(client: Aws, access: Access, group: dict[str, Any]) -> dict[str, str]:
    found = client.call(
        access, "elasticache", "list_tags_for_resource", ResourceName=group["ARN"]
    )  # fmt: skip
    return labels_of(found.get("TagList", ()))


def _shard(group: dict[str, Any], target: Target) -> dict[str, Any]:
    found = [one for one in group["NodeGroups"] if one["NodeGroupId"] == target.name]
    return found[0] if found else {}


def _primary(shard: dict[str, Any]) -> dict[str, Any]:
    """The member of a shard that is its primary; in cluster mode roles are not told."""
    members: list[dict[str, Any]] = shard.get("NodeGroupMembers", [])
    return next((one for one in members if one.get("CurrentRole") == "primary"), {})


def _failovers(client: Aws, access: Access, name: str) -> list[str]:
    """The failovers of the last hour, as ElastiCache tells of them, each with its time."""
    found = client.pages(
        access, "elasticache", "describe_events", "Events",
        SourceIdentifier=name, SourceType="replication-group", Duration=60,
    )  # fmt: skip
    return sorted(
        f"{one['Date'].isoformat()} {one['Message']}"
        for one in found
        if one.get("Message", "").startswith(_COMPLETED)
    )


def _over(hold: Hold, client: Aws) -> set[str]:
    """The names of the targets that failed over since the plan."""
    access, name = access_of(hold), hold.undo["group"]
    group = _group(client, access, name)
    new = set(_failovers(client, access, name)) - set(hold.undo["seen"])
    over: set[str] = set()
    for target in hold.targets:
        if before := target.undo["primary"]:
            now = _primary(_shard(group, target)).get("CacheClusterId", before)
            moved = now != before
        else:  # a node's name has that of its shard in it
            moved = any(f" {name}-{target.name}-" in message for message in new)
        if moved:
            over.add(target.name)
    return over
