"""Picking per zone or per group.

Law (L8): as `targeting.pick`, deterministic by seed, whatever order things were listed in.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Annotated, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.targeting import Pick, Target, pick

Per = Annotated[
    Literal["all", "zone", "group"],
    Meta(description="Pick so many of all, of each zone, or of each group"),
]
PerZone = Annotated[
    Literal["all", "zone"], Meta(description="Pick so many of all, or of each zone")
]


def picked(
    population: Sequence[Target], how: Pick, rng: random.Random, *, per: str = "all"
) -> tuple[Target, ...]:
    """The picked targets, sorted by key. Raises Refused when some part cannot give that many."""
    if per == "all" or not population:
        return pick(population, how, rng)
    parts: dict[str, list[Target]] = {}
    for target in population:
        if not (name := target.group(per)):
            raise Refused(
                f"{target.label} is in no {per}, so it cannot be picked per {per}",
                hint=f"leave it out of the selection, or do without `per: {per}`",
            )
        parts.setdefault(name, []).append(target)
    found: list[Target] = []
    for name in sorted(parts):
        try:
            found += pick(parts[name], how, rng)
        except Refused as error:
            raise Refused(f"{per} {name}: {error}", hint=error.hint) from None
    return tuple(sorted(found, key=lambda target: target.key))
