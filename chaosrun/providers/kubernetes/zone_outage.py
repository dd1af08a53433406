"""All nodes of a zone are lost to pods, as when the zone fails."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import draining
from chaosrun.providers.kubernetes.access import undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import labels_of
from chaosrun.providers.kubernetes.node_cordon import unschedulable
from chaosrun.providers.kubernetes.nodes import Selected, counted, target_of
from chaosrun.providers.kubernetes.pods import ZONE
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.units import JSON


class Zone(Selected, frozen=True, kw_only=True):
    """All nodes of one zone; the population is the nodes of all zones."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.zone:
            raise ValueError("say which: zone")
        if self.names:
            raise ValueError("a zone is lost as a whole: `names` cannot be given")


class ZoneOutage(draining.Emptied, frozen=True, kw_only=True):
    """Take a zone away: its nodes close, and their pods end at once, past disruption budgets.

    A zone does not ask before it fails. Pods of DaemonSets and of kube-system stay, and
    the nodes' network stays up. Afterwards the nodes take pods again. A node of the zone that was
    closed before stays so.
    """

    name: ClassVar[str] = "kubernetes.zone-outage"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"zone": "eu-west-1a"},
        "with": {"namespaces": ["shop"]},
    }

    target: Zone
    namespaces: Annotated[
        tuple[str, ...], Meta(description="Only pods of these namespaces end; else of all")
    ] = ()
    how: Annotated[
        Literal["force", "delete"],
        Meta(description="force: they are gone at once; delete: they get their grace period"),
    ] = "force"

    def needs(self) -> tuple[Permission, ...]:
        nodes = self.target.rights("get", "patch")
        return (*nodes, *draining.rights(self.how, self.namespaces))

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:  # noqa: ARG002
        access = client.settle(self.target.access())
        require(client, access, self.needs())
        population = self.target.population(client, access)
        zones = sorted({labels_of(one).get(ZONE, "") for one in population} - {""})
        targets = sorted(
            (
                target_of(one, access, unschedulable(one))
                for one in population
                if self.target.meant(one)
            ),
            key=lambda target: target.key,
        )
        if not targets:
            raise Refused(
                f"no nodes are in zone {self.target.zone}",
                hint=f"there are {', '.join(zones)}" if zones else f"nodes have no label {ZONE}",
            )
        names = [target.name for target in targets]
        found = draining.undo_of(client, access, names, self.namespaces, self.how)
        return Hold(
            fault=self.name,
            targets=draining.reserving(targets, found),
            population=len(population),
            populations=counted([target_of(one, access) for one in population]),
            effect=f"{self.target.zone} is lost, with {found['pods']} pods",
            undo=undo(access, how=self.how, grace=None, patience=0, **found),
            way_back="chaosrun makes its nodes take pods again",
            mechanism="all its nodes cordoned, their pods deleted",
            used=self.needs(),
        )
