"""Instances are stopped, and started again."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.access import access_of, iam, undo
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.instances import (
    ENDED,
    Instances,
    await_state,
    held,
    ids_of,
    in_words,
)
from chaosrun.targeting import pick, populations
from chaosrun.units import JSON


class Ec2Stop(Fault[Aws], frozen=True, kw_only=True):
    """Stop EC2 instances, and start them again when the hold ends.

    Disks are kept; memory, instance stores and a public address that is not an Elastic IP are
    not. Stopping and starting take minutes: give the step a `timeout`. An instance of an Auto
    Scaling group is refused, for its group would terminate it: there is aws.asg-terminate.
    """

    name: ClassVar[str] = "aws.ec2-stop"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceAttribute",
        "ec2:StopInstances",
        "ec2:StartInstances",
        "ec2:CreateTags",
        "ec2:DeleteTags",
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"tags": {"app": "checkout"}, "pick": "one"}}

    target: Instances

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        running = {each.id: each for each in self.target.running(client, access)}
        population = [each.target() for each in running.values()]
        targets = pick(population, self.target.pick, rng)
        for target in targets:
            one = running[target.id]
            if one.group:
                raise Refused(
                    f"{target.label} is of the group {one.group}, which would terminate it",
                    hint="use aws.asg-terminate",
                )
            if one.root != "ebs" or one.lifecycle:
                what = "a spot instance" if one.lifecycle else "on an instance store"
                raise Refused(f"{target.label} is {what}, and might not come back")
            protected = client.call(
                access, "ec2", "describe_instance_attribute",
                InstanceId=target.id, Attribute="disableApiStop",
            )  # fmt: skip
            if protected["DisableApiStop"].get("Value"):
                raise Refused(f"{target.label} has stop protection")
        ids = [target.id for target in targets]
        client.dry_run(access, "ec2", "stop_instances", InstanceIds=ids)
        client.dry_run(access, "ec2", "start_instances", InstanceIds=ids)
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(running),
            populations=populations(population),
            effect="they are stopped",
            undo=undo(access),
            way_back="chaosrun starts them again",
            mechanism="StopInstances",
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        ids = ids_of(hold)
        lost = set(ids) - {each.id for each in held(hold, client) if each.state not in ENDED}
        if lost:
            raise Refused(f"{', '.join(sorted(lost))} ended since they were planned")
        marks.put(hold, client, ids)
        client.call(access_of(hold), "ec2", "stop_instances", InstanceIds=ids)
        await_state(hold, client, ids, "stopped")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        now = held(hold, client)
        stopping = [each.id for each in now if each.state == "stopping"]
        await_state(hold, client, stopping, "stopped")
        stopped = [each.id for each in now if each.state in ("stopping", "stopped")]
        if stopped:
            client.call(access_of(hold), "ec2", "start_instances", InstanceIds=stopped)
        there = [each.id for each in now if each.state not in ENDED]
        await_state(hold, client, there, "running")
        marks.take(hold, client, there)

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        now = held(hold, client)
        stopped = {each.id for each in now if each.state == "stopped"}
        return Evidence(stopped == set(ids_of(hold)), in_words(hold, now))

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        now = held(hold, client)
        running = {each.id for each in now if each.state == "running"}
        marked = [each.id for each in now if each.mark == marks.value(hold)]
        tail = f"; still tagged: {', '.join(marked)}" if marked else ""
        return Evidence(running == set(ids_of(hold)) and not marked, in_words(hold, now) + tail)
