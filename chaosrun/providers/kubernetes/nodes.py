"""Nodes: which ones a person means, and how they are changed and given back.

Law: nothing is selected by omission. Nodes of the control plane, and the one on which chaosrun
itself runs, are never selected.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Annotated, Any

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import reserved
from chaosrun.providers.kubernetes.access import Access, access_of, rbac
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import NODE, Object, Ref, labels_of, uid_of
from chaosrun.providers.kubernetes.pods import ZONE
from chaosrun.rights import Permission
from chaosrun.targeting import Pick, Target, pick, populations


class Selected(Access, frozen=True, kw_only=True):
    """Nodes that meet every criterion given."""

    names: Annotated[tuple[str, ...], Meta(description="Their names")] = ()
    selector: Annotated[str, Meta(description="A label selector", examples=["pool=workers"])] = ""
    zone: Annotated[str, Meta(description="Their zone, by their label")] = ""
    exclude: Annotated[str, Meta(description="A label selector of those that are left out")] = ""

    def rights(self, *verbs: str) -> tuple[Permission, ...]:
        """What looking for them takes, and these verbs on nodes: the named ones, if there are."""
        found = [*self.asking(), *rbac("nodes", "list")]
        for scope in [f"/{name}" for name in self.names] or [""]:
            found += rbac("nodes", *verbs, scope=scope)
        return tuple(found)

    def population(self, client: Kubernetes, access: Access) -> list[Object]:
        """All of them, by name, but those that are never a target."""
        found = client.all(access, NODE, labels=self.selector)
        left_out: set[str] = set()
        if self.exclude:
            excluded = client.all(access, NODE, labels=self.exclude, metadata=True)
            left_out = {uid_of(one) for one in excluded}
        able = [
            one
            for one in found
            if not reserved.why(Ref(NODE, one["metadata"]["name"]), labels_of(one))
            and uid_of(one) not in left_out
        ]
        return sorted(able, key=lambda one: str(one["metadata"]["name"]))

    def meant(self, found: Object) -> bool:
        """Whether a node of the population is of this zone and these names."""
        return self.zone in ("", labels_of(found).get(ZONE, "")) and (
            not self.names or found["metadata"]["name"] in self.names
        )


class Nodes(Selected, frozen=True, kw_only=True):
    """Nodes that meet every criterion given; of them the picked ones."""

    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.names or self.selector or self.zone):
            raise ValueError("say which: names, selector or zone")

    def picked(
        self,
        client: Kubernetes,
        access: Access,
        rng: random.Random,
        undo_of: Callable[[Object], Any],
    ) -> tuple[tuple[Target, ...], list[Target]]:
        """The picked nodes, and all that are selected but for names and zone."""
        population = self.population(client, access)
        meant = [one for one in population if self.meant(one)]
        known = {one["metadata"]["name"] for one in meant}
        if lost := sorted(set(self.names) - known):
            raise Refused(f"{', '.join(lost)}: no such nodes that may be a target")
        targets = pick([target_of(one, access, undo_of(one)) for one in meant], self.pick, rng)
        return targets, [target_of(one, access) for one in population]


def target_of(found: Object, access: Access, undo: Any = None) -> Target:
    """A node as a target."""
    zone = labels_of(found).get(ZONE, "")
    return Target(
        kind="node",
        id=uid_of(found),
        name=str(found["metadata"]["name"]),
        domain=zone,
        undo=undo,
        labels=labels_of(found),
        groups={
            "account": access.cluster, "namespace": "", "workload": "", "group": "", "zone": zone,
        },
    )  # fmt: skip


def counted(targets: Sequence[Target]) -> dict[str, int]:
    """How many nodes there are of each zone."""
    return populations(targets)


def ref_of(target: Target) -> Ref:
    return Ref(NODE, target.name)


def harm(hold: Hold, client: Kubernetes, target: Target, edit: Callable[[Object], None]) -> None:
    """Edit a target. Raises Refused for one that is gone, also when another took its name."""
    try:
        client.change(access_of(hold), ref_of(target), edit, uid=target.id)
    except NotFound:
        raise Refused(f"node {target.name} is gone since it was planned") from None


def held(hold: Hold, client: Kubernetes) -> dict[str, Object]:
    """The hold's nodes that are still there, by UID: one list."""
    ours = {target.id for target in hold.targets}
    found = client.all(access_of(hold), NODE)
    return {uid_of(one): one for one in found if uid_of(one) in ours}
