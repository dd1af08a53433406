"""Targets and how they are picked from a population.

Law (L8): picking is deterministic. The same population, seed and pick give the same
targets, whatever order the population was listed in.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final, Self

import msgspec

from chaosrun.errors import Refused
from chaosrun.units import JSON, Share, Unit

GROUPS: Final = ("account", "namespace", "workload", "group", "zone")
"""What a target can belong to: an account or a cluster, a namespace, what replaces it when it
is lost (a Deployment, an Auto Scaling group), a set it serves in (a target group, a node pool),
and its failure domain, which `Target.domain` says."""
COUNTED: Final = ("workload", "group", "zone")
"""Those of which a policy bounds a share."""


class Target(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that a fault touches.

    `kind` and `id` are its identity and the key of its lock, so `id` must tell it from
    every other thing of that kind, also after a restart (a PID needs its start time).
    `domain` is its failure domain: a zone, a node, a machine.

    What policies ask: `labels` are its labels or tags, None where the provider does not say;
    `groups` is what it belongs to, by the words of `GROUPS`, an empty text where it belongs to
    none. What is not said is not known, and a policy that asks for it refuses (law L4).

    `reserved` says why it is nobody's target, as with pods of kube-system, and `opened` which
    policy opens it all the same, and why (law L4: a limit refuses what is reserved and not opened).
    """

    kind: str
    id: str
    name: str = ""
    domain: str = ""
    undo: JSON = None
    labels: dict[str, str] | None = None
    groups: dict[str, str] = {}
    reserved: str = ""
    opened: str = ""

    @property
    def key(self) -> str:
        return f"{self.kind}:{self.id}"

    @property
    def label(self) -> str:
        return self.name or self.id

    def group(self, what: str) -> str | None:
        """The workload, zone, ... that it belongs to; empty for none, None when not known."""
        if what == "zone":
            return self.groups.get(what, self.domain or None)
        return self.groups.get(what)

    @property
    def shares(self) -> tuple[str, ...]:
        """The names of the populations that it is counted in: `pod workload=shop/checkout`."""
        found = ((what, self.group(what)) for what in COUNTED)
        return tuple(f"{self.kind} {what}={value}" for what, value in found if value)


class Pick(Unit):
    """How many of a population: a count, a share, `one`, `all`, or `minority`."""

    __slots__ = ("_text",)
    _text: str
    json_schema: ClassVar[dict[str, JSON]] = {
        "anyOf": [
            {"type": "integer", "minimum": 1},
            {"type": "string", "enum": ["one", "all", "minority"]},
            {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$"},
        ],
        "description": "How many to pick: a count, a share, one, all, or minority (under half)",
        "examples": ["one", 2, "33%"],
    }

    def __init__(self, text: str) -> None:
        self._text = text
        self._value = hash(text)

    @classmethod
    def parse(cls, text: object) -> Self:
        """Read a pick. Raises ValueError with what to write instead."""
        if isinstance(text, int) and not isinstance(text, bool):
            if text < 1:
                raise ValueError(f"a pick is at least 1, not {text}")
            return cls(str(text))
        if isinstance(text, str):
            if text in ("one", "all", "minority"):
                return cls(text)
            if text.isdigit() and int(text) > 0:
                return cls(text)
            if text.endswith("%"):
                if Share.parse(text).fraction == 0:
                    raise ValueError("a pick of 0% touches nothing")
                return cls(text)
        raise ValueError(f"{text!r} is not a pick such as one, 2, 33%, minority or all")

    def count(self, population: int) -> int:
        """How many of `population`. A share is rounded to the nearest whole, so it may be 0."""
        match self._text:
            case "all":
                return population
            case "one":
                return min(1, population)
            case "minority":
                return max(0, (population - 1) // 2)
            case text if text.endswith("%"):
                return int(Share.parse(text).fraction * population + 0.5)
            case text:
                return int(text)

    def __str__(self) -> str:
        return self._text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pick) and other._text == self._text

    __hash__ = Unit.__hash__


def pick(population: Sequence[Target], how: Pick, rng: random.Random) -> tuple[Target, ...]:
    """The picked targets, sorted by key.

    Raises Refused when the population cannot give that many, or the pick comes to none.
    """
    ordered = sorted(population, key=lambda target: target.key)
    count = how.count(len(ordered))
    if not ordered:
        raise Refused("nothing matches the target", hint="check the target's selection")
    if count == 0:
        raise Refused(
            f"{how} of {len(ordered)} comes to none", hint="pick a larger share, or `one`"
        )
    if count > len(ordered):
        raise Refused(f"asked for {how}, and only {len(ordered)} match the target")
    return tuple(sorted(rng.sample(ordered, count), key=lambda target: target.key))


def populations(population: Iterable[Target]) -> dict[str, int]:
    """How many there are of each workload, group and zone, for `Hold.populations`.

    Counted among what a fault could have picked, so never more than there are.
    """
    return dict(Counter(name for target in population for name in target.shares))
