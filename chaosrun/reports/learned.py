"""What a run showed, as plain sentences made of facts.

Law: a sentence says only what was measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chaosrun.events import Outcome
from chaosrun.limits import in_short
from chaosrun.reports.result import CheckResult, GuardResult, StepOutcome, StepResult, Summary
from chaosrun.reports.series import worst
from chaosrun.reports.wording import clause, count, listed, number, quoted, seconds, share

_MOST_RULES: Final = 3
"""Rules that are told in sentences; all stand in a table of their own."""
_LONGEST: Final = 160
"""Characters of a reason within a sentence; the whole stands elsewhere in the report."""


def learned(told: Summary) -> tuple[str, ...]:
    """What the run showed, most telling first."""
    injected = [step for step in told.steps if step.leased is not None]
    if not injected:
        return tuple(_why_nothing(told))
    sentences = [
        *_owing(told),
        *(_step(step) for step in injected),
        *_stopping(told),
        *(_check(told, check) for check in told.checks if check.during.total),
        *_returning(told),
        *_resuming(told),
    ]
    return tuple(sentence for sentence in sentences if sentence)


def _why_nothing(told: Summary) -> Iterator[str]:
    over = told.verdict is not None or told.stopped is not None
    said = False
    for gate in told.gates:
        if not gate.open:
            said = True
            would = f" What would open it: {clause(gate.hint)}." if gate.hint else ""
            yield (
                f"Nothing was injected: the gate {quoted(gate.gate)} was closed. It measured: "
                f"{clause(gate.measured)}. Its rule: {clause(gate.rule)}.{would}"
            )
    for limit in told.limits:
        if not limit.within:
            said = True
            of = f" of {quoted(limit.step)}" if limit.step else ""
            yield (
                f"Nothing was injected: the limit {quoted(limit.limit)}{of} would be passed: "
                f"{clause(limit.measured)}; {clause(limit.rule)}. "
                f"What would help: {clause(limit.hint)}."
            )
    broken = [rule for rule in told.rules if not rule.passes]
    for rule in broken[:_MOST_RULES]:
        said = True
        would = f" What would make it pass: {clause(rule.hint)}." if rule.hint else ""
        yield (
            f"Nothing was injected: the policy's rule {quoted(rule.rule)} is not met. It "
            f"measured: {clause(rule.measured)}. It demands: {clause(rule.limit)} "
            f"({rule.source}).{would}"
        )
    if len(broken) > _MOST_RULES:
        yield f"{len(broken) - _MOST_RULES} more rules of its policies are not met."
    for check in told.checks:
        if check.before.broke or check.before.unknown:
            bad = check.before.broke + check.before.unknown
            reasons = [s.reason for s in check.samples if s.outcome is not Outcome.HELD]
            because = f": {clause(reasons[-1], _LONGEST)}" if reasons[-1] else ""
            verb = "did not hold" if check.before.broke else "could not be sampled"
            said = said or over
            start = "Nothing was injected: the" if over else "The"
            yield (
                f"{start} steady state was not steady to begin with. {quoted(check.name)} {verb} "
                f"in {bad} of {count(check.before.total, 'sample')}{because}."
            )
    for guard in told.guards:
        if guard.tripped is not None:
            said = True
            yield f"Nothing was injected: {clause(guard.trip_reason)}."
    for step in told.steps:
        for trouble in step.troubles:
            said = True
            yield (
                f"Nothing was injected: {quoted(step.name)} could not "
                f"{'be planned' if trouble.doing == 'plan' else 'get its targets'}: "
                f"{clause(trouble.error)}."
            )
    if over and not said:
        yield f"Nothing was injected: {clause(told.reason)}."


def _step(step: StepResult) -> str:
    name, size = quoted(step.name), blast_radius(step)
    failed = next((t for t in step.troubles if t.doing == "inject"), None)
    if step.injected is None:
        if failed:
            return f"{name} could not be injected into {size}: {clause(failed.error, _LONGEST)}."
        return f"{name} was leased for {size}; whether it was injected is not known."
    if step.effect_seen is None:
        looked = f": {clause(step.effect_detail, _LONGEST)}" if step.effect_detail else ""
        return f"{name} was injected into {size}, and no effect was seen{looked}."
    if step.effect_lost:
        return (
            f"{name} touched {size}, and its effect was gone before its end: "
            f"{clause(step.effect_lost, _LONGEST)}."
        )
    detail = f": {clause(step.effect_detail, _LONGEST)}" if step.effect_detail else ""
    return f"{name} touched {size}, and its effect was seen{detail}."


def blast_radius(step: StepResult) -> str:
    """`1 of 3 targets (33%)`, and where they are: `(33%; zone eu-west-1a 1 of 2)`."""
    touched = len(step.targets)
    if step.share is None:
        return f"{count(touched, 'target')} of an unknown population"
    where = in_short(step.parts)
    return f"{touched} of {count(step.population or 0, 'target')} ({share(step.share)}{where})"


def _check(told: Summary, check: CheckResult) -> str:
    during, name = check.during, quoted(check.name)
    numbers = _numbers(check)
    while_ = _in_place(told)
    if during.broke:
        first = _after_injection(told, check.first_broke)
        because = f": {clause(check.first_reason, _LONGEST)}" if check.first_reason else ""
        allowed = f", {share(check.tolerate)} tolerated" if check.tolerate else ""
        total = count(during.total, "sample")
        if check.outcome is Outcome.HELD:
            return (
                f"{name} held in {during.held} of {total}{while_}{allowed}; "
                f"the first to fail came {first}{because}.{numbers}"
            )
        return (
            f"{name} failed in {during.broke} of {total}{while_}{allowed}; "
            f"first {first}{because}.{numbers}"
        )
    if not during.held:
        return f"{name} could not be sampled{while_}: {count(during.unknown, 'sample')} unknown."
    if during.unknown:
        return (
            f"{name} held in {during.held} of {count(during.total, 'sample')}{while_}; "
            f"the others are unknown.{numbers}"
        )
    all_ = "the only sample" if during.total == 1 else f"all {during.total} samples"
    return f"{name} held in {all_}{while_}.{numbers}"


def _numbers(check: CheckResult) -> str:
    """How the plotted number moved, where there is something to compare."""
    moments = (("before", check.before), ("during", check.during), ("after", check.after))
    medians = [
        f"{number(counts.median, check.unit)} {moment}"
        for moment, counts in moments
        if counts.median is not None
    ]
    if check.during.median is None or not check.plotted or not check.thresholds:
        return ""
    bad_end = worst(check)
    extreme = check.during.most if bad_end == "most" else check.during.least
    bound = check.thresholds[0]
    return (
        f" Median {check.plotted}: {', '.join(medians)}; "
        f"at {bad_end} {number(extreme or 0.0, check.unit)}, "
        f"expected {bound.operator} {number(bound.value, check.unit)}."
    )


def _in_place(told: Summary) -> str:
    names = [quoted(step.name) for step in told.steps if step.leased is not None]
    if not names:
        return ""
    return f" while {listed(names)} {'was' if len(names) == 1 else 'were'} in place"


def _after_injection(told: Summary, at: float | None) -> str:
    """When something happened, counted from the last injection before it."""
    if at is None:
        return "at an unknown time"
    before = [s.injected for s in told.steps if s.injected is not None and s.injected <= at]
    if not before:
        return f"{seconds(at)} after the start"
    return f"{seconds(at - max(before))} after the injection"


def _stopping(told: Summary) -> Iterator[str]:
    reacted = ""
    if told.reaction is not None:
        reacted = f" The first revert was done {seconds(told.reaction)} later."
    for guard in told.guards:
        if guard.tripped is not None:
            when = _after_injection(told, guard.tripped)
            yield f"{_trip(guard)} and stopped the run {when}.{reacted}"
    for stop in told.stops:
        asked = f"{clause(stop.by)} asked for a stop" if stop.by else "A stop was asked for"
        why = f": {clause(stop.reason)}" if stop.reason else ""
        later = reacted if told.stopped == stop.at else ""
        yield f"{asked} {_after_injection(told, stop.at)}{why}.{later}"


def _trip(guard: GuardResult) -> str:
    said = guard.trip_reason.partition("could not tell: ")[2]
    if "could not tell" in guard.trip_reason:
        return (
            f"The guard {quoted(guard.name)} could not tell{f' ({clause(said)})' if said else ''}"
        )
    return f"The guard {quoted(guard.name)} tripped"


def _returning(told: Summary) -> Iterator[str]:
    if told.recovery is not None:
        bad = [s for c in told.checks for s in c.samples if s.outcome is not Outcome.HELD]
        if bad:
            yield f"The steady state returned {seconds(told.recovery)} after the last revert."
        else:
            yield "The steady state held at every look, also after the last revert."
        return
    for check in told.checks:
        if check.after.total and check.returned is None and told.verdict is not None:
            yield (
                f"{quoted(check.name)} did not return: it held in {check.after.held} of "
                f"{count(check.after.total, 'sample')} after the last revert."
            )


def _resuming(told: Summary) -> Iterator[str]:
    for resume in told.resumes:
        yield (
            f"The run was taken up again {seconds(resume.at)} after it started: "
            f"{clause(resume.reason)}."
        )
    back = [quoted(s.name) for s in told.steps if s.outcome is StepOutcome.RESTORED]
    if told.resumes and not told.owed and back:
        verb = "was" if len(back) == 1 else "were"
        yield f"Everything is back: {listed(back)} {verb} undone and seen restored."


def _owing(told: Summary) -> Iterator[str]:
    if told.verdict is None:
        return
    for owed in told.owed:
        labels = listed(target.name or target.id for target in owed.targets)
        why = f" The last attempt said: {clause(owed.trouble, _LONGEST)}." if owed.trouble else ""
        yield f"{quoted(owed.step)} is still in place on {clause(labels)}.{why}"
