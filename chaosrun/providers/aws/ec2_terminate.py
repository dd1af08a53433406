"""Instances are terminated, for good."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.aws.access import access_of, iam, undo
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.instances import ENDED, Instances, await_state, held, ids_of, in_words
from chaosrun.units import JSON


class Ec2Terminate(Fault[Aws], frozen=True, kw_only=True):
    """Terminate EC2 instances. They do not come back, and their disks go as each one's
    DeleteOnTermination says.

    This cannot be undone, so the experiment must accept it by name. For an instance of an Auto
    Scaling group there is aws.asg-terminate, which sees that the group heals; here it is refused.
    """

    name: ClassVar[str] = "aws.ec2-terminate"
    reversal: ClassVar[Reversal] = Reversal.IRREVERSIBLE
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "ec2:DescribeInstances", "ec2:DescribeInstanceAttribute", "ec2:TerminateInstances"
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"tags": {"app": "batch"}, "pick": "one"}}

    target: Instances

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        chosen = self.target.choose(client, access, rng)
        chosen.refuse_members()
        chosen.refuse_protected(client, access, "disableApiTermination", "termination")
        client.dry_run(access, "ec2", "terminate_instances", InstanceIds=chosen.ids)
        return Hold(
            fault=self.name,
            targets=chosen.targets,
            population=chosen.population,
            populations=chosen.populations,
            effect="they are terminated",
            undo=undo(access),
            way_back="none: they are gone for good",
            mechanism="TerminateInstances",
            reversal=self.reversal,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        there = [each.id for each in held(hold, client) if each.state not in ENDED]
        if there:
            client.call(access_of(hold), "ec2", "terminate_instances", InstanceIds=there)
        await_state(hold, client, there, "terminated")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        """There is none."""

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        now = held(hold, client)
        there = {each.id for each in now if each.state not in ENDED}
        return Evidence(not there & set(ids_of(hold)), in_words(hold, now))

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        return Evidence(True, f"it cannot be undone: {in_words(hold, held(hold, client))}")
