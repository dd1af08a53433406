"""Nodes repel pods by a taint while they are held."""

from __future__ import annotations

import random
from typing import Annotated, Any, ClassVar, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import marks, repelling
from chaosrun.providers.kubernetes.access import undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import Object
from chaosrun.providers.kubernetes.nodes import Nodes, counted, harm, held, ref_of
from chaosrun.providers.kubernetes.owners import wholeness
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.units import JSON

_OWN = "chaosrun.dev/"


class NodeTaint(Fault[Kubernetes], frozen=True, kw_only=True):
    """Put a taint on nodes; afterwards exactly that one is taken away.

    `NoExecute` also makes pods of all namespaces leave that do not tolerate it, past disruption
    budgets. A pod that nothing would bring back refuses the plan, and a node is reserved from
    which pods of kube-system would leave.
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
        nodes = self.target.rights("get", "patch")
        return (*nodes, *repelling.rights()) if self.effect == "NoExecute" else nodes

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        require(client, access, self.needs())
        taint = {"key": self.key, "value": self.value, "effect": self.effect}
        taint = {name: value for name, value in taint.items() if value}

        def taken(found: Object) -> bool:
            return _taken(found, taint)

        targets, population = self.target.picked(client, access, rng, taken)
        if tainted := [target.name for target in targets if target.undo]:
            raise Refused(
                f"{', '.join(tainted)}: there is a taint {self.key}:{self.effect} already"
            )
        more: dict[str, Any] = {}
        if self.effect == "NoExecute":
            targets, more = repelling.reserving(client, access, targets, taint)
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
            undo=undo(access, taint=taint, **more),
            way_back=f"chaosrun takes the taint {self.key}:{self.effect} away",
            mechanism="spec.taints",
            used=self.needs(),
        )

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        taint = hold.undo["taint"]

        def edit(found: Object) -> None:
            if _taken(found, taint) and not marks.ours(found, hold):
                raise Refused(f"{found['metadata']['name']} got such a taint since it was planned")
            if not _has(found, taint):
                found["spec"]["taints"] = [*_taints(found), taint]
            marks.put(found, hold)

        for target in hold.targets:
            harm(hold, client, target, edit)

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        taint = hold.undo["taint"]

        def put_back(found: Object) -> None:
            if _is_left(hold, found):
                left = [one for one in _taints(found) if not _same(one, taint)]
                found["spec"]["taints"] = left or None

        for target in hold.targets:
            marks.give_back_at(hold, client, ref_of(target), target.id, put_back)

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        now, taint = held(hold, client), hold.undo["taint"]
        on = [t.name for t in hold.targets if t.id in now and _has(now[t.id], taint)]
        said = f"{len(on)} of {len(hold.targets)} have it"
        if "going" in hold.undo and repelling.none_left(hold, client):
            count = len(hold.undo["going"])
            return Evidence(False, f"{said}; none of the {count} pods that it repels has left")
        return Evidence(len(on) == len(hold.targets), said)

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        now = held(hold, client)
        wrong = [
            target.name
            for target in hold.targets
            if target.id in now
            and (_is_left(hold, now[target.id]) or marks.bears(now[target.id], hold))
        ]
        if wrong or "owners" not in hold.undo:
            said = f"still tainted: {', '.join(wrong)}" if wrong else "none has it"
            return Evidence(not wrong, said)
        here = [found["metadata"]["name"] for found in now.values()]
        if lacks := repelling.lacking(hold, client, here):
            return Evidence(False, f"none has it; {lacks}")
        good, said, numbers = wholeness(hold, client)
        return Evidence(good, f"none has it; {said}", numbers)


def _is_left(hold: Hold, found: Object) -> bool:
    """Whether it has the taint by our doing.

    A key of chaosrun's own is a run's, whoever wrote the list last; this one's, if no other's.
    """
    taint = hold.undo["taint"]
    own = taint["key"].startswith(_OWN) and not marks.anothers(found, hold)
    return _has(found, taint) and (own or marks.by_us(found, hold, "spec", "taints"))


def _taints(found: Object) -> list[Any]:
    return list(found["spec"].get("taints") or ())


def _taken(found: Object, taint: dict[str, Any]) -> bool:
    """Whether a taint of this key and effect is there already, which make its identity."""
    identity = (taint["key"], taint["effect"])
    return any((one["key"], one["effect"]) == identity for one in _taints(found))


def _same(one: dict[str, Any], taint: dict[str, Any]) -> bool:
    return all(one.get(name, "") == taint.get(name, "") for name in ("key", "value", "effect"))


def _has(found: Object, taint: dict[str, Any]) -> bool:
    return any(_same(one, taint) for one in _taints(found))
