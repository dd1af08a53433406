"""Policies become rules, and of two rules that say the same the stricter one stands.

Law: what several policies let pass, each of them lets pass. A rule is dropped only when
another one covers it, holds wherever it holds, and may be overridden by nobody else. The
order of policies changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase

import msgspec

from chaosrun.policy import of_experiment as experiments
from chaosrun.policy import of_runs as runs
from chaosrun.policy import of_targets as targets
from chaosrun.policy import of_time as times
from chaosrun.policy.rule import Rule
from chaosrun.policy.spec import MayOverride, PolicySpec
from chaosrun.targeting import COUNTED

AppliesTo = dict[str, tuple[str, ...]]


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """A rule, where it stands, which experiments it is about, and who may override it."""

    rule: Rule
    source: str
    applies_to: AppliesTo = {}
    rights: tuple[MayOverride, ...] = ()

    def about(self, labels: dict[str, str]) -> bool:
        """Whether it is about an experiment with these labels; so it is when they do not say."""
        return all(
            label not in labels or experiments.fits(labels[label], patterns)
            for label, patterns in self.applies_to.items()
        )

    def covers(self, other: Ruling) -> bool:
        """Whether `other` adds nothing to this one."""
        wide = not self.applies_to or self.applies_to == other.applies_to
        firm = all(right in other.rights for right in self.rights)
        return wide and firm and self.rule.covers(other.rule)


def merge(rulings: Iterable[Ruling]) -> tuple[Ruling, ...]:
    """The rules that stand, by name."""
    kept: list[Ruling] = []
    for ruling in sorted(rulings, key=_order):
        if any(other.covers(ruling) for other in kept):
            continue
        kept = [other for other in kept if not ruling.covers(other)]
        kept.append(ruling)
    return tuple(kept)


def _order(ruling: Ruling) -> tuple[str, ...]:
    return (
        ruling.rule.name, ruling.rule.limit, ruling.source,
        repr(sorted(ruling.applies_to.items())), repr(ruling.rights),
    )  # fmt: skip


def rulings_of(spec: PolicySpec, source: str) -> tuple[Ruling, ...]:
    """Every rule of a policy."""
    return tuple(
        Ruling(
            rule=rule,
            source=source,
            applies_to=spec.applies_to,
            rights=tuple(
                right
                for right in spec.overrides
                if any(fnmatchcase(rule.name, pattern) for pattern in right.rules)
            ),
        )
        for rule in _rules(spec)
    )


def _rules(spec: PolicySpec) -> Iterator[Rule]:
    yield from _of_experiment(spec)
    yield from _of_targets(spec)
    yield from _of_runs(spec)
    if spec.windows:
        yield times.Window(calendars=spec.windows)
    for freezes in spec.freezes:
        yield times.Freeze(freezes=freezes)


def _of_experiment(spec: PolicySpec) -> Iterator[Rule]:
    if spec.environments is not None:
        yield experiments.Environment(allowed=tuple(sorted(set(spec.environments))))
    if spec.requires.owner:
        yield experiments.Owner()
    if spec.requires.ticket:
        yield experiments.Ticket(pattern=spec.requires.ticket)
    for label, pattern in sorted(spec.requires.labels.items()):
        yield experiments.Label(label=label, pattern=pattern)
    if spec.limits.duration is not None:
        yield experiments.MethodDuration(most=spec.limits.duration)
    if spec.faults.allowed is not None:
        yield experiments.AllowedFaults(allowed=tuple(sorted(set(spec.faults.allowed))))
    for pattern in sorted(set(spec.faults.forbidden)):
        yield experiments.ForbiddenFault(pattern=pattern)
    for pattern in sorted(set(spec.faults.need_approval)):
        yield experiments.Approval(pattern=pattern, approvals=spec.approvals)


def _of_targets(spec: PolicySpec) -> Iterator[Rule]:
    for protected in spec.protect:
        yield targets.ProtectedTarget(protected=protected)
    for label, pattern in sorted(spec.opt_in.items()):
        yield targets.OptIn(label=label, pattern=pattern)
    if spec.limits.share is not None:
        yield targets.StepShare(most=spec.limits.share)
    if spec.limits.targets is not None:
        yield targets.TargetCount(most=spec.limits.targets)
    for what in COUNTED:
        bound = getattr(spec.limits, f"per_{what}")
        if bound.share is not None:
            yield targets.GroupShare(what=what, most=bound.share)
        if bound.targets is not None:
            yield targets.GroupCount(what=what, most=bound.targets)


def _of_runs(spec: PolicySpec) -> Iterator[Rule]:
    if spec.budget.targets is not None:
        yield runs.BudgetCount(most=spec.budget.targets)
    for what in COUNTED:
        bound = getattr(spec.budget, f"per_{what}")
        if bound.share is not None:
            yield runs.BudgetGroupShare(what=what, most=bound.share)
        if bound.targets is not None:
            yield runs.BudgetGroupCount(what=what, most=bound.targets)
    if spec.concurrency.runs is not None:
        yield runs.Runs(most=spec.concurrency.runs)
    for label, most in sorted(spec.concurrency.per_label.items()):
        yield runs.Runs(most=most, label=label)
    if spec.minimum_gap is not None:
        yield runs.MinimumGap(least=spec.minimum_gap)
