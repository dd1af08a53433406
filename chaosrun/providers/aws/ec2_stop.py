"""Instances are stopped, and started again.

Law (L2): what EC2 shows may be old, what it answers to a start is not. So all are started, however
they look, and only when EC2 answers that they ran already is anything else taken away.
"""

from __future__ import annotations

import random
import re
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun import commands
from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Expiry, Fault, Hold, Permission
from chaosrun.network import has_reference
from chaosrun.providers.aws import marks, restarts
from chaosrun.providers.aws.access import access_of, iam, undo
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.instances import (
    ENDED,
    Instances,
    await_state,
    held,
    ids_of,
    in_words,
)
from chaosrun.units import JSON

APART = 1.0
"""The seconds between two looks, of which one may be old."""
_ROLE = re.compile(r"arn:[\w-]+:iam::\d{12}:role/\S+")


class Ec2Stop(Fault[Aws], frozen=True, kw_only=True):
    """Stop EC2 instances, and start them again when the hold ends.

    With a `restartRole` a one-shot schedule, made before they are stopped, starts them at the
    deadline. Disks are kept; memory, instance stores and a public address that is not an Elastic
    IP are not. Stopping and starting take minutes: give the step a `timeout`. An instance of an
    Auto Scaling group is refused, for its group would replace it: there is aws.asg-terminate.
    """

    name: ClassVar[str] = "aws.ec2-stop"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceAttribute",
        "ec2:StopInstances",
        "ec2:StartInstances",
        "ec2:CreateTags",
        "ec2:DeleteTags",
        *restarts.RIGHTS,  # with a restartRole only
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"tags": {"app": "checkout"}, "pick": "one"}}

    target: Instances
    restart_role: Annotated[
        str,
        Meta(
            description="The ARN of a role by which EventBridge Scheduler may start them: then AWS"
            " starts them at the deadline even if chaosrun never comes back"
        ),
    ] = ""

    def __post_init__(self) -> None:
        role = self.restart_role
        if role and not has_reference(role) and not _ROLE.fullmatch(role):
            raise ValueError(f"{role!r} is not the ARN of a role")

    def needs(self) -> tuple[Permission, ...]:
        if self.restart_role:
            return self.permissions
        return tuple(each for each in self.permissions if each.action not in restarts.RIGHTS)

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        chosen = self.target.choose(client, access, rng)
        chosen.refuse_members()
        for target, one in zip(chosen.targets, chosen.instances, strict=True):
            if one.root != "ebs" or one.lifecycle:
                what = "a spot instance" if one.lifecycle else "on an instance store"
                raise Refused(f"{target.label} is {what}, and might not come back")
        chosen.refuse_protected(client, access, "disableApiStop", "stop")
        client.dry_run(access, "ec2", "stop_instances", InstanceIds=chosen.ids)
        client.dry_run(access, "ec2", "start_instances", InstanceIds=chosen.ids)
        way_back, expiry = "chaosrun starts them again", Expiry.RUNNER
        if self.restart_role:
            access.named(self.restart_role)  # of this account
            way_back += "; if it is gone, a schedule of EventBridge does"
            expiry = Expiry.TARGET
        return Hold(
            fault=self.name,
            targets=chosen.targets,
            population=chosen.population,
            populations=chosen.populations,
            effect="they are stopped",
            undo=undo(access, **({"restart": self.restart_role} if self.restart_role else {})),
            way_back=way_back,
            mechanism="StopInstances",
            expiry=expiry,
            used=self.needs(),
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        ids = ids_of(hold)
        lost = set(ids) - {each.id for each in held(hold, client) if each.state not in ENDED}
        if lost:
            raise Refused(f"{', '.join(sorted(lost))} ended since they were planned")
        marks.put(hold, client, ids)
        if hold.undo.get("restart"):
            restarts.arm(hold, client)
        client.call(access_of(hold), "ec2", "stop_instances", InstanceIds=ids)
        await_state(hold, client, ids, "stopped")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        there = [each.id for each in held(hold, client) if each.state not in ENDED]
        await_state(hold, client, there, "stopped", "pending", "running")  # from these it can start

        def ran_already() -> bool:
            said = client.call(access_of(hold), "ec2", "start_instances", InstanceIds=there)
            await_state(hold, client, there, "running")
            return all(
                one["PreviousState"]["Name"] == "running" for one in said["StartingInstances"]
            )

        if there:
            until(ran_already, f"{', '.join(there)} should be running")
        restarts.disarm(hold, client)
        marks.take(hold, client, there)

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        now = held(hold, client)
        stopped = {each.id for each in now if each.state == "stopped"}
        return Evidence(stopped == set(ids_of(hold)), in_words(hold, now))

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        seen = _as_before(hold, client)
        if seen.seen:
            commands.pause(APART)
            seen = _as_before(hold, client)
        return seen


def _as_before(hold: Hold, client: Aws) -> Evidence:
    now = held(hold, client)
    running = {each.id for each in now if each.state == "running"}
    marked = [each.id for each in now if each.mark == marks.value(hold)]
    armed = restarts.armed(hold, client)
    tail = f"; still tagged: {', '.join(marked)}" if marked else ""
    tail += "; the schedule is still there" if armed else ""
    well = running == set(ids_of(hold)) and not marked and not armed
    return Evidence(well, in_words(hold, now) + tail)
