"""Rules about all runs together: a budget, how many at once, how long a target is left alone.

Law: each is measured at the start, so that who is refused is told early, and put into the terms
of the lease, where the journal alone decides between two runs that come at once.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaosrun.events import Term
from chaosrun.journal.claims import ALL, RUNS, of_label
from chaosrun.policy.of_targets import (
    TargetRule,
    judged,
    most_of,
    parted,
    populations_of,
    worst_share,
)
from chaosrun.policy.rule import Asked, Found, Rule, counted
from chaosrun.units import Duration, Share, format_seconds

_WAIT = "wait until other runs have ended"


class BudgetCount(TargetRule, frozen=True, kw_only=True):
    """No more targets than this at once over all runs."""

    most: int
    name = "budget-targets"

    @property
    def limit(self) -> str:
        return f"at most {counted(self.most, 'target')} at once over all runs"

    def measure(self, asked: Asked) -> Found:
        others = asked.standing.claims.get(ALL, frozenset())
        ours = max((len({t.key for t in h.targets} - others) for _, h in asked.touched), default=0)
        measured = f"{counted(ours, 'target')}, and {len(others)} by other runs"
        hint = _WAIT if others else "pick fewer"
        return Found(within=ours + len(others) <= self.most, measured=measured, hint=hint)

    def covers(self, other: Rule) -> bool:
        return isinstance(other, BudgetCount) and self.most <= other.most

    def terms(self, asked: Asked, source: str) -> Iterable[Term]:  # noqa: ARG002
        yield Term(rule=self.name, source=source, limit=self.limit, key=ALL, most=self.most)


class BudgetGroupShare(TargetRule, frozen=True, kw_only=True):
    """No larger share of a workload, group or zone is touched at once over all runs."""

    what: str
    most: Share

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"budget-share-per-{self.what}"

    @property
    def limit(self) -> str:
        return f"at most {self.most} of a {self.what} at once over all runs"

    def measure(self, asked: Asked) -> Found:
        populations = populations_of(asked.holds.values())
        found = [
            worst_share(
                parted(hold.targets, self.what), populations, self.what, asked.standing.claims
            )
            for _, hold in asked.touched
        ]
        if not found:
            return Found(within=True, measured="nothing is touched")
        unknown = [one for one in found if one.share is None]
        return judged(max(unknown or found, key=lambda one: one.share or 0.0), self.most)

    def covers(self, other: Rule) -> bool:
        same = isinstance(other, BudgetGroupShare) and self.what == other.what
        return same and isinstance(other, BudgetGroupShare) and self.most <= other.most

    def terms(self, asked: Asked, source: str) -> Iterable[Term]:
        populations = populations_of(asked.holds.values())
        for name in names_of(asked, self.what):
            most = int(self.most.fraction * populations.get(name, 0) + 1e-9)
            yield Term(rule=self.name, source=source, limit=self.limit, key=name, most=most)


class BudgetGroupCount(TargetRule, frozen=True, kw_only=True):
    """No more targets of one workload, group or zone at once over all runs."""

    what: str
    most: int

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"budget-targets-per-{self.what}"

    @property
    def limit(self) -> str:
        return f"at most {counted(self.most, 'target')} of a {self.what} at once over all runs"

    def measure(self, asked: Asked) -> Found:
        found = [
            most_of(parted(hold.targets, self.what), self.what, self.most, asked.standing.claims)
            for _, hold in asked.touched
        ]
        over = [one for one in found if not one.within]
        return (over or found or [Found(within=True, measured="nothing is touched")])[0]

    def covers(self, other: Rule) -> bool:
        same = isinstance(other, BudgetGroupCount) and self.what == other.what
        return same and isinstance(other, BudgetGroupCount) and self.most <= other.most

    def terms(self, asked: Asked, source: str) -> Iterable[Term]:
        for name in names_of(asked, self.what):
            yield Term(rule=self.name, source=source, limit=self.limit, key=name, most=self.most)


class Runs(Rule, frozen=True, kw_only=True):
    """No more runs than this at once; with a label, of those with the same value of it."""

    most: int
    label: str = ""

    @property
    def name(self) -> str:  # type: ignore[override]
        return "concurrency-per-label" if self.label else "concurrency"

    @property
    def limit(self) -> str:
        same = f" with the same label {self.label}" if self.label else ""
        return f"at most {counted(self.most, 'run')}{same} at once"

    def measure(self, asked: Asked) -> Found:
        key = self._key(asked)
        if key is None:
            hint = f"set the label {self.label}"
            return Found(within=False, measured=f"it has no label {self.label}", hint=hint)
        others = len(asked.standing.claims.get(key, ()))
        measured = f"{counted(others, 'other run')} with something in place"
        return Found(within=others + 1 <= self.most, measured=measured, hint=_WAIT)

    def covers(self, other: Rule) -> bool:
        return isinstance(other, Runs) and self.label == other.label and self.most <= other.most

    def terms(self, asked: Asked, source: str) -> Iterable[Term]:
        if key := self._key(asked):
            yield Term(rule=self.name, source=source, limit=self.limit, key=key, most=self.most)

    def _key(self, asked: Asked) -> str | None:
        if not self.label:
            return RUNS
        value = asked.experiment.metadata.labels.get(self.label)
        return None if value is None else of_label(self.label, value)


class MinimumGap(TargetRule, frozen=True, kw_only=True):
    """A target is left alone for this long after a fault of another run."""

    least: Duration
    name = "minimum-gap"

    @property
    def limit(self) -> str:
        return f"at least {self.least} between the faults of two runs on the same target"

    def measure(self, asked: Asked) -> Found:
        waits = {
            key: hit.at + self.least.seconds - asked.now
            for key, hit in asked.standing.hits.items()
            if key in asked.targets
        }
        young = {key: wait for key, wait in waits.items() if wait > 0}
        if not young:
            return Found(within=True, measured="no target was touched within that time")
        worst = max(sorted(young), key=lambda key: young[key])
        hit = asked.standing.hits[worst]
        ago = format_seconds(float(int(max(0.0, asked.now - hit.at))))
        return Found(
            within=False,
            measured=f"run {hit.run} touched {asked.targets[worst].label} {ago} ago",
            hint=f"wait {format_seconds(float(int(young[worst]) + 1))}, or pick others",
        )

    def covers(self, other: Rule) -> bool:
        return isinstance(other, MinimumGap) and other.least <= self.least

    def terms(self, asked: Asked, source: str) -> Iterable[Term]:  # noqa: ARG002
        yield Term(rule=self.name, source=source, limit=self.limit, gap=self.least.seconds)


def names_of(asked: Asked, what: str) -> list[str]:
    """The populations that the targets of the step are counted in."""
    hold = asked.holds.get(asked.step)
    return sorted(parted(hold.targets, what).keys) if hold is not None else []
