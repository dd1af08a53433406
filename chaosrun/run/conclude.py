"""`conclude`: what a run has found. Pure.

Law (L6): `passed` needs a seen effect of every step, one that nobody ended before us, and enough
samples of every check.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from chaosrun.events import Verdict
from chaosrun.run.state import Run, Stop
from chaosrun.units import format_seconds

_LOUDNESS: Final = {verdict: index for index, verdict in enumerate(Verdict)}


def asks_after(run: Run) -> bool:
    """Whether the return of the steady state is still a question: not when a host stops us."""
    if run.in_place_since is None or run.resumed:
        return False
    return all(f.verdict not in (Verdict.CANCELLED, Verdict.ERROR) for f in run.findings)


def conclude(run: Run) -> tuple[Verdict, str]:
    """The loudest finding, and why; `passed` only when the evidence is there (law L6)."""
    findings = [f for f in run.findings if f.verdict is not Verdict.STRANDED]
    if any(step.stranded for step in run.steps.values()):
        findings = list(run.findings)
    if asks_after(run):
        findings += _deviations(run)
        if not findings:
            findings += _doubts(run)
    elif not findings:
        findings.append(Stop(Verdict.INCONCLUSIVE, "nothing was injected", run.at))
    if not findings:
        return Verdict.PASSED, "the steady state held"
    loudest = min(findings, key=lambda finding: _LOUDNESS[finding.verdict])
    return loudest.verdict, loudest.reason


def _deviations(run: Run) -> Iterator[Stop]:
    within = format_seconds(run.spec.recover_within.seconds)
    for name, check in run.checks.items():
        if reason := check.broken():
            yield Stop(Verdict.DEVIATED, reason, run.at)
        if check.streak < check.check.samples:
            said = f": {check.reason}" if check.reason else ""
            reason = f"the steady state did not return within {within}: {name}{said}"
            yield Stop(Verdict.DEVIATED, reason, run.at)


def _doubts(run: Run) -> Iterator[Stop]:
    """Reasons why holding may mean nothing: no effect, or none to the end, or too few samples."""
    for name, step in run.steps.items():
        if not step.effect_seen:
            yield Stop(Verdict.INCONCLUSIVE, f"step {name!r} had no visible effect", run.at)
        elif step.effect_lost:
            reason = f"step {name!r} lost its effect before its end: {step.effect_lost}"
            yield Stop(Verdict.INCONCLUSIVE, reason, run.at)
    since, until = run.in_place_since or 0.0, run.in_place_until or 0.0
    for name, check in run.checks.items():
        held, broke, unknown = check.in_place  # what held before it says nothing of the fault
        known = held + broke
        due = int((until - since) / check.check.every.seconds) if check.check.every else 1
        if known < max(1, due // 2) or unknown > known:
            reason = (
                f"too few samples to say: {name}: {known} of about {max(1, due)} expected, "
                f"{unknown} unknown"
            )
            yield Stop(Verdict.INCONCLUSIVE, reason, run.at)
