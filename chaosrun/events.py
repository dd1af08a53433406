"""The facts of a run, in the past tense: what the journal holds.

Law (L7): these events are the only record. State, reports and recovery are folds of them.
An event never changes its meaning; a new meaning is a new event. Times are UTC seconds
since the epoch. No event holds a secret (L9): what might was scrubbed before it got here.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

from chaosrun.fault import Hold
from chaosrun.spec import Experiment
from chaosrun.units import JSON


class Verdict(StrEnum):
    """What a run concluded, loudest first."""

    STRANDED = "stranded"
    ERROR = "error"
    ABORTED = "aborted"
    DEVIATED = "deviated"
    CANCELLED = "cancelled"
    INCONCLUSIVE = "inconclusive"
    REFUSED = "refused"
    PASSED = "passed"


class Outcome(StrEnum):
    """What one sample says: as hoped, not as hoped, or nothing. For a guard, `broke` is hurt."""

    HELD = "held"
    BROKE = "broke"
    UNKNOWN = "unknown"


class Moment(StrEnum):
    """When a sample was taken, relative to the faults."""

    BEFORE = "before"
    DURING = "during"
    AFTER = "after"


class Failure(StrEnum):
    """Why an effect did not end well; the same words as the error tree."""

    TRANSIENT = "transient"
    REFUSED = "refused"
    INDETERMINATE = "indeterminate"
    BUG = "bug"


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type"):
    """One fact. `at` is when it became known to the driver."""

    at: float


class Override(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody asks that a policy's rule does not hold for this run, and says why."""

    rule: str
    by: str
    reason: str
    ticket: str = ""


class PolicySource(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A policy that a run is under: its name, its file, and the digest of what stood there."""

    name: str
    file: str
    digest: str


class Term(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What must still be true of all runs together when a lease is taken; see `journal.claims`.

    Of `key` at most `most` may be claimed at once; or, where `key` is empty, no target of the
    lease was touched by another run in the `gap` seconds before.
    """

    rule: str
    source: str
    limit: str
    key: str = ""
    most: int = 0
    gap: float = 0.0


class RuleMeasured(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A policy's rule: what was measured, the limit, what would make it pass, where it stands.

    `override` is there when the rule is not met and somebody who may has overridden it.
    """

    rule: str
    within: bool
    measured: str
    limit: str
    hint: str = ""
    source: str = ""
    override: Override | None = None

    @property
    def passes(self) -> bool:
        return self.within or self.override is not None


class AskedPart(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One experiment of a suite, by its name there, and the names of those it waits for."""

    name: str
    after: tuple[str, ...] = ()


class AskedSuite(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The suite that a run is a part of, and which `part` of it the run is.

    It stands in each of its runs: any of them tells of all that was asked, so that a report
    can say what never started.
    """

    name: str
    title: str
    part: str
    parts: tuple[AskedPart, ...]
    owner: str = ""
    source: str = ""
    stop_on_finding: bool = True


class Started(Event, frozen=True, kw_only=True, tag="started"):
    """A run began: the whole question, with parameters filled in and secrets as references.

    `digest` is that of the experiment; `targets` maps a step to the target keys of a saved
    plan that must be met exactly (law L8), and is empty for a run without one; `mechanisms` says by
    what that plan would do each step. `policies` are
    those the run is under, `gates` theirs, `by` who asked, `names` how a policy may call
    them, and `overrides` and `ticket` what they gave with it. `schedule` and `suite` name what
    it is a part of: `nightly`, and the first part of the ids of a suite's runs; `asked` tells
    of that suite.
    """

    run: str
    experiment: Experiment
    digest: str
    seed: int
    driver: str
    version: str
    source: str = ""
    parameters: dict[str, JSON] = {}
    targets: dict[str, tuple[str, ...]] = {}
    mechanisms: dict[str, str] = {}
    schedule: str = ""
    suite: str = ""
    asked: AskedSuite | None = None
    by: str = ""
    names: tuple[str, ...] = ()
    ticket: str = ""
    policies: tuple[PolicySource, ...] = ()
    gates: tuple[dict[str, dict[str, JSON]], ...] = ()
    overrides: tuple[Override, ...] = ()


class Resumed(Event, frozen=True, kw_only=True, tag="resumed"):
    """Another driver took the run up, to revert what is owed. It never injects again."""

    driver: str
    reason: str


class GateMeasured(Event, frozen=True, kw_only=True, tag="gate-measured"):
    """A gate was asked: at the start (`step` is empty), or just before that step's injection."""

    gate: str
    index: int
    open: bool
    measured: str
    rule: str
    hint: str = ""
    step: str = ""


class PolicyMeasured(Event, frozen=True, kw_only=True, tag="policy-measured"):
    """Every rule of the run's policies: at the start (`step` is empty), or just before a lease.

    `terms` are what the lease must meet when it is taken.
    """

    rules: tuple[RuleMeasured, ...]
    step: str = ""
    terms: tuple[Term, ...] = ()


class Sampled(Event, frozen=True, kw_only=True, tag="sampled"):
    """A check or a guard was sampled; `began` is when, `result` what the probe returned."""

    subject: str
    """`check` or `guard`."""
    name: str
    moment: Moment
    outcome: Outcome
    began: float
    result: JSON = None
    reason: str = ""


class Planned(Event, frozen=True, kw_only=True, tag="planned"):
    """A step's targets were chosen: at the start, and again (`final`) just before its lease."""

    step: str
    hold: Hold
    final: bool = False


class PlanFailed(Event, frozen=True, kw_only=True, tag="plan-failed"):
    """A step's targets could not be chosen."""

    step: str
    failure: Failure
    error: str
    hint: str = ""
    final: bool = False


class Leased(Event, frozen=True, kw_only=True, tag="leased"):
    """Targets and the way back are durable. From here on a revert is owed (laws L1, L2).

    `terms` were true when it was written: they are looked at in the same transaction. `labels`
    are the experiment's, by which runs are counted.
    """

    step: str
    lease: str
    hold: Hold
    terms: tuple[Term, ...] = ()
    labels: dict[str, str] = {}


class LeaseDenied(Event, frozen=True, kw_only=True, tag="lease-denied"):
    """Another run holds one of the targets."""

    step: str
    target: str
    holder: str


class Injected(Event, frozen=True, kw_only=True, tag="injected"):
    """The fault was put in place. `late` when it answered after it was given up."""

    lease: str
    late: bool = False


class InjectFailed(Event, frozen=True, kw_only=True, tag="inject-failed"):
    """The injection did not end well; it may have happened, so the revert stays owed.

    `late` when it answered after it was given up; `unanswered` when it was given up now, and so may
    still act.
    """

    lease: str
    failure: Failure
    error: str
    hint: str = ""
    late: bool = False
    unanswered: bool = False


class EffectSeen(Event, frozen=True, kw_only=True, tag="effect-seen"):
    """Looking at the target showed the fault (law L6): at first, or again just before its end."""

    lease: str
    detail: str
    measured: dict[str, JSON] = {}


class EffectNotSeen(Event, frozen=True, kw_only=True, tag="effect-not-seen"):
    """Looking at the target did not show the fault, or not any more, or nobody could look."""

    lease: str
    detail: str


class Reverted(Event, frozen=True, kw_only=True, tag="reverted"):
    """A revert that began at `began` ended well. Nothing is proven yet."""

    lease: str
    began: float = 0.0


class RevertFailed(Event, frozen=True, kw_only=True, tag="revert-failed"):
    """A revert that began at `began` did not end well; it will be tried again."""

    lease: str
    began: float = 0.0
    failure: Failure
    error: str
    hint: str = ""


class Restored(Event, frozen=True, kw_only=True, tag="restored"):
    """Looking at the target showed it as it was: the lease is no longer owed."""

    lease: str
    detail: str
    measured: dict[str, JSON] = {}


class NotRestored(Event, frozen=True, kw_only=True, tag="not-restored"):
    """Looking at the target did not show it as it was, or nobody could look."""

    lease: str
    detail: str


class StopRequested(Event, frozen=True, kw_only=True, tag="stop-requested"):
    """Somebody or something outside asked for a stop. `signal` is set when it was one."""

    verdict: Verdict
    by: str
    reason: str
    signal: int = 0


class Finished(Event, frozen=True, kw_only=True, tag="finished"):
    """The run ended with this verdict."""

    verdict: Verdict
    reason: str


AnyEvent = (
    Started | Resumed | GateMeasured | PolicyMeasured | Sampled | Planned | PlanFailed
    | Leased | LeaseDenied | Injected | InjectFailed | EffectSeen | EffectNotSeen
    | Reverted | RevertFailed | Restored | NotRestored | StopRequested | Finished
)  # fmt: skip
