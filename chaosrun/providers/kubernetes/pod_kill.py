"""Pods are killed, and their workload brings back others in their place."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.fault import Evidence, Fault, Hold, Reversal
from chaosrun.providers.kubernetes.access import access_of, undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import POD, REPLICA_SET, WORKLOADS, Ref
from chaosrun.providers.kubernetes.leaving import Grace, How, leave, right, seconds_of, why_not
from chaosrun.providers.kubernetes.owners import losing, replaceable, wholeness
from chaosrun.providers.kubernetes.pods import Pods, counted, held
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.targeting import Target
from chaosrun.units import JSON, Duration


class PodKill(Fault[Kubernetes], frozen=True, kw_only=True):
    """Kill pods, and see that their workloads replace them.

    An eviction, the default, honours PodDisruptionBudgets: what a budget protects stays, and
    the report says which budget it was. Only pods of a workload that would replace them are
    killed, and none of a Job that would fail of it. It has healed when every workload that was
    whole before has as many ready pods as it wants.
    """

    name: ClassVar[str] = "kubernetes.pod-kill"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    example: ClassVar[dict[str, JSON]] = {
        "target": {"namespace": "shop", "selector": "app=checkout", "pick": "33%"},
        "with": {"gracePeriod": "0s"},
    }

    target: Pods
    how: How = "evict"
    grace_period: Grace = None
    budget_wait: Annotated[
        Duration, Meta(description="How long an eviction that a budget forbids is tried again")
    ] = Duration(0)

    def needs(self) -> tuple[Permission, ...]:
        return (*self.target.rights(**right(self.how)), *workload_reads(self.target))

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        require(client, access, self.needs())
        picked, population = self.target.picked(client, access, rng, replaceable)
        owners = losing(client, access, picked, disrupting=self.how == "evict")
        return Hold(
            fault=self.name,
            targets=tuple(sorted((p.target(access) for p in picked), key=lambda t: t.key)),
            population=len(population),
            populations=counted(access, population),
            effect="they are killed, and their workloads replace them",
            undo=undo(
                access,
                owners=owners,
                how=self.how,
                grace=seconds_of(self.grace_period),
                patience=self.budget_wait.seconds,
            ),
            way_back="their workloads start others in their place",
            mechanism={
                "evict": "eviction, as disruption budgets allow",
                "delete": "deletion, past disruption budgets",
                "force": "deletion by force, past disruption budgets",
            }[self.how],
            reversal=self.reversal,
            used=self.needs(),
        )

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        wanted = hold.undo
        pods = [(ref_of(target), target.id) for target in hold.targets]
        leave(client, access_of(hold), pods, wanted["how"], wanted["grace"], wanted["patience"])

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        """Their workloads do it."""

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        stay = [pod for pod in held(hold, client) if not pod.ending]
        killed = len(hold.targets) - len(stay)
        words = [f"{killed} of {len(hold.targets)} killed"]
        for pod in stay:
            said = ""
            if hold.undo["how"] == "evict":
                said = why_not(client, access_of(hold), pod.ref, pod.uid)
            words.append(f"{pod.name} stays: {said}" if said else f"{pod.name} stays")
        return Evidence(killed > 0, "; ".join(words), {"killed": killed, "stay": len(stay)})

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        ending = [pod.name for pod in held(hold, client) if pod.ending]
        good, said, numbers = wholeness(hold, client)
        if ending:
            said += f"; still ending: {', '.join(ending)}"
        return Evidence(good and not ending, said, numbers)


def ref_of(target: Target) -> Ref:
    """The pod that is a target."""
    namespace, _, name = target.name.partition("/")
    return Ref(POD, name, namespace)


def workload_reads(target: Pods) -> tuple[Permission, ...]:
    """What it takes to see whether the pods' workloads are whole."""
    from chaosrun.providers.kubernetes.access import rbac

    kind, _, name = target.owner.partition("/")
    found: list[Permission] = []
    for namespace in target.everywhere():
        if kind in WORKLOADS:
            found += rbac(WORKLOADS[kind].resource, "get", scope=f"{namespace}/{name}")
        else:  # of a kind that is not ours to know, ReplicaSets bring the pods back
            for each in (REPLICA_SET,) if kind else WORKLOADS.values():
                found += rbac(each.resource, "get", scope=namespace)
    return tuple(found)
