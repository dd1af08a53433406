"""What a suite came to: one pure function of the events of its runs.

Law (L7): a suite has no record of its own. Each of its runs tells what was asked, so what never
started is known too, and why follows from how the others ended. What is not known is not a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set

from chaosrun import events as e
from chaosrun.errors import Rejected
from chaosrun.events import Verdict
from chaosrun.reports.result import Summary
from chaosrun.reports.suite import SuitePart, SuiteSummary, conclude
from chaosrun.reports.summary import summarise
from chaosrun.reports.wording import clean
from chaosrun.suite import QUIET


def summarise_suite(
    suite: str, runs: Mapping[str, Iterable[e.AnyEvent]], gone: Set[str] = frozenset()
) -> SuiteSummary:
    """The result of the suite with these runs. `gone` are those whose driver no longer lives.

    Raises Rejected when no run tells what the suite is.
    """
    asked, results = _read(runs)
    if asked is None:
        raise Rejected(
            f"the runs of suite {suite} do not tell what was asked: an older chaosrun wrote them",
            hint=f"report on each: {', '.join(sorted(runs))}",
        )
    parts = []
    for each in asked.parts:
        result = results.get(each.name)
        if result is None:
            reason = _why_not(each.name, asked, results, gone)
            parts.append(SuitePart(name=each.name, reason=reason))
        else:
            parts.append(_ran(each.name, result, gone))
    return assembled(suite, asked, tuple(parts), over=_is_over(asked, results, gone))


def assembled(
    suite: str, asked: e.AskedSuite, parts: tuple[SuitePart, ...], *, signal: int = 0,
    over: bool = True,
) -> SuiteSummary:  # fmt: skip
    """The whole, of its parts. Without a verdict until it is over."""
    results = [part.result for part in parts if part.result is not None]
    signals = [stop.signal for result in results for stop in result.stops if stop.signal]
    verdict: Verdict | None
    code: int | None
    verdict, code, reason = conclude(parts, signal or next(iter(signals), 0))
    if not over:
        verdict, code, reason = None, None, _so_far(parts)
    first = min((result.started_at for result in results), default=0.0)
    last = max((result.started_at + result.duration for result in results), default=0.0)
    return SuiteSummary(
        suite=suite, name=asked.name, title=asked.title, owner=asked.owner, source=asked.source,
        verdict=verdict, exit_code=code, reason=reason, duration=last - first, parts=parts,
    )  # fmt: skip


def _read(
    runs: Mapping[str, Iterable[e.AnyEvent]],
) -> tuple[e.AskedSuite | None, dict[str, Summary]]:
    """What was asked, and by the name of each part that began its result."""
    asked, results = None, {}
    for events in runs.values():
        known = list(events)
        first = known[0] if known else None
        if isinstance(first, e.Started) and first.asked is not None:
            asked = first.asked
            results[asked.part] = summarise(known)
    return asked, results


def _ran(name: str, result: Summary, gone: Set[str]) -> SuitePart:
    reason = result.reason
    if result.verdict is None and result.run in gone:
        reason = "its driver is gone: `chaosrun recover` reverts what it left behind"
    return SuitePart(name=name, verdict=result.verdict, reason=reason, result=result)


def _is_over(asked: e.AskedSuite, results: Mapping[str, Summary], gone: Set[str]) -> bool:
    """Whether nothing of it runs, and nothing more will start."""
    if any(result.verdict is None for result in results.values()):
        return False
    if len(results) == len(asked.parts) or _stopped(asked, results):
        return True
    return all(result.run in gone for result in results.values())


def _stopped(asked: e.AskedSuite, results: Mapping[str, Summary]) -> str:
    """Why nothing more starts, as far as its runs tell; empty when they tell of no reason."""
    in_order = sorted(results.items(), key=lambda item: item[1].started_at + item[1].duration)
    for name, result in in_order:
        if result.resumes:
            return f"the process that ran the suite ended during {clean(name)}"
    for _, result in in_order:
        for stop in result.stops:
            if stop.signal:
                return stop.reason
    if asked.stop_on_finding:
        for name, result in in_order:
            if result.verdict is not None and result.verdict not in QUIET:
                return f"{clean(name)} ended {result.verdict}"
    return ""


def _why_not(
    name: str, asked: e.AskedSuite, results: Mapping[str, Summary], gone: Set[str]
) -> str:  # fmt: skip
    """Why there is no run of that part."""
    if any(name in part.after for part in asked.parts if part.name in results):
        return "its run is not in the journal any longer"  # others waited for it, and began
    if why := _stopped(asked, results):
        return f"not started: {why}"
    if all(result.run in gone for result in results.values()):
        return "not started: the process that ran the suite ended"
    after = next(part.after for part in asked.parts if part.name == name)
    waits = [
        clean(each)
        for each in after
        if (result := results.get(each)) is None or result.verdict is None
    ]
    return f"not started yet: it waits for {', '.join(waits)}" if waits else "not started yet"


def _so_far(parts: tuple[SuitePart, ...]) -> str:
    """The state of a suite without a verdict, in one sentence."""
    for part in parts:
        if part.result is not None and part.verdict is None:
            return f"{clean(part.name)}: {part.reason}"
    return "no verdict yet: the next experiment is about to start"
