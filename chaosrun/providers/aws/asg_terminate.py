"""Instances of an Auto Scaling group are terminated, and the group replaces them."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.aws import healing
from chaosrun.providers.aws.access import Access, iam, undo
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.groups import group_named
from chaosrun.providers.aws.instances import described
from chaosrun.providers.aws.picking import PerZone, picked
from chaosrun.targeting import Pick, populations
from chaosrun.units import JSON


class Members(Access, frozen=True, kw_only=True):
    """Instances of one Auto Scaling group that are in service."""

    group: Annotated[str, Meta(description="The group's name or ARN", min_length=1)]
    ids: Annotated[tuple[str, ...], Meta(description="Only those of these ids or ARNs")] = ()
    zone: Annotated[str, Meta(description="Only those of this availability zone")] = ""
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")
    per: PerZone = "all"


class AsgTerminate(Fault[Aws], frozen=True, kw_only=True):
    """Terminate instances of an Auto Scaling group, and see that the group replaces them.

    Refused unless the group can heal: as many are healthy and in service as it wants, that is
    not less than its minimum, no process that heals it is suspended, and no instance refresh goes
    on. Instances with scale-in protection are never picked. The plan tells of lifecycle hooks and
    warm pools. It has healed when the desired count is in service again, and the report says after
    how long. A replacement takes minutes: give the step a `timeout`.
    """

    name: ClassVar[str] = "aws.asg-terminate"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    permissions: ClassVar[tuple[Permission, ...]] = iam(*healing.CALLS)
    example: ClassVar[dict[str, JSON]] = {"target": {"group": "checkout", "pick": "one"}}

    target: Members

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        group = group_named(client, access, self.target.group)
        way_back = healing.how_it_heals(client, access, group)
        ids = {access.named(written) for written in self.target.ids}
        if missing := sorted(ids - {member.id for member in group.serving}):
            raise Refused(f"{', '.join(missing)}: not in service in {group.name}")
        able = [
            target
            for target in healing.serving(access, [group], self.target.zone, protected=False)
            if not ids or target.id in ids
        ]
        targets = picked(able, self.target.pick, rng, per=self.target.per)
        return Hold(
            fault=self.name,
            targets=described(client, access, targets),
            population=len(group.serving),
            populations=populations(healing.serving(access, [group])),
            effect="they are terminated, while " + healing.what_is_left([group], targets),
            undo=undo(access, **healing.undo_of([group])),
            way_back=way_back,
            mechanism="TerminateInstanceInAutoScalingGroup, the desired capacity kept",
            reversal=self.reversal,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        healing.terminate(hold, client)

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        """The group does it: it is waited for, as long as the step's `timeout`."""
        healing.await_healed(hold, client)

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        return healing.ended(hold, client)

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        return healing.healed(hold, client)
