"""The contract of a rule.

Law (L4): a rule that cannot measure is not met. `covers` says when another rule adds nothing:
whatever this rule lets pass, the other one lets pass, too; so of two rules the stricter stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

import msgspec

from chaosrun.events import Term
from chaosrun.fault import Hold
from chaosrun.journal.claims import Standing
from chaosrun.spec import Experiment
from chaosrun.targeting import Target


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that rules look at. `step` is that which is about to be injected, or empty.

    `holds` are the plans of all steps, by name; `missing` names the steps that could not be
    planned; `now` is in seconds since the epoch; `standing` is what other runs do.
    """

    experiment: Experiment
    digest: str
    holds: Mapping[str, Hold]
    now: float
    names: tuple[str, ...]
    standing: Standing = Standing()
    step: str = ""
    ticket: str = ""
    missing: tuple[str, ...] = ()

    def seeing(self, standing: Standing) -> Asked:
        """The same question, with what other runs do."""
        return msgspec.structs.replace(self, standing=standing)

    @property
    def targets(self) -> dict[str, Target]:
        """Every planned target, once, by key."""
        return {
            target.key: target
            for _, hold in sorted(self.holds.items())
            for target in sorted(hold.targets, key=lambda target: target.key)
        }

    @property
    def touched(self) -> list[tuple[str, Hold]]:
        """The plans that are about to be carried out: of the step, or of each in its turn."""
        return [(name, hold) for name, hold in self.holds.items() if self.step in ("", name)]


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What a rule measured; `hint` says what would make it pass."""

    within: bool
    measured: str
    hint: str = ""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One demand. Its fields are its limit; `limit` says it in words."""

    name: ClassVar[str] = ""

    @property
    def limit(self) -> str:
        raise NotImplementedError

    def measure(self, asked: Asked) -> Found:
        """Whether the demand is met."""
        raise NotImplementedError

    def covers(self, other: Rule) -> bool:
        """Whether `other` adds nothing to this rule."""
        return self == other

    def terms(self, asked: Asked, source: str) -> Iterable[Term]:  # noqa: ARG002
        """What the lease of `asked.step` must meet in the moment in which it is written."""
        return ()


def listed(items: Iterable[str], most: int = 3) -> str:
    """The first few of some names, in order, and how many more there are."""
    names = sorted(set(items))
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
