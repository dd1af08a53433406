"""Instances are rebooted."""

from __future__ import annotations

import random
from typing import Any, ClassVar

from msgspec.structs import replace

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.aws.access import Access, access_of, iam, undo
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.instances import Instances, held, ids_of, in_words
from chaosrun.units import JSON

_AT_ONCE = 100


class Ec2Reboot(Fault[Aws], frozen=True, kw_only=True):
    """Reboot EC2 instances, and see that they are well again.

    EC2 does not tell of a reboot, but posts the console anew when an instance boots: that is the
    evidence, and takes a minute or more, so give the step a `timeout`. They have healed when they
    run and pass both status checks.
    """

    name: ClassVar[str] = "aws.ec2-reboot"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceStatus",
        "ec2:GetConsoleOutput",
        "ec2:RebootInstances",
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"tags": {"app": "checkout"}, "pick": "one"}}

    target: Instances

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        chosen = self.target.choose(client, access, rng)
        client.dry_run(access, "ec2", "reboot_instances", InstanceIds=chosen.ids)
        return Hold(
            fault=self.name,
            targets=tuple(
                replace(target, undo=_console(client, access, target.id))
                for target in chosen.targets
            ),
            population=chosen.population,
            populations=chosen.populations,
            effect="they are rebooted",
            undo=undo(access),
            way_back="they boot, and pass their status checks",
            mechanism="RebootInstances",
            reversal=self.reversal,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access = access_of(hold)
        running = {each.id for each in held(hold, client) if each.state == "running"}
        if lost := sorted(set(ids_of(hold)) - running):
            raise Refused(f"{', '.join(lost)} do not run any more")
        if rest := sorted(set(ids_of(hold)) - _booted(hold, client)):
            client.call(access, "ec2", "reboot_instances", InstanceIds=rest)
        until(lambda: cls.took_effect(hold, client).seen, f"{', '.join(rest)} should boot")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        """They boot by themselves: it is waited for, as long as the step's `timeout`."""
        names = ", ".join(target.label for target in hold.targets)
        until(lambda: cls.restored(hold, client).seen, f"{names} should pass their status checks")

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        booted = _booted(hold, client)
        return Evidence(
            booted == set(ids_of(hold)),
            f"{len(booted)} of {len(hold.targets)} have posted a new console",
        )

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        checks: dict[str, list[str]] = {}
        ids = ids_of(hold)
        for start in range(0, len(ids), _AT_ONCE):
            for one in client.pages(
                access_of(hold), "ec2", "describe_instance_status", "InstanceStatuses",
                InstanceIds=ids[start : start + _AT_ONCE],
            ):  # fmt: skip
                both = [one[kind]["Status"] for kind in ("InstanceStatus", "SystemStatus")]
                checks[one["InstanceId"]] = both
        well = [each for each in ids if checks.get(each) == ["ok", "ok"]]
        return Evidence(
            len(well) == len(ids),
            f"{len(well)} of {len(ids)} pass their status checks; "
            + in_words(hold, held(hold, client)),
        )


def _console(client: Aws, access: Access, instance: str) -> str:
    """When the console was posted last; empty when it never was."""
    said: dict[str, Any] = client.call(access, "ec2", "get_console_output", InstanceId=instance)
    return said["Timestamp"].isoformat() if said.get("Timestamp") else ""


def _booted(hold: Hold, client: Aws) -> set[str]:
    """Those whose console was posted since the plan."""
    access = access_of(hold)
    now = {target.id: _console(client, access, target.id) for target in hold.targets}
    return {target.id for target in hold.targets if now[target.id] not in ("", target.undo)}
