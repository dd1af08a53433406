"""Every rule against an experiment and its plans. Pure.

Law (L4): a rule that cannot be measured is not met. An override counts only where the policy
that set the rule says who may, and the one who asks is one of them and gives a reason.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from chaosrun.errors import ChaosrunError
from chaosrun.events import Override, RuleMeasured, Term
from chaosrun.journal.claims import ALL, RUNS, of_label
from chaosrun.policy.actor import is_one_of
from chaosrun.policy.merging import Ruling
from chaosrun.policy.of_experiment import ticket_of
from chaosrun.policy.of_targets import TargetRule
from chaosrun.policy.rule import Asked, Found, listed


class Evaluated(msgspec.Struct, frozen=True):
    """Every rule as it was measured, and what a lease must meet when it is taken."""

    rules: tuple[RuleMeasured, ...]
    terms: tuple[Term, ...] = ()

    @property
    def passes(self) -> bool:
        return all(rule.passes for rule in self.rules)


def evaluate(
    rulings: Iterable[Ruling], asked: Asked, overrides: Iterable[Override] = ()
) -> Evaluated:
    """What every rule that is about the experiment says of it."""
    wanted = {override.rule: override for override in overrides}
    measured: list[RuleMeasured] = []
    terms: list[Term] = []
    for ruling in rulings:
        if not ruling.about(asked.experiment.metadata.labels):
            continue
        found = _measured(ruling, asked)
        override, refused = _override(ruling, asked, wanted.get(ruling.rule.name))
        hint = found.hint
        if refused:
            hint = f"{refused}; or {hint}" if hint else refused
        measured.append(
            RuleMeasured(
                rule=ruling.rule.name,
                within=found.within,
                measured=found.measured,
                limit=ruling.rule.limit,
                hint="" if found.within else hint,
                source=ruling.source,
                override=None if found.within else override,
            )
        )
        if asked.step and override is None:
            terms += ruling.rule.terms(asked, ruling.source)
    return Evaluated(tuple(measured), tuple(terms))


def claims_looked_at(asked: Asked) -> tuple[str, ...]:
    """The names of claims of other runs that rules may look at, for `Journal.standing`."""
    labels = asked.experiment.metadata.labels.items()
    shares = {name for target in asked.targets.values() for name in target.shares}
    return (ALL, RUNS, *(of_label(*label) for label in sorted(labels)), *sorted(shares))


def _measured(ruling: Ruling, asked: Asked) -> Found:
    if asked.missing and isinstance(ruling.rule, TargetRule):
        return Found(
            within=False,
            measured=f"the targets of step {listed(asked.missing)} are not known",
            hint="the step must first be planned",
        )
    try:
        return ruling.rule.measure(asked)
    except ChaosrunError as error:  # a calendar that cannot be known, say
        measured = f"could not be measured: {error}"
        return Found(within=False, measured=measured, hint=error.hint)


def _override(
    ruling: Ruling, asked: Asked, override: Override | None
) -> tuple[Override | None, str]:
    """The override if it counts, and else why not."""
    if override is None:
        return None, ""
    if not ruling.rights:
        return None, f"the policy lets nobody override {ruling.rule.name}"
    rights = [right for right in ruling.rights if is_one_of(asked.names, right.by)]
    if not rights:
        may = listed({name for right in ruling.rights for name in right.by}, most=5)
        return None, f"only {may} may override {ruling.rule.name}"
    if all(right.ticket for right in rights) and not (override.ticket or ticket_of(asked)):
        return None, f"an override of {ruling.rule.name} needs a ticket (--ticket)"
    if not override.reason.strip():
        return None, f"an override of {ruling.rule.name} needs a reason (--reason)"
    return override, ""
