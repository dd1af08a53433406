"""Picking per zone or per group, and where what was picked is.

Law (L8): as `targeting.pick`, deterministic by seed, whatever order things were listed in.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Portion
from chaosrun.targeting import Pick, Target, pick

Per = Annotated[
    Literal["all", "zone", "group"],
    Meta(description="Pick so many of all, of each zone, or of each group"),
]
PerZone = Annotated[
    Literal["all", "zone"], Meta(description="Pick so many of all, or of each zone")
]
Groups = Mapping[str, str]
"""The group of each target that has one, by the target's id."""


def picked(
    population: Sequence[Target],
    how: Pick,
    rng: random.Random,
    *,
    per: str = "all",
    groups: Groups | None = None,
) -> tuple[Target, ...]:
    """The picked targets, sorted by key. Raises Refused when some part cannot give that many."""
    if per == "all" or not population:
        return pick(population, how, rng)
    parts: dict[str, list[Target]] = {}
    for target in population:
        name = target.domain if per == "zone" else (groups or {}).get(target.id, "")
        if not name:
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


def portions(
    population: Sequence[Target], targets: Sequence[Target], groups: Groups | None = None
) -> tuple[Portion, ...]:
    """How many of each zone and of each group were picked."""
    of = groups or {}
    found: list[Portion] = []
    for word, part in (
        ("zone", lambda target: target.domain),
        ("group", lambda target: of.get(target.id, "")),
    ):
        whole = Counter(part(target) for target in population)
        some = Counter(part(target) for target in targets)
        found += [
            Portion(of=f"{word} {name}", targets=some[name], population=whole[name])
            for name in sorted(whole)
            if name
        ]
    return tuple(found)
