"""What to do after a run, as plain sentences.

Law: no advice without its reason in the run's own facts.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaosrun.events import Outcome, Verdict
from chaosrun.fault import Expiry
from chaosrun.reports.result import Summary
from chaosrun.reports.wording import clause, listed, quoted, seconds, share


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
            hints += [rule.hint for rule in told.rules if not rule.passes and rule.hint]
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
        if step.effect_lost:
            yield (
                f"Find out who ended {quoted(step.name)}: a controller or a person may have put "
                "back what it changed. Pause them, or change what they want."
            )
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
