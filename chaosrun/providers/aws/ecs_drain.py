"""Container instances of an ECS cluster are drained, and made active again."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.access import Access, access_of, belonging, iam, labels_of, undo
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.instances import look
from chaosrun.providers.aws.picking import PerZone, picked
from chaosrun.targeting import Pick, Target, populations
from chaosrun.units import JSON

_AT_ONCE, _UPDATED_AT_ONCE = 100, 10
_ZONE = "ecs.availability-zone"


class ContainerInstances(Access, frozen=True, kw_only=True):
    """Container instances of one ECS cluster that are active, on EC2."""

    cluster: Annotated[str, Meta(description="The cluster's name or ARN", min_length=1)]
    ids: Annotated[
        tuple[str, ...],
        Meta(description="Only these: ids or ARNs of container instances or of EC2 instances"),
    ] = ()
    zone: Annotated[str, Meta(description="Only those of this availability zone")] = ""
    attributes: Annotated[dict[str, str], Meta(description="Only those with these attributes")] = {}
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")
    per: PerZone = "all"


class EcsDrain(Fault[Aws], frozen=True, kw_only=True):
    """Drain container instances of an ECS cluster, and make them active again when the hold ends.

    No new task is placed on them, and services start their tasks elsewhere, as their deployment
    configuration allows. Tasks that moved do not come back by themselves.
    """

    name: ClassVar[str] = "aws.ecs-drain"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "ecs:ListContainerInstances",
        "ecs:DescribeContainerInstances",
        "ecs:UpdateContainerInstancesState",
        "ec2:DescribeInstances",
        "ec2:CreateTags",
        "ec2:DeleteTags",
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"cluster": "shop", "pick": "one"}}

    target: ContainerInstances

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access, wanted = client.settle(self.target.access()), self.target
        cluster = access.named(wanted.cluster)
        arns = client.pages(
            access, "ecs", "list_container_instances", "containerInstanceArns",
            cluster=cluster, status="ACTIVE",
        )  # fmt: skip
        found = _described(client, access, cluster, arns)
        active = [
            (_target(access, cluster, one), _attributes(one))
            for one in found
            if one["status"] == "ACTIVE"
        ]
        ids = {access.named(written) for written in wanted.ids}
        known = {name for target, _ in active for name in (target.name, _short(target))}
        if missing := sorted(ids - known):
            raise Refused(f"{', '.join(missing)}: not active in {wanted.cluster}")
        able = [
            target
            for target, attributes in active
            if (not ids or ids & {target.name, _short(target)})
            and wanted.zone in ("", target.domain)
            and wanted.attributes.items() <= attributes.items()
        ]
        targets = picked(able, wanted.pick, rng, per=wanted.per)
        for target in targets:
            if not target.name.startswith("i-"):
                raise Refused(f"{target.label} is not an EC2 instance, and cannot be marked")
        whole = [target for target, _ in active]
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(whole),
            populations=populations(whole),
            effect="they are drained: their services' tasks move, and nothing is placed on them",
            undo=undo(access, cluster=cluster),
            way_back="chaosrun makes them active again",
            mechanism="UpdateContainerInstancesState",
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        now = _states(hold, client)
        if lost := [t.label for t in hold.targets if now.get(t.id) not in ("ACTIVE", "DRAINING")]:
            raise Refused(f"{', '.join(lost)} left the cluster since they were planned")
        marks.put(hold, client, [target.name for target in hold.targets])
        _set(hold, client, [t.id for t in hold.targets if now[t.id] == "ACTIVE"], "DRAINING")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        now = _states(hold, client)
        _set(hold, client, [t.id for t in hold.targets if now.get(t.id) == "DRAINING"], "ACTIVE")
        marks.take(hold, client, _marked(hold, client))

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        now = _states(hold, client)
        drained = [target.id for target in hold.targets if now.get(target.id) == "DRAINING"]
        return Evidence(len(drained) == len(hold.targets), _in_words(hold, now))

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        now = _states(hold, client)
        active = [target.id for target in hold.targets if now.get(target.id) == "ACTIVE"]
        marked = _marked(hold, client)
        tail = f"; still tagged: {', '.join(marked)}" if marked else ""
        return Evidence(
            len(active) == len(hold.targets) and not marked, _in_words(hold, now) + tail
        )


def _target(access: Access, cluster: str, written: dict[str, Any]) -> Target:
    return Target(
        kind="ecs-container-instance",
        id=written["containerInstanceArn"],
        name=written.get("ec2InstanceId", ""),
        domain=_attributes(written).get(_ZONE, ""),
        labels=labels_of(written.get("tags", ())),
        groups=belonging(access, group=cluster),
    )


def _short(target: Target) -> str:
    """The id that ends a container instance's ARN."""
    return target.id.rpartition("/")[2]


def _attributes(written: dict[str, Any]) -> dict[str, str]:
    return {one["name"]: one.get("value", "") for one in written.get("attributes", ())}


def _described(
    client: Aws, access: Access, cluster: str, arns: Sequence[str]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for start in range(0, len(arns), _AT_ONCE):
        found += client.call(
            access, "ecs", "describe_container_instances",
            cluster=cluster, containerInstances=list(arns[start : start + _AT_ONCE]),
            include=["TAGS"],
        )["containerInstances"]  # fmt: skip
    return found


def _states(hold: Hold, client: Aws) -> dict[str, str]:
    """The state of each target that is still in the cluster, by its ARN."""
    arns = [target.id for target in hold.targets]
    found = _described(client, access_of(hold), hold.undo["cluster"], arns)
    return {one["containerInstanceArn"]: one["status"] for one in found}


def _set(hold: Hold, client: Aws, arns: Sequence[str], state: str) -> None:
    for start in range(0, len(arns), _UPDATED_AT_ONCE):
        answer = client.call(
            access_of(hold), "ecs", "update_container_instances_state",
            cluster=hold.undo["cluster"], status=state,
            containerInstances=list(arns[start : start + _UPDATED_AT_ONCE]),
        )  # fmt: skip
        if failed := answer.get("failures"):
            said = ", ".join(f"{one.get('arn')}: {one.get('reason')}" for one in failed)
            raise Refused(f"could not be made {state}: {said}")


def _marked(hold: Hold, client: Aws) -> list[str]:
    names = [target.name for target in hold.targets]
    found = look(client, access_of(hold), names)
    return [each.id for each in found if each.mark == marks.value(hold)]


def _in_words(hold: Hold, now: dict[str, str]) -> str:
    return "; ".join(f"{t.label} is {now.get(t.id, 'gone')}" for t in hold.targets)
