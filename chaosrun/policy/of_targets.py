"""Rules about targets: which may be touched at all, and how much of what they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import NamedTuple

from chaosrun.fault import Hold
from chaosrun.policy.rule import Asked, Found, Rule, counted, listed
from chaosrun.policy.spec import Protected, Those
from chaosrun.targeting import Target
from chaosrun.units import Share

_ASK_PROVIDER = "its provider has to say it (`Target.labels`, `Target.groups`)"


class TargetRule(Rule, frozen=True, kw_only=True):
    """A rule that needs to know the targets."""


class ProtectedTarget(TargetRule, frozen=True, kw_only=True):
    """No such target is touched."""

    protected: Protected
    name = "protected"

    @property
    def limit(self) -> str:
        return f"{described(self.protected)} is never touched" + (
            f": {self.protected.because}" if self.protected.because else ""
        )

    def measure(self, asked: Asked) -> Found:
        hint, meant, unknown = "leave it out of the target's selection", [], []
        for target in asked.targets.values():
            match means(self.protected, target):
                case True:
                    meant.append(named(target))
                case None:
                    unknown.append(named(target))
        if meant:
            return Found(within=False, measured=f"{listed(meant)} would be touched", hint=hint)
        if unknown:
            measured = f"whether {listed(unknown)} is one of them is not known"
            return Found(within=False, measured=measured, hint=_ASK_PROVIDER)
        return Found(within=True, measured=f"none of {counted(len(asked.targets), 'target')}")


class OptIn(TargetRule, frozen=True, kw_only=True):
    """Every target says itself that it may be touched."""

    label: str
    pattern: str
    name = "opt-in"

    @property
    def limit(self) -> str:
        return f"every target has the label {self.label} = {self.pattern}"

    def measure(self, asked: Asked) -> Found:
        said = {t.key: has_label(t, self.label, self.pattern) for t in asked.targets.values()}
        lacking = [named(asked.targets[key]) for key, has in said.items() if not has]
        if not lacking:
            return Found(within=True, measured=f"all of {counted(len(said), 'target')} have it")
        if all(said[key] is None for key, has in said.items() if not has):
            measured = f"the labels of {listed(lacking)} are not known"
            return Found(within=False, measured=measured, hint=_ASK_PROVIDER)
        hint = f"select targets with {self.label} = {self.pattern}, or label these"
        return Found(within=False, measured=f"{listed(lacking)} lacks it", hint=hint)


class StepShare(TargetRule, frozen=True, kw_only=True):
    """No step touches a larger share of its population."""

    most: Share
    name = "share"

    @property
    def limit(self) -> str:
        return f"at most {self.most} of a step's population"

    def measure(self, asked: Asked) -> Found:
        worst, shown = -1.0, "nothing is touched"
        for step, hold in asked.touched:
            count, population = len(hold.targets), hold.population
            if population < 1 or count > population:
                measured = f"step {step}: {count} targets of an unknown population"
                return Found(within=False, measured=measured, hint="its provider has to count it")
            if count / population > worst:
                worst = count / population
                shown = f"step {step}: {count} of {population} ({worst:.0%})"
        within = worst <= self.most.fraction + 1e-9
        return Found(within=within, measured=shown, hint="pick fewer")

    def covers(self, other: Rule) -> bool:
        return isinstance(other, StepShare) and self.most <= other.most


class TargetCount(TargetRule, frozen=True, kw_only=True):
    """No more targets than this over all steps."""

    most: int
    name = "targets"

    @property
    def limit(self) -> str:
        return f"at most {counted(self.most, 'target')} over all steps"

    def measure(self, asked: Asked) -> Found:
        count = len(asked.targets)
        measured = counted(count, "target")
        return Found(within=count <= self.most, measured=measured, hint="pick fewer")

    def covers(self, other: Rule) -> bool:
        return isinstance(other, TargetCount) and self.most <= other.most


class GroupShare(TargetRule, frozen=True, kw_only=True):
    """No larger share of a workload, group or zone is touched."""

    what: str
    most: Share

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"share-per-{self.what}"

    @property
    def limit(self) -> str:
        return f"at most {self.most} of a {self.what}, for each kind of target"

    def measure(self, asked: Asked) -> Found:
        parts = parted(asked.targets.values(), self.what)
        found = worst_share(parts, populations_of(asked.holds.values()), self.what, {})
        return judged(found, self.most)

    def covers(self, other: Rule) -> bool:
        same = isinstance(other, GroupShare) and self.what == other.what
        return same and isinstance(other, GroupShare) and self.most <= other.most


class GroupCount(TargetRule, frozen=True, kw_only=True):
    """No more targets of one workload, group or zone are touched."""

    what: str
    most: int

    @property
    def name(self) -> str:  # type: ignore[override]
        return f"targets-per-{self.what}"

    @property
    def limit(self) -> str:
        return f"at most {counted(self.most, 'target')} of a {self.what}, for each kind of target"

    def measure(self, asked: Asked) -> Found:
        parts = parted(asked.targets.values(), self.what)
        return most_of(parts, self.what, self.most, {})

    def covers(self, other: Rule) -> bool:
        same = isinstance(other, GroupCount) and self.what == other.what
        return same and isinstance(other, GroupCount) and self.most <= other.most


class Parts(NamedTuple):
    """Targets by the name of the population they are counted in; those of which none is known."""

    keys: dict[str, set[str]]
    unknown: list[str]


class WorstShare(NamedTuple):
    """The largest share, in words; None where it is not known."""

    share: float | None
    measured: str
    hint: str = "pick fewer"


def parted(targets: Iterable[Target], what: str) -> Parts:
    """The targets by their workload, group or zone; those that have none are left out."""
    keys: dict[str, set[str]] = {}
    unknown = []
    for target in targets:
        value = target.group(what)
        if value is None:
            unknown.append(named(target))
        elif value:
            keys.setdefault(f"{target.kind} {what}={value}", set()).add(target.key)
    return Parts(keys, unknown)


def populations_of(holds: Iterable[Hold]) -> dict[str, int]:
    """The largest that is known of each population: all are counted too low, if at all."""
    found: dict[str, int] = {}
    for hold in holds:
        for name, count in hold.populations.items():
            found[name] = max(count, found.get(name, 0))
    return found


def worst_share(
    parts: Parts,
    populations: Mapping[str, int],
    what: str,
    others: Mapping[str, frozenset[str]],
) -> WorstShare:
    """The largest share that would be touched, together with what other runs touch."""
    if parts.unknown:
        measured = f"the {what} of {listed(parts.unknown)} is not known"
        return WorstShare(None, measured, _ASK_PROVIDER)
    worst = WorstShare(0.0, f"no target belongs to a {what}")
    for name, keys in sorted(parts.keys.items()):
        theirs = others.get(name, frozenset()) - keys
        count, population = len(keys) + len(theirs), populations.get(name, 0)
        if population < len(keys):
            measured = f"how many there are of {name} is not known"
            return WorstShare(None, measured, "its provider has to count it (`Hold.populations`)")
        if count / population > (worst.share or 0.0):
            more = f", {len(theirs)} by other runs" if theirs else ""
            text = f"{count} of {population} of {name} ({count / population:.0%}){more}"
            worst = WorstShare(count / population, text)
    return worst


def judged(found: WorstShare, most: Share) -> Found:
    within = found.share is not None and found.share <= most.fraction + 1e-9
    return Found(within=within, measured=found.measured, hint=found.hint)


def most_of(parts: Parts, what: str, most: int, others: Mapping[str, frozenset[str]]) -> Found:
    """The most targets of one workload, group or zone, with what other runs touch."""
    if parts.unknown:
        measured = f"the {what} of {listed(parts.unknown)} is not known"
        return Found(within=False, measured=measured, hint=_ASK_PROVIDER)
    largest, shown = 0, f"no target belongs to a {what}"
    for name, keys in sorted(parts.keys.items()):
        theirs = others.get(name, frozenset()) - keys
        if len(keys) + len(theirs) > largest:
            largest = len(keys) + len(theirs)
            more = f", {len(theirs)} by other runs" if theirs else ""
            shown = f"{largest} of {name}{more}"
    return Found(within=largest <= most, measured=shown, hint="pick fewer")


def means(wanted: Those, target: Target) -> bool | None:
    """Whether the target is one of those; None when that cannot be known."""
    if not fnmatchcase(target.kind, wanted.kind):
        return False
    if not (fnmatchcase(target.id, wanted.id) or fnmatchcase(target.name, wanted.id)):
        return False
    answers = [
        None if (value := target.group(what)) is None else fnmatchcase(value, pattern)
        for what, pattern in wanted.groups.items()
    ]
    answers += [has_label(target, *label) for label in wanted.labels.items()]
    if False in answers:
        return False
    return None if None in answers else True


def has_label(target: Target, label: str, pattern: str) -> bool | None:
    """Whether the target has a label with such a value; None when its labels are not known."""
    if target.labels is None:
        return None
    return label in target.labels and fnmatchcase(target.labels[label], pattern)


def named(target: Target) -> str:
    return f"{target.kind} {target.label}"


def described(wanted: Those) -> str:
    """Which targets these are, in words."""
    parts = [wanted.kind if wanted.kind != "*" else "a target"]
    if wanted.id != "*":
        parts.append(wanted.id)
    where = [f"{what} {pattern}" for what, pattern in wanted.groups.items()]
    where += [f"{label} = {pattern}" for label, pattern in sorted(wanted.labels.items())]
    return " ".join(parts) + (f" with {', '.join(where)}" if where else "")
