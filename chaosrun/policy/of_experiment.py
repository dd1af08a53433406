"""Rules about the experiment itself: where it is asked, who owns it, which faults it uses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Final

from chaosrun.policy.actor import identity, is_one_of
from chaosrun.policy.rule import Asked, Found, Rule, counted, listed
from chaosrun.policy.spec import Approvals
from chaosrun.spec import Experiment, method_seconds
from chaosrun.units import Duration, format_seconds

ENVIRONMENT: Final = "environment"
"""The label of an experiment that names its environment."""
TICKET: Final = "ticket"
"""The label or annotation of an experiment that names a ticket."""


_NOBODY = "nobody's experiment can: the policy has to be changed"


def fits(text: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns stands for the text; `*` also for an empty one."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def ticket_of(asked: Asked) -> str:
    metadata = asked.experiment.metadata
    return asked.ticket or metadata.annotations.get(TICKET) or metadata.labels.get(TICKET, "")


class Environment(Rule, frozen=True, kw_only=True):
    """The environment is one of these."""

    allowed: tuple[str, ...]
    name = "environment"

    @property
    def limit(self) -> str:
        return f"the environment is {' or '.join(self.allowed) or 'none: nothing may run'}"

    def measure(self, asked: Asked) -> Found:
        said = asked.experiment.metadata.labels.get(ENVIRONMENT)
        if said is None:
            hint = f"add the label {ENVIRONMENT} to the experiment's metadata"
            return Found(within=False, measured="the experiment names no environment", hint=hint)
        hint = f"run it in {' or '.join(self.allowed)}" if self.allowed else _NOBODY
        measured = f"the environment is {said}"
        return Found(within=fits(said, self.allowed), measured=measured, hint=hint)

    def covers(self, other: Rule) -> bool:
        return isinstance(other, Environment) and set(self.allowed) <= set(other.allowed)


class Owner(Rule, frozen=True, kw_only=True):
    """Somebody owns the experiment."""

    name = "owner"

    @property
    def limit(self) -> str:
        return "an experiment has an owner"

    def measure(self, asked: Asked) -> Found:
        owner = asked.experiment.spec.owner.strip()
        measured = f"the owner is {owner}" if owner else "it has no owner"
        return Found(within=bool(owner), measured=measured, hint="add `owner` to its spec")


class Ticket(Rule, frozen=True, kw_only=True):
    """There is a ticket for it."""

    pattern: str
    name = "ticket"

    @property
    def limit(self) -> str:
        return f"a ticket such as {self.pattern}"

    def measure(self, asked: Asked) -> Found:
        ticket = ticket_of(asked)
        return Found(
            within=re.fullmatch(self.pattern, ticket) is not None,
            measured=f"the ticket is {ticket}" if ticket else "no ticket was given",
            hint="give it: --ticket, or the annotation `ticket`",
        )


class Label(Rule, frozen=True, kw_only=True):
    """The experiment has a label."""

    label: str
    pattern: str
    name = "labels"

    @property
    def limit(self) -> str:
        return f"the label {self.label} is {self.pattern}"

    def measure(self, asked: Asked) -> Found:
        said = asked.experiment.metadata.labels.get(self.label)
        measured = f"it has no label {self.label}" if said is None else f"{self.label} is {said}"
        within = said is not None and fnmatchcase(said, self.pattern)
        return Found(within=within, measured=measured, hint=f"set the label {self.label}")


class MethodDuration(Rule, frozen=True, kw_only=True):
    """Faults are in place for no longer than this."""

    most: Duration
    name = "duration"

    @property
    def limit(self) -> str:
        return f"at most {self.most}"

    def measure(self, asked: Asked) -> Found:
        seconds = method_seconds(asked.experiment.spec.method)
        measured = f"faults in place for {format_seconds(seconds)}"
        within = seconds <= self.most.seconds
        return Found(within=within, measured=measured, hint="hold for less")

    def covers(self, other: Rule) -> bool:
        return isinstance(other, MethodDuration) and self.most <= other.most


class AllowedFaults(Rule, frozen=True, kw_only=True):
    """Only these faults are used."""

    allowed: tuple[str, ...]
    name = "allowed-fault"

    @property
    def limit(self) -> str:
        return f"only {', '.join(self.allowed) or 'nothing'} may be used"

    def measure(self, asked: Asked) -> Found:
        used = faults_of(asked.experiment)
        wrong = [name for name in used if not fits(name, self.allowed)]
        measured = f"{listed(wrong or used)} {'is' if len(wrong or used) == 1 else 'are'} used"
        return Found(within=not wrong, measured=measured, hint="use another fault")

    def covers(self, other: Rule) -> bool:
        return isinstance(other, AllowedFaults) and set(self.allowed) <= set(other.allowed)


class ForbiddenFault(Rule, frozen=True, kw_only=True):
    """These faults are not used."""

    pattern: str
    name = "forbidden-fault"

    @property
    def limit(self) -> str:
        return f"{self.pattern} may not be used"

    def measure(self, asked: Asked) -> Found:
        wrong = [name for name in faults_of(asked.experiment) if fnmatchcase(name, self.pattern)]
        measured = f"{listed(wrong)} is used" if wrong else "it is not used"
        return Found(within=not wrong, measured=measured, hint="use another fault")


class Approval(Rule, frozen=True, kw_only=True):
    """People have approved exactly this experiment."""

    pattern: str
    approvals: Approvals
    name = "approval"

    @property
    def limit(self) -> str:
        people = "approval" if self.approvals.count == 1 else f"{self.approvals.count} approvals"
        by = (
            ""
            if set(self.approvals.by) == {"*", "env:*"}
            else f" by {', '.join(self.approvals.by)}"
        )
        others = "" if self.approvals.own else ", of somebody else"
        return (
            f"{self.pattern} needs {people}{by}{others}, not older than {self.approvals.valid_for}"
        )

    def measure(self, asked: Asked) -> Found:
        used = [name for name in faults_of(asked.experiment) if fnmatchcase(name, self.pattern)]
        if not used:
            return Found(within=True, measured="it is not used")
        people, others = set(), []
        for one in asked.standing.approvals:
            if reason := self._unfit(one.names, one.at, one.expires, asked):
                others.append(f"that of {one.by} {reason}")
            elif one.digest == asked.digest:
                people.add(identity(one.names))
        got = f"{counted(len(people), 'approval')} by {listed(people)}" if people else "no approval"
        measured = f"{listed(used)} is used; {got}"
        measured += f"; {listed(others)}" if others else ""
        hint = "have it approved: `chaosrun approve FILE --reason TEXT`, anew after each change"
        return Found(within=len(people) >= self.approvals.count, measured=measured, hint=hint)

    def _unfit(self, names: tuple[str, ...], at: float, expires: float, asked: Asked) -> str:
        """Why an approval does not count; empty when it does."""
        if not is_one_of(names, self.approvals.by):
            return "does not count: not one of those who may"
        if not self.approvals.own and identity(names) == identity(asked.names):
            return "does not count: it is one's own"
        if asked.now >= min(expires, at + self.approvals.valid_for.seconds):
            return "has expired"
        return ""


def faults_of(experiment: Experiment) -> list[str]:
    return sorted({step.fault for step in experiment.spec.method})
