"""Nodes repel pods by a taint while they are held."""

from __future__ import annotations

import random
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import Object
from chaosrun.providers.kubernetes.nodes import Nodes, change, counted, held
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.units import JSON


class NodeTaint(Fault[Kubernetes], frozen=True, kw_only=True):
    """Put a taint on nodes; afterwards exactly that one is taken away.

    `NoExecute` also makes pods leave that do not tolerate it, past disruption budgets, those of
    the cluster's own namespaces included: mind what runs there.
    """

    name: ClassVar[str] = "kubernetes.node-taint"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"names": ["node-1"]},
        "with": {"key": "shop.example/broken", "effect": "NoSchedule"},
    }

    target: Nodes
    key: Annotated[str, Meta(min_length=1, description="The taint's key")] = "chaosrun.dev/fault"
    value: Annotated[str, Meta(description="The taint's value")] = ""
    effect: Annotated[
        Literal["NoSchedule", "PreferNoSchedule", "NoExecute"],
        Meta(description="What becomes of pods that do not tolerate it"),
    ] = "NoSchedule"

    def needs(self) -> tuple[Permission, ...]:
        return self.target.rights("get", "patch")

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        require(client, access, self.needs())
        targets, population = self.target.picked(client, access, rng, self._taken)
        if tainted := [target.name for target in targets if target.undo]:
            raise Refused(
                f"{', '.join(tainted)}: there is a taint {self.key}:{self.effect} already"
            )
        taint = {"key": self.key, "value": self.value, "effect": self.effect}
        taint = {name: value for name, value in taint.items() if value}
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(population),
            populations=counted(population),
            effect={
                "NoSchedule": "they take no new pods that do not tolerate it",
                "PreferNoSchedule": "they take new pods that do not tolerate it only at need",
                "NoExecute": "pods that do not tolerate it leave them",
            }[self.effect],
            undo=undo(access, taint=taint),
            way_back=f"chaosrun takes the taint {self.key}:{self.effect} away",
            mechanism="spec.taints",
            used=self.needs(),
        )

    def _taken(self, found: Object) -> bool:
        """Whether a taint of this key and effect is there already, which make its identity."""
        identity = (self.key, self.effect)
        return any((one["key"], one["effect"]) == identity for one in _taints(found))

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        taint = hold.undo["taint"]

        def edit(found: Object) -> None:
            if not _has(found, taint):
                found["spec"]["taints"] = [*_taints(found), taint]
            marks.put(found, hold)

        for target in hold.targets:
            change(hold, client, target, edit)

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        taint = hold.undo["taint"]

        def edit(found: Object) -> None:
            if marks.ours(found, hold):
                left = [one for one in _taints(found) if not _same(one, taint)]
                found["spec"]["taints"] = left or None
            marks.take(found, hold)

        for target in hold.targets:
            change(hold, client, target, edit)

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        now, taint = held(hold, client), hold.undo["taint"]
        on = [t.name for t in hold.targets if t.id in now and _has(now[t.id], taint)]
        return Evidence(len(on) == len(hold.targets), f"{len(on)} of {len(hold.targets)} have it")

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        now, taint = held(hold, client), hold.undo["taint"]
        wrong = [
            target.name
            for target in hold.targets
            if target.id in now
            and (_has(now[target.id], taint) or marks.ours(now[target.id], hold))
        ]
        return Evidence(not wrong, f"still tainted: {', '.join(wrong)}" if wrong else "none has it")


def _taints(found: Object) -> list[Any]:
    return list(found["spec"].get("taints") or ())


def _same(one: dict[str, Any], taint: dict[str, Any]) -> bool:
    return all(one.get(name, "") == taint.get(name, "") for name in ("key", "value", "effect"))


def _has(found: Object, taint: dict[str, Any]) -> bool:
    return any(_same(one, taint) for one in _taints(found))
