"""All policies that hold here, added up.

Law: a policy that the organisation gave cannot be dropped by naming another one. A halt source
of any policy halts every run, whatever experiments the policy is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import msgspec

from chaosrun.events import PolicySource
from chaosrun.targeting import Target
from chaosrun.units import JSON

if TYPE_CHECKING:  # rules take long to import, and most machines have no policy
    from chaosrun.policy.merging import Ruling
    from chaosrun.policy.spec import Policy

Written = dict[str, dict[str, JSON]]


class Document(msgspec.Struct, frozen=True):
    """One policy, and where it stands."""

    policy: Policy
    source: PolicySource

    @property
    def shown(self) -> str:
        return f"{self.source.name}, {self.source.file}"

    def about(self, labels: dict[str, str]) -> bool:
        """Whether it is about an experiment with these labels."""
        return all(
            label not in labels or any(fnmatchcase(labels[label], p) for p in patterns)
            for label, patterns in self.policy.spec.applies_to.items()
        )


class Demanded(msgspec.Struct, frozen=True, kw_only=True):
    """A gate or a halt source of a policy, with the policy's secrets."""

    written: Written
    secrets: dict[str, dict[str, JSON]]
    source: str


class Policies(msgspec.Struct, frozen=True):
    """Every policy, in the order in which they were found; and the rules that stand."""

    documents: tuple[Document, ...] = ()
    rulings: tuple[Ruling, ...] = ()

    def about(self, labels: dict[str, str]) -> tuple[Document, ...]:
        """Those that are about an experiment with these labels."""
        return tuple(one for one in self.documents if one.about(labels))

    def opening(self, labels: dict[str, str], targets: Iterable[Target]) -> tuple[Target, ...]:
        """The same targets; each that is reserved says which policy opens it, if one does.

        An experiment must say that it is one of those that the policy is about: what is left
        unsaid opens nothing (law L4).
        """
        from chaosrun.policy.of_targets import means  # as above

        def opened(target: Target) -> str:
            for one in self.about(labels):
                if one.policy.spec.applies_to.keys() <= labels.keys():
                    for these in one.policy.spec.opens:
                        if means(these, target):
                            return f"policy {one.source.name}: {these.because}"
            return ""

        return tuple(
            msgspec.structs.replace(target, opened=opened(target)) if target.reserved else target
            for target in targets
        )

    def gates(self, labels: dict[str, str]) -> tuple[Demanded, ...]:
        """Their gates, each once."""
        found: list[Demanded] = []
        for one in self.about(labels):
            for gate in one.policy.spec.gates:
                demanded = Demanded(written=gate, secrets=one.policy.spec.secrets, source=one.shown)
                if all((g.written, g.secrets) != (gate, demanded.secrets) for g in found):
                    found.append(demanded)
        return tuple(found)

    def every_gate(self) -> tuple[Demanded, ...]:
        """The gates of all policies, whatever experiments they are about."""
        return tuple(
            Demanded(written=gate, secrets=one.policy.spec.secrets, source=one.shown)
            for one in self.documents
            for gate in one.policy.spec.gates
        )

    def halts(self) -> tuple[Demanded, ...]:
        """The halt sources of all policies, each once."""
        found: list[Demanded] = []
        for one in self.documents:
            for source in one.policy.spec.halt.sources:
                demanded = Demanded(
                    written=source, secrets=one.policy.spec.secrets, source=one.shown
                )
                if all((h.written, h.secrets) != (source, demanded.secrets) for h in found):
                    found.append(demanded)
        return tuple(found)


def added_up(documents: Sequence[Document]) -> Policies:
    """The policies together: of two rules that say the same the stricter one stands."""
    from chaosrun.policy.merging import merge, rulings_of  # as above

    rulings = [r for one in documents for r in rulings_of(one.policy.spec, one.shown)]
    return Policies(tuple(documents), merge(rulings))
