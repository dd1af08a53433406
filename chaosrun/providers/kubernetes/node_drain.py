"""Nodes are drained, as for maintenance, and take pods again afterwards."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import draining
from chaosrun.providers.kubernetes.access import undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.leaving import Grace, How, seconds_of
from chaosrun.providers.kubernetes.node_cordon import unschedulable
from chaosrun.providers.kubernetes.nodes import Nodes, counted
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration


class NodeDrain(draining.Emptied, frozen=True, kw_only=True):
    """Drain nodes: they take no new pods, and those there move elsewhere.

    Evictions, the default, honour disruption budgets; what a budget protects is tried again for
    `budgetWait`, and then stays and is told. Pods of DaemonSets and of kube-system stay.
    Afterwards the nodes take pods again; those that moved do not come back.
    """

    name: ClassVar[str] = "kubernetes.node-drain"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"selector": "pool=workers", "pick": "one"},
        "with": {"namespaces": ["shop"]},
    }

    target: Nodes
    namespaces: Annotated[
        tuple[str, ...], Meta(description="Only pods of these namespaces leave; else of all")
    ] = ()
    how: How = "evict"
    grace_period: Grace = None
    budget_wait: Annotated[
        Duration, Meta(description="How long an eviction that a budget forbids is tried again")
    ] = Duration(5)

    def needs(self) -> tuple[Permission, ...]:
        nodes = self.target.rights("get", "patch")
        return (*nodes, *draining.rights(self.how, self.namespaces))

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        require(client, access, self.needs())
        targets, population = self.target.picked(client, access, rng, unschedulable)
        if closed := [target.name for target in targets if target.undo]:
            raise Refused(f"{', '.join(closed)}: unschedulable already")
        names = [target.name for target in targets]
        found = draining.undo_of(client, access, names, self.namespaces, self.how)
        return Hold(
            fault=self.name,
            targets=draining.reserving(targets, found),
            population=len(population),
            populations=counted(population),
            effect=f"{found['pods']} pods leave them, and no new ones come",
            undo=undo(
                access,
                how=self.how,
                grace=seconds_of(self.grace_period),
                patience=self.budget_wait.seconds,
                **found,
            ),
            way_back="chaosrun makes them take pods again",
            mechanism=f"cordon, then {self.how}",
            used=self.needs(),
        )
