"""What a run showed and what to do now, as plain sentences made of facts.

Law: a sentence says only what was measured. No advice without its reason.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaosrun.events import Outcome, Verdict
from chaosrun.fault import Expiry
from chaosrun.reports.result import CheckResult, GuardResult, StepOutcome, StepResult, Summary
from chaosrun.reports.series import worst
from chaosrun.reports.wording import clause, count, listed, number, quoted, seconds, share


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
    for check in told.checks:
        if check.before.broke or check.before.unknown:
            bad = check.before.broke + check.before.unknown
            reasons = [s.reason for s in check.samples if s.outcome is not Outcome.HELD]
            because = f": {clause(reasons[-1])}" if reasons[-1] else ""
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
            return f"{name} could not be injected into {size}: {clause(failed.error)}."
        return f"{name} was leased for {size}; whether it was injected is not known."
    if step.effect_seen is None:
        looked = f": {clause(step.effect_detail)}" if step.effect_detail else ""
        return f"{name} was injected into {size}, and no effect was seen{looked}."
    detail = f": {clause(step.effect_detail)}" if step.effect_detail else ""
    return f"{name} touched {size}, and its effect was seen{detail}."


def blast_radius(step: StepResult) -> str:
    """`1 of 3 targets (33%)`."""
    touched = len(step.targets)
    if step.share is None:
        return f"{count(touched, 'target')} of an unknown population"
    return f"{touched} of {count(step.population or 0, 'target')} ({share(step.share)})"


def _check(told: Summary, check: CheckResult) -> str:
    during, name = check.during, quoted(check.name)
    numbers = _numbers(check)
    while_ = _in_place(told)
    if during.broke:
        first = _after_injection(told, check.first_broke)
        because = f": {clause(check.first_reason)}" if check.first_reason else ""
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
        yield f"The steady state returned {seconds(told.recovery)} after the last revert."
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
        why = f" The last attempt said: {clause(owed.trouble)}." if owed.trouble else ""
        yield f"{quoted(owed.step)} is still in place on {clause(labels)}.{why}"


def next_steps(told: Summary) -> tuple[str, ...]:
    """What to do now, most pressing first."""
    match told.verdict:
        case None:
            return _next_running(told)
        case Verdict.STRANDED:
            return tuple(_next_stranded(told))
        case Verdict.PASSED:
            widest = max((step.share or 0.0 for step in told.steps), default=0.0)
            more = f"a larger share than {share(widest)}, " if 0 < widest < 1 else ""
            return (
                f"Ask a harder question: {more}a longer hold, or two faults at once.",
                "Keep the answer true: run it after each deploy.",
            )
        case Verdict.DEVIATED | Verdict.ABORTED:
            return (
                *_find_why(told),
                f"When it is mended, ask the same again: {told.repeat}",
            )
        case Verdict.REFUSED:
            hints = [gate.hint for gate in told.gates if not gate.open and gate.hint]
            hints += [limit.hint for limit in told.limits if not limit.within]
            hints += [trouble.hint for s in told.steps for trouble in s.troubles if trouble.hint]
            first = [f"First: {clause(hint)}." for hint in dict.fromkeys(hints)]
            if not hints:
                first = ["Mend what is named above first."]
            return (*first, f"Then ask again: {told.repeat}")
        case Verdict.INCONCLUSIVE:
            return (*_make_conclusive(told), f"Then ask again: {told.repeat}")
        case Verdict.CANCELLED:
            return (f"Nothing is owed. To ask again: {told.repeat}",)
        case Verdict.ERROR:
            return (
                f"This is a bug in chaosrun or in a provider; please report it with "
                f"`chaosrun export {told.run}`.",
            )


def _next_running(told: Summary) -> tuple[str, ...]:
    if not told.run:
        return ()
    return (
        f"To stop it and put everything back: `chaosrun abort {told.run}`.",
        "If its process has died: `chaosrun recover`.",
    )


def _next_stranded(told: Summary) -> Iterator[str]:
    yield "Page a person, and try again: `chaosrun recover`."
    for owed in told.owed:
        if owed.way_back:
            yield f"By hand, {quoted(owed.step)} is undone so: {clause(owed.way_back)}."
        if owed.expiry is Expiry.TARGET and owed.deadline is not None:
            yield (
                f"The target itself was set to end {quoted(owed.step)} {seconds(owed.deadline)} "
                "after the run started; `chaosrun status` shows what is still owed."
            )


def _find_why(told: Summary) -> Iterator[str]:
    broke = [c for c in told.checks if c.first_broke is not None and c.outcome is Outcome.BROKE]
    for check in sorted(broke, key=lambda c: c.first_broke or 0.0)[:1]:
        steps = listed(quoted(s.name) for s in told.steps if s.injected is not None)
        yield f"Find out why {quoted(check.name)} does not survive {steps}: it broke first."
        return
    lost = [c for c in told.checks if c.after.total and c.returned is None]
    for check in lost[:1]:
        yield f"Find out why {quoted(check.name)} does not return by itself."
        return
    for guard in told.guards:
        if guard.tripped is not None:
            yield f"Find out what {quoted(guard.name)} saw: {clause(guard.when)}."


def _make_conclusive(told: Summary) -> Iterator[str]:
    for step in told.steps:
        if step.leased is not None and step.effect_seen is None:
            hint = next((t.hint for t in step.troubles if t.hint), "")
            if hint:
                yield f"For {quoted(step.name)}: {clause(hint)}."
            else:
                yield (
                    f"Make sure that {quoted(step.name)} reaches what it should: "
                    f"`chaosrun plan {told.source or told.name + '.yaml'}` shows its targets."
                )
    for check in told.checks:
        if "too few samples" in told.reason and check.name in told.reason:
            yield (
                f"Sample {quoted(check.name)} more often than every {seconds(check.every)}, "
                "or hold the faults for longer."
            )
