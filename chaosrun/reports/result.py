"""The result of a run, as a program reads it: the types behind `--output json`.

schemas/result.schema.json is derived from `Summary`. Times within a run are seconds since
it started; shares are between 0 and 1; a key is always there, and null when it has nothing
to say.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from chaosrun.events import Failure, Moment, Outcome, Verdict
from chaosrun.fault import Expiry, Reversal
from chaosrun.units import JSON

Seconds = Annotated[float, Meta(description="Seconds")]
At = Annotated[float, Meta(description="Seconds since the run started")]


class StepOutcome(StrEnum):
    """How far a step got, and whether it is undone."""

    WAITING = "waiting"
    SKIPPED = "skipped"
    INJECTING = "injecting"
    IN_PLACE = "in place"
    REVERTING = "reverting"
    RESTORED = "restored"
    OWED = "owed"


class Part(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A part of a result."""


class PhaseResult(Part, frozen=True, kw_only=True):
    """A stretch of the run."""

    name: Annotated[str, Meta(description="gates, baseline, method, reverting or after")]
    start: At
    end: Annotated[float | None, Meta(description="Null while it lasts")] = None


class GateResult(Part, frozen=True, kw_only=True):
    """One measurement of a gate."""

    gate: str
    open: bool
    measured: Annotated[str, Meta(description="What was seen")]
    rule: Annotated[str, Meta(description="The condition for being open")]
    hint: Annotated[str, Meta(description="What would open it")] = ""
    step: Annotated[
        str, Meta(description="The step before whose injection it was asked; empty at the start")
    ] = ""
    at: At


class LimitResult(Part, frozen=True, kw_only=True):
    """A limit against what the run would touch."""

    limit: str
    within: bool
    measured: Annotated[str, Meta(description="What would be touched")]
    rule: Annotated[str, Meta(description="The bound")]
    hint: Annotated[str, Meta(description="What would make it pass")] = ""
    step: str = ""


class OverrideResult(Part, frozen=True, kw_only=True):
    """A rule that somebody overrode, and why."""

    by: str
    reason: str
    ticket: str = ""


class RuleResult(Part, frozen=True, kw_only=True):
    """A policy's rule as it was measured."""

    rule: str
    within: bool
    measured: Annotated[str, Meta(description="What was seen")]
    limit: Annotated[str, Meta(description="What the policy demands")]
    hint: Annotated[str, Meta(description="What would make it pass")] = ""
    source: Annotated[str, Meta(description="The policy, and its file")] = ""
    override: Annotated[
        OverrideResult | None, Meta(description="Why the run went on although it is not met")
    ] = None
    step: Annotated[
        str, Meta(description="The step before whose injection it was asked; empty at the start")
    ] = ""
    at: At

    @property
    def passes(self) -> bool:
        return self.within or self.override is not None

    @property
    def answer(self) -> str:
        return "met" if self.within else "overridden" if self.override else "not met"

    @property
    def words(self) -> str:
        """What was measured, and who overrode it where somebody did."""
        if self.override is None:
            return self.measured
        ticket = f" ({self.override.ticket})" if self.override.ticket else ""
        by = f"overridden by {self.override.by}: {self.override.reason}{ticket}"
        return f"{self.measured}; {by}"


class TargetResult(Part, frozen=True, kw_only=True):
    """One thing that a fault touched."""

    kind: str
    id: str
    name: str = ""
    domain: Annotated[str, Meta(description="Its failure domain: host, zone, ...")] = ""


class Portion(Part, frozen=True, kw_only=True):
    """How many targets share a kind or a failure domain."""

    name: str
    targets: int
    share: Annotated[
        float | None, Meta(description="Of the step's population; null when that is unknown")
    ] = None


class Trouble(Part, frozen=True, kw_only=True):
    """Something that did not go as it should while a step was performed."""

    at: At
    doing: Annotated[
        str,
        Meta(
            description="plan, lease, inject, look for the effect, revert or look whether restored"
        ),
    ]
    failure: Failure | None = None
    error: str
    hint: str = ""


class StepResult(Part, frozen=True, kw_only=True):
    """One step: what it touched, when, and the proofs of its effect and of its revert."""

    name: str
    fault: str
    outcome: StepOutcome
    hold: Annotated[float, Meta(description="How long the fault was to stay, in seconds")]
    after: Annotated[tuple[str, ...], Meta(description="The steps it waits for")] = ()
    targets: tuple[TargetResult, ...] = ()
    population: Annotated[
        int | None, Meta(description="How many things the targets were picked from")
    ] = None
    share: Annotated[
        float | None, Meta(description="The blast radius: targets over population")
    ] = None
    kinds: Annotated[tuple[Portion, ...], Meta(description="The blast radius by kind")] = ()
    domains: Annotated[
        tuple[Portion, ...], Meta(description="The blast radius by failure domain")
    ] = ()
    parts: Annotated[
        tuple[str, ...],
        Meta(
            description="The blast radius in each zone, group and workload that is counted",
            examples=[["zone eu-west-1a 1 of 2", "group web 1 of 4"]],
        ),
    ] = ()
    effect: Annotated[str, Meta(description="What the fault does to its targets")] = ""
    way_back: Annotated[str, Meta(description="How it is undone")] = ""
    mechanism: Annotated[str, Meta(description="How it is done")] = ""
    reversal: Reversal | None = None
    expiry: Annotated[Expiry | None, Meta(description="Who ends the fault at its deadline")] = None
    deadline: Annotated[
        float | None, Meta(description="When the lease ends, in seconds since the run started")
    ] = None
    lease: str = ""
    leased: At | None = None
    injected: At | None = None
    effect_seen: At | None = None
    effect_lost: Annotated[
        str, Meta(description="What was seen just before the end, where the effect was gone")
    ] = ""
    effect_detail: Annotated[str, Meta(description="What looking for the effect showed")] = ""
    effect_measured: dict[str, JSON] = {}
    reverted: At | None = None
    restored: At | None = None
    restored_detail: Annotated[str, Meta(description="What looking at the target showed")] = ""
    restored_measured: dict[str, JSON] = {}
    revert_attempts: int = 0
    troubles: tuple[Trouble, ...] = ()


class Sample(Part, frozen=True, kw_only=True, omit_defaults=True):
    """One sample of a check or a guard."""

    at: At
    moment: Moment
    outcome: Outcome
    value: Annotated[
        float | None, Meta(description="The plotted number; absent when there was none")
    ] = None
    reason: Annotated[str, Meta(description="Why it did not hold, or could not be taken")] = ""


class Counts(Part, frozen=True, kw_only=True):
    """The samples of one moment."""

    held: int = 0
    broke: int = 0
    unknown: int = 0
    median: Annotated[float | None, Meta(description="Of the plotted number")] = None
    least: Annotated[float | None, Meta(description="Of the plotted number")] = None
    most: Annotated[float | None, Meta(description="Of the plotted number")] = None

    @property
    def total(self) -> int:
        return self.held + self.broke + self.unknown


class Threshold(Part, frozen=True, kw_only=True):
    """A bound in an expectation, on the plotted number."""

    field: str
    operator: Annotated[str, Meta(description="One of < <= > >=")]
    value: float


class Series(Part, frozen=True, kw_only=True):
    """What a check and a guard have in common: a probe, sampled over time."""

    name: str
    probe: str
    every: Seconds
    before: Counts = Counts()
    during: Counts = Counts()
    after: Counts = Counts()
    plotted: Annotated[
        str, Meta(description="The field of the probe's result in `value`; empty when none is")
    ] = ""
    unit: Annotated[str, Meta(description="Of the plotted number: ms, %, bytes or nothing")] = ""
    thresholds: tuple[Threshold, ...] = ()
    samples: tuple[Sample, ...] = ()


class CheckResult(Series, frozen=True, kw_only=True):
    """One check of the steady state. `outcome` is null when it was never sampled."""

    expect: Annotated[str, Meta(description="The expectation")]
    tolerate: Annotated[float, Meta(description="The share of failing samples called healthy")]
    outcome: Outcome | None = None
    first_broke: Annotated[
        float | None, Meta(description="When a sample during the faults first failed")
    ] = None
    first_reason: str = ""
    returned: Annotated[
        float | None, Meta(description="When it held again for good after the last revert")
    ] = None


class GuardResult(Series, frozen=True, kw_only=True):
    """One guard. For a guard `broke` means that it hurt."""

    when: Annotated[str, Meta(description="The condition that hurts")]
    for_: Annotated[float, Meta(description="How long it must hurt to trip, in seconds")] = (
        msgspec.field(default=0.0, name="for")
    )
    tripped: Annotated[
        float | None, Meta(description="When it stopped the run; null when it did not")
    ] = None
    trip_reason: str = ""


class StopResult(Part, frozen=True, kw_only=True):
    """Somebody or something outside asked for a stop."""

    at: At
    verdict: Verdict
    by: str
    reason: str
    signal: int = 0


class ResumeResult(Part, frozen=True, kw_only=True):
    """Another driver took the run up."""

    at: At
    driver: str
    reason: str


class OwedResult(Part, frozen=True, kw_only=True):
    """A fault that is not yet seen reverted."""

    step: str
    lease: str
    fault: str
    targets: tuple[TargetResult, ...]
    since: At
    way_back: str = ""
    trouble: Annotated[str, Meta(description="Why the last attempt did not undo it")] = ""
    stranded: bool = False
    expiry: Expiry
    deadline: Annotated[float | None, Meta(description="In seconds since the run started")] = None


class Summary(Part, frozen=True, kw_only=True):
    """The result of a run: a pure function of its journal."""

    chaosrun: Annotated[str, Meta(description="The version that ran it")] = ""
    run: Annotated[str, Meta(description="The run's id")] = ""
    name: Annotated[str, Meta(description="The experiment's name")] = ""
    title: str = ""
    description: str = ""
    owner: str = ""
    labels: dict[str, str] = {}
    verdict: Annotated[
        Verdict | None, Meta(description="What the run concluded; null until it has")
    ] = None
    exit_code: Annotated[int | None, Meta(description="The exit code that tells it")] = None
    reason: Annotated[str, Meta(description="Why, in one sentence")] = ""
    started: Annotated[str, Meta(description="UTC, ISO 8601")] = ""
    ended: Annotated[str | None, Meta(description="UTC, ISO 8601; null until it has")] = None
    started_at: Annotated[float, Meta(description="Seconds since the epoch")] = 0.0
    duration: Annotated[
        float, Meta(description="Seconds from the start to the last thing known")
    ] = 0.0
    seed: int = 0
    digest: Annotated[str, Meta(description="Of the experiment")] = ""
    parameters: dict[str, JSON] = {}
    source: Annotated[str, Meta(description="Where the experiment came from")] = ""
    schedule: Annotated[
        str, Meta(description="The schedule that asked; empty when a person or a pipeline did")
    ] = ""
    suite: Annotated[
        str, Meta(description="The first part of the ids of all runs of the suite it belongs to")
    ] = ""
    repeat: Annotated[str, Meta(description="The command that asks the same again")] = ""
    phases: tuple[PhaseResult, ...] = ()
    gates: tuple[GateResult, ...] = ()
    limits: tuple[LimitResult, ...] = ()
    by: Annotated[str, Meta(description="Who asked for it")] = ""
    policies: Annotated[
        tuple[str, ...], Meta(description="The policies that it was under, and their files")
    ] = ()
    rules: Annotated[
        tuple[RuleResult, ...],
        Meta(description="The policies' rules at the start, and later those not met"),
    ] = ()
    steps: tuple[StepResult, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    guards: tuple[GuardResult, ...] = ()
    recovery: Annotated[
        float | None,
        Meta(description="Seconds from the last revert until every check held; null if never"),
    ] = None
    reaction: Annotated[
        float | None,
        Meta(description="Seconds from what stopped the run to the end of the first revert"),
    ] = None
    stopped: Annotated[
        float | None, Meta(description="When something stopped the run before its end")
    ] = None
    owed: Annotated[tuple[OwedResult, ...], Meta(description="Faults not yet seen reverted")] = ()
    stops: tuple[StopResult, ...] = ()
    resumes: tuple[ResumeResult, ...] = ()
    learned: Annotated[tuple[str, ...], Meta(description="What the run showed, sentences")] = ()
    next: Annotated[tuple[str, ...], Meta(description="What to do now, sentences")] = ()
    experiment: Annotated[
        dict[str, JSON], Meta(description="The whole question, parameters filled in")
    ] = {}
