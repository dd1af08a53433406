"""Asking the policies that a run is under, with what the journal knows of other runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from chaosrun import events as e
from chaosrun.journal import Journal
from chaosrun.policy.actor import Actor
from chaosrun.policy.policies import Policies
from chaosrun.run import Run

if TYPE_CHECKING:  # rules take long to import, and most runs are under no policy
    from chaosrun.policy.evaluate import Evaluated


class Under(msgspec.Struct, frozen=True, kw_only=True):
    """What a run is put under when it starts: policies, who asks, and what they gave with it."""

    policies: Policies = Policies()
    actor: Actor = Actor(shown="", names=())
    ticket: str = ""
    overrides: tuple[e.Override, ...] = ()

    def noted(self, labels: dict[str, str]) -> dict[str, Any]:
        """What the journal keeps of it, in the words of `Started`."""
        return {
            "by": self.actor.shown,
            "names": self.actor.names,
            "ticket": self.ticket,
            "overrides": self.overrides,
            "policies": tuple(one.source for one in self.policies.about(labels)),
            "gates": tuple(gate.written for gate in self.policies.gates(labels)),
        }


def ask_policies(
    run: Run, policies: Policies, journal: Journal | None, now: float, step: str = ""
) -> Evaluated:
    """Every rule as it is measured now, for the whole run or before the lease of a step.

    Raises JournalUnavailable: then nothing is known, and nothing may be injected.
    """
    from chaosrun.policy.evaluate import claims_looked_at, evaluate  # as above
    from chaosrun.policy.rule import Asked

    started = run.started
    assert started is not None, "a run starts with Started"
    asked = Asked(
        experiment=started.experiment,
        digest=started.digest,
        holds=run.holds,
        missing=tuple(name for name in run.steps if name not in run.holds),
        now=now,
        names=started.names,
        ticket=started.ticket,
        step=step,
    )
    if journal is not None:
        standing = journal.standing(
            run.id, claims_looked_at(asked), tuple(asked.targets), started.digest
        )
        asked = asked.seeing(standing)
    return evaluate(policies.rulings, asked, started.overrides)


def policy_measured(
    run: Run, policies: Policies, journal: Journal | None, now: float, step: str
) -> e.PolicyMeasured:
    """The same as an event."""
    found = ask_policies(run, policies, journal, now, step)
    return e.PolicyMeasured(at=now, step=step, rules=found.rules, terms=found.terms)
