"""The contract of a fault: plan, inject, revert, and the two proofs.

Law (L1-L3, L6): `plan` only reads and records all that the way back needs; `inject` and
`revert` may be repeated; `revert` works from the hold alone, in another process, on another
machine; `took_effect` and `restored` look at the target itself, never at our memory of it.
"""

from __future__ import annotations

import random
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from chaosrun.rights import Permission
from chaosrun.targeting import Target
from chaosrun.units import JSON

ClientT = TypeVar("ClientT")


class Reversal(StrEnum):
    """How a fault ends. An irreversible one must be accepted by name in the experiment."""

    REVERTED = "reverted"
    SELF_HEALING = "self-healing"
    IRREVERSIBLE = "irreversible"


class Expiry(StrEnum):
    """Who ends the fault at its deadline: the target itself, or only the runner (law L3)."""

    TARGET = "target"
    RUNNER = "runner"


class Hold(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one planned injection will touch and how it is undone: plain data, durable.

    `population` is how many things the targets were picked from, and `populations` how many of
    them belong to each workload, group and zone (`targeting.populations`). `expiry` is who ends
    it with these very arguments in this very place. `mark` and `deadline`
    (UTC, seconds since the epoch) are filled in when the lease is made: the mark is what a
    fault leaves on its target so that `sweep` can tell whose it is.
    """

    fault: str
    targets: tuple[Target, ...]
    population: int
    populations: dict[str, int] = {}
    effect: str
    undo: JSON = None
    way_back: str = ""
    mechanism: str = ""
    reversal: Reversal = Reversal.REVERTED
    expiry: Expiry = Expiry.RUNNER
    used: tuple[Permission, ...] = ()
    mark: str = ""
    deadline: float = 0.0


class Evidence(msgspec.Struct, frozen=True, omit_defaults=True):
    """What looking at the target showed: `seen` answers the question asked, `detail` says how."""

    seen: bool
    detail: str
    measured: dict[str, JSON] = {}


class Fault(
    msgspec.Struct,
    Generic[ClientT],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """A kind of harm. Its fields are the arguments a person writes, and so its schema.

    A field named `target` is what the person writes under `target:`; all others are under
    `with:`. The class's docstring is its help. Every method may raise Transient, Refused
    or Indeterminate; anything else is taken for Indeterminate. `client` is what the
    provider's `connect` returned, and the only way to the target.

    A method of `inject` must not return before the fault is in place or has failed, and
    must arm the target's own deadline first where `expiry` is `target`.
    """

    name: ClassVar[str]
    reversal: ClassVar[Reversal] = Reversal.REVERTED
    expiry: ClassVar[Expiry] = Expiry.RUNNER
    permissions: ClassVar[tuple[Permission, ...]] = ()
    seen_in: ClassVar[str] = ""
    """Where others can read all of its arguments, if so: then none may hold a secret (law L9)."""
    example: ClassVar[dict[str, JSON]] = {}
    """A step as a person would write it: {"target": {...}, "with": {...}}."""

    def needs(self) -> tuple[Permission, ...]:
        """The rights that this fault needs with exactly these arguments."""
        return self.permissions

    def plan(self, client: ClientT, rng: random.Random) -> Hold:
        """Choose targets and record the way back. Reads only; the same rng, the same targets."""
        raise NotImplementedError

    @classmethod
    def inject(cls, hold: Hold, client: ClientT) -> None:
        """Put the fault in place. Twice is once."""
        raise NotImplementedError

    @classmethod
    def revert(cls, hold: Hold, client: ClientT) -> None:
        """Take the fault away. Twice is once; harmless when nothing was injected."""
        raise NotImplementedError

    @classmethod
    def took_effect(cls, hold: Hold, client: ClientT) -> Evidence:
        """Whether the fault is really there now."""
        raise NotImplementedError

    @classmethod
    def restored(cls, hold: Hold, client: ClientT) -> Evidence:
        """Whether the target is really as it was before."""
        raise NotImplementedError


class Found(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A mark of a fault on a target, as `sweep` sees it.

    `hold` is there when the mark alone says how to revert it; `fault` names whose it is.
    """

    fault: str
    mark: str
    target: str
    detail: str
    since: float = 0.0
    hold: Hold | None = None


__all__ = [
    "AnyFault", "Evidence", "Expiry", "Fault", "Found", "Hold", "Permission", "Reversal",
]  # fmt: skip

AnyFault = Fault[Any]
