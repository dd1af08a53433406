"""Nodes take no new pods while they are held."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import Object
from chaosrun.providers.kubernetes.nodes import Nodes, counted, harm, held, ref_of
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.targeting import Target
from chaosrun.units import JSON


class NodeCordon(Fault[Kubernetes], frozen=True, kw_only=True):
    """Make nodes unschedulable: what runs there goes on, and nothing new comes."""

    name: ClassVar[str] = "kubernetes.node-cordon"
    example: ClassVar[dict[str, JSON]] = {"target": {"zone": "eu-west-1a", "pick": "one"}}

    target: Nodes

    def needs(self) -> tuple[Permission, ...]:
        return self.target.rights("get", "patch")

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        require(client, access, self.needs())
        targets, population = self.target.picked(client, access, rng, unschedulable)
        if cordoned := [target.name for target in targets if target.undo]:
            raise Refused(
                f"{', '.join(cordoned)}: unschedulable already",
                hint=f"kubectl uncordon {cordoned[0]}",
            )
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(population),
            populations=counted(population),
            effect="they take no new pods",
            undo=undo(access),
            way_back="chaosrun makes them schedulable again",
            mechanism="spec.unschedulable",
            used=self.needs(),
        )

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        for target in hold.targets:
            cordon(hold, client, target)

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        for target in hold.targets:
            uncordon(hold, client, target)

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        now = held(hold, client)
        off = [t.name for t in hold.targets if t.id in now and unschedulable(now[t.id])]
        return Evidence(
            len(off) == len(hold.targets), f"{len(off)} of {len(hold.targets)} are unschedulable"
        )

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        wrong = differences(hold, held(hold, client))
        return Evidence(not wrong, "; ".join(wrong) or "each takes pods again")


def unschedulable(found: Object) -> bool:
    return bool(found["spec"].get("unschedulable", False))


def cordon(hold: Hold, client: Kubernetes, target: Target) -> None:
    """Make it unschedulable."""

    def edit(found: Object) -> None:
        if unschedulable(found) and not target.undo and not marks.ours(found, hold):
            raise Refused(f"{target.name} was made unschedulable since it was planned")
        found["spec"]["unschedulable"] = True
        marks.put(found, hold)

    harm(hold, client, target, edit)


def uncordon(hold: Hold, client: Kubernetes, target: Target) -> None:
    """Take our mark, and with it what we made of its schedulability."""

    def put_back(found: Object) -> None:
        if _is_left(found, hold, target):
            found["spec"].pop("unschedulable", None)

    marks.give_back_at(hold, client, ref_of(target), target.id, put_back)


def _is_left(found: Object, hold: Hold, target: Target) -> bool:
    """Whether it is unschedulable by our doing."""
    by_us = marks.by_us(found, hold, "spec", "unschedulable")
    return unschedulable(found) and not target.undo and by_us


def differences(hold: Hold, now: dict[str, Object]) -> list[str]:
    """What is not as before. A node that is gone is none of ours any more."""
    wrong = []
    for target in hold.targets:
        if (found := now.get(target.id)) is not None:
            if marks.bears(found, hold):
                wrong.append(f"{target.name} is still marked")
            elif _is_left(found, hold, target):
                wrong.append(f"{target.name} is still unschedulable")
    return wrong
