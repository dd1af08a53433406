"""Targets are taken out of a load balancer's target group, and registered again."""

from __future__ import annotations

import random
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.access import Access, access_of, belonging, iam, labels_of, undo
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.target_groups import arn_of, health_of
from chaosrun.targeting import Pick, Target, pick, populations
from chaosrun.units import JSON

_AWAY = ("draining", "unused")


class Registered(Access, frozen=True, kw_only=True):
    """Targets of one target group."""

    target_group: Annotated[str, Meta(description="The target group's name or ARN", min_length=1)]
    ids: Annotated[tuple[str, ...], Meta(description="Only targets of these ids or ARNs")] = ()
    zone: Annotated[str, Meta(description="Only targets registered for this zone")] = ""
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")


class ElbDeregister(Fault[Aws], frozen=True, kw_only=True):
    """Take healthy targets out of a target group, and register them again when the hold ends.

    The load balancer drains them: open requests end in peace, and new ones go elsewhere.
    What is registered again must become healthy first, so give the step a `timeout`.
    """

    name: ClassVar[str] = "aws.elb-deregister"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "elasticloadbalancing:DescribeTargetGroups",
        "elasticloadbalancing:DescribeTargetHealth",
        "elasticloadbalancing:DescribeTags",
        "elasticloadbalancing:DeregisterTargets",
        "elasticloadbalancing:RegisterTargets",
        "elasticloadbalancing:AddTags",
        "elasticloadbalancing:RemoveTags",
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"targetGroup": "checkout", "pick": "one"}}

    target: Registered

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access, wanted = client.settle(self.target.access()), self.target
        arn = arn_of(client, access, wanted.target_group)
        health = health_of(client, access, arn)
        known = {one["Target"]["Id"] for one in health}  # of functions it is an ARN
        ids = {written if written in known else access.named(written) for written in wanted.ids}
        if missing := sorted(ids - known):
            raise Refused(f"{', '.join(missing)}: not in {wanted.target_group}")
        healthy = [one for one in health if one["TargetHealth"]["State"] == "healthy"]
        groups = belonging(access, group=arn.rsplit("/", 2)[-2])
        labels = labels_of(_tags(client, access, arn))
        population = [(_as_target(arn, one["Target"], labels, groups), one) for one in healthy]
        targets = pick(
            [
                target
                for target, one in population
                if (not ids or one["Target"]["Id"] in ids)
                and wanted.zone in ("", one["Target"].get("AvailabilityZone", ""))
            ],
            wanted.pick,
            rng,
        )
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(healthy),
            populations=populations(target for target, _ in population),
            effect="the load balancer sends them nothing",
            undo=undo(access, arn=arn),
            way_back="chaosrun registers them again",
            mechanism="DeregisterTargets",
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access, arn = access_of(hold), hold.undo["arn"]
        if there := [target.undo for target in hold.targets if target.id in _serving(hold, client)]:
            client.call(
                access, "elbv2", "add_tags", ResourceArns=[arn], Tags=marks.with_way_back(hold)
            )
            client.call(access, "elbv2", "deregister_targets", TargetGroupArn=arn, Targets=there)

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        access, arn = access_of(hold), hold.undo["arn"]
        now = _serving(hold, client)
        if gone := [target.undo for target in hold.targets if target.id not in now]:
            client.call(access, "elbv2", "register_targets", TargetGroupArn=arn, Targets=gone)
        if _marked(hold, client):
            client.call(
                access, "elbv2", "remove_tags", ResourceArns=[arn], TagKeys=marks.keys(hold)
            )

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        now = _serving(hold, client)
        gone = [target.label for target in hold.targets if target.id not in now]
        return Evidence(
            len(gone) == len(hold.targets),
            f"{len(gone)} of {len(hold.targets)} are out; {len(now)} others are registered",
        )

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        now = _serving(hold, client)
        states = {target.label: now.get(target.id, "out") for target in hold.targets}
        marked = _marked(hold, client)
        said = "; ".join(f"{label} is {state}" for label, state in states.items())
        return Evidence(
            all(state == "healthy" for state in states.values()) and not marked,
            said + ("; the target group is still tagged" if marked else ""),
        )


def _as_target(
    arn: str,
    written: dict[str, Any],
    labels: dict[str, str] | None = None,
    groups: dict[str, str] | None = None,
) -> Target:
    """A target; its labels are those of its target group, for what is registered has none."""
    port = f":{written['Port']}" if "Port" in written else ""
    name = f"{written['Id']}{port}"
    return Target(
        kind="elb-target",
        id=f"{arn}/{name}",
        name=name,
        domain=written.get("AvailabilityZone", ""),
        labels=labels,
        groups=groups or {},
        undo={k: written[k] for k in ("Id", "Port", "AvailabilityZone") if k in written},
    )


def _serving(hold: Hold, client: Aws) -> dict[str, str]:
    """The state of each target that is registered, by the target's id."""
    arn = hold.undo["arn"]
    return {
        _as_target(arn, one["Target"]).id: one["TargetHealth"]["State"]
        for one in health_of(client, access_of(hold), arn)
        if one["TargetHealth"]["State"] not in _AWAY
    }


def _marked(hold: Hold, client: Aws) -> bool:
    """Whether the target group has our tag, and not another's."""
    (ours,) = marks.tags(hold)
    return ours in _tags(client, access_of(hold), hold.undo["arn"])


def _tags(client: Aws, access: Access, arn: str) -> list[dict[str, str]]:
    """The target group's tags."""
    found = client.pages(
        access, "elbv2", "describe_tags", "TagDescriptions", ResourceArns=[arn]
    )  # fmt: skip
    return [tag for one in found for tag in one["Tags"]]
