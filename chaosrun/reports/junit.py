"""The summary as JUnit XML: one suite for the run, one case for each thing that was asked.

Law: a run that did not pass never looks green. A finding about the system (it broke, a guard
tripped) is a failure; what kept the question from an answer (refused, inconclusive, cancelled,
an error, something still owed) is an error; what was not reached is skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final
from xml.etree import ElementTree as Xml

import msgspec

from chaosrun.events import Outcome, Verdict
from chaosrun.reports.result import (
    CheckResult,
    Counts,
    GuardResult,
    StepOutcome,
    StepResult,
    Summary,
)
from chaosrun.verdicts import MEANING

_FINDINGS: Final = (Verdict.DEVIATED, Verdict.ABORTED)
_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One test case; `kind` is failure, error, skipped or nothing for a pass."""

    group: str
    name: str
    time: float = 0.0
    kind: str = ""
    type: str = ""
    message: str = ""
    output: str = ""


def junit(told: Summary) -> str:
    """The suite, as text that any JUnit reader takes."""
    cases = [
        *_gates(told),
        *_limits(told),
        *_rules(told),
        *(_check(told, check) for check in told.checks),
        *(_guard(told, guard) for guard in told.guards),
        *(_step(told, step) for step in told.steps),
        _verdict(told),
    ]
    totals = {
        "tests": str(len(cases)),
        "failures": str(sum(case.kind == "failure" for case in cases)),
        "errors": str(sum(case.kind == "error" for case in cases)),
        "skipped": str(sum(case.kind == "skipped" for case in cases)),
        "time": f"{told.duration:.3f}",
    }
    name = _legal(told.name or "chaosrun")
    root = Xml.Element("testsuites", {"name": "chaosrun", **totals})
    suite = Xml.SubElement(root, "testsuite", {"name": name, **totals})
    if told.started:
        suite.set("timestamp", told.started.removesuffix("Z"))
    _properties(suite, told)
    for case in cases:
        _write(suite, name, case)
    Xml.indent(root)
    text = Xml.tostring(root, encoding="unicode")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _properties(suite: Xml.Element, told: Summary) -> None:
    facts = {
        "run": told.run,
        "title": told.title,
        "owner": told.owner,
        "verdict": told.verdict.value if told.verdict else "",
        "reason": told.reason,
        "seed": str(told.seed),
        "digest": told.digest,
        "source": told.source,
        "chaosrun": told.chaosrun,
        **{f"label.{key}": value for key, value in told.labels.items()},
        **{f"parameter.{key}": str(value) for key, value in told.parameters.items()},
    }
    properties = Xml.SubElement(suite, "properties")
    for key, value in facts.items():
        if value:
            Xml.SubElement(properties, "property", {"name": _legal(key), "value": _legal(value)})


def _write(suite: Xml.Element, name: str, case: Case) -> None:
    element = Xml.SubElement(
        suite,
        "testcase",
        {
            "classname": f"{name}.{case.group}",
            "name": _legal(case.name),
            "time": f"{case.time:.3f}",
        },
    )
    if case.kind:
        said = {"message": _legal(case.message)}
        if case.kind != "skipped":
            said["type"] = _legal(case.type)
        result = Xml.SubElement(element, case.kind, said)
        if case.kind != "skipped":
            result.text = _legal(case.message)
    if case.output:
        Xml.SubElement(element, "system-out").text = _legal(case.output)


def _legal(text: str) -> str:
    """Text without the characters that no XML may hold, not even escaped."""
    return _NOT_XML.sub("\ufffd", text)


def _gates(told: Summary) -> Iterator[Case]:
    for gate in told.gates:
        if gate.step and gate.open:
            continue
        where = f" before {gate.step}" if gate.step else ""
        hint = f"; would open it: {gate.hint}" if gate.hint else ""
        yield Case(
            group="gates",
            name=gate.gate + where,
            kind="" if gate.open else "error",
            type="closed",
            message=f"{gate.measured}; rule: {gate.rule}{hint}",
            output=f"measured: {gate.measured}\nrule: {gate.rule}",
        )


def _limits(told: Summary) -> Iterator[Case]:
    for limit in told.limits:
        yield Case(
            group="limits",
            name=f"{limit.limit} of {limit.step}" if limit.step else limit.limit,
            kind="" if limit.within else "error",
            type="over",
            message=f"{limit.measured}; rule: {limit.rule}; {limit.hint}",
            output=f"measured: {limit.measured}\nrule: {limit.rule}",
        )


def _rules(told: Summary) -> Iterator[Case]:
    for rule in told.rules:
        where = f" before {rule.step}" if rule.step else ""
        hint = f"; would make it pass: {rule.hint}" if rule.hint else ""
        yield Case(
            group="policies",
            name=rule.rule + where,
            kind="" if rule.passes else "error",
            type="not met",
            message=f"{rule.measured}; rule: {rule.limit}; {rule.source}{hint}",
            output=f"measured: {rule.words}\nrule: {rule.limit}\npolicy: {rule.source}",
        )


def _check(told: Summary, check: CheckResult) -> Case:
    moments = (("before", check.before), ("during", check.during), ("after", check.after))
    output = "\n".join(
        [f"expect: {check.expect}", *(f"{name}: {_counts(c)}" for name, c in moments if c.total)]
    )
    case = Case(group="checks", name=check.name, time=told.duration, output=output)
    reasons = [s.reason for s in check.samples if s.outcome is not Outcome.HELD and s.reason]
    said = f": {reasons[0]}" if reasons else ""
    match check.outcome:
        case None:
            return _as(case, "skipped", "", "it was not sampled")
        case Outcome.UNKNOWN:
            return _as(case, "error", "unknown", f"it could not be sampled{said}")
        case Outcome.BROKE if not check.during.total:
            return _as(case, "error", "unsteady", f"it did not hold before{said}")
        case Outcome.BROKE if check.during.broke:
            during = check.during
            message = f"{during.broke} of {during.total} samples failed{said}"
            return _as(case, "failure", "deviated", message)
        case Outcome.BROKE:
            return _as(case, "failure", "deviated", f"it did not return after the revert{said}")
    return case


def _guard(told: Summary, guard: GuardResult) -> Case:
    output = f"when: {guard.when}\nduring: {_counts(guard.during)}"
    case = Case(group="guards", name=guard.name, time=told.duration, output=output)
    if guard.tripped is not None:
        kind = "failure" if guard.during.total else "error"
        return _as(case, kind, "tripped", guard.trip_reason)
    return case if guard.samples else _as(case, "skipped", "", "it was not sampled")


def _step(told: Summary, step: StepResult) -> Case:
    end = step.restored if step.restored is not None else told.duration
    lines = [f"fault: {step.fault}", f"effect: {step.effect}", f"way back: {step.way_back}"]
    lines += [f"target: {target.name or target.id}" for target in step.targets]
    lines += [f"{trouble.doing}: {trouble.error}" for trouble in step.troubles]
    case = Case(
        group="steps",
        name=step.name,
        time=max(0.0, end - step.leased) if step.leased is not None else 0.0,
        output="\n".join(lines),
    )
    trouble = step.troubles[-1].error if step.troubles else ""
    match step.outcome:
        case StepOutcome.OWED:
            return _as(case, "error", "owed", f"it is still in place: {trouble}")
        case StepOutcome.SKIPPED | StepOutcome.WAITING:
            if trouble:
                return _as(case, "error", "refused", trouble)
            return _as(case, "skipped", "", "it was not injected")
        case StepOutcome.RESTORED if step.injected is None:
            return _as(case, "error", "not-injected", trouble or "it may not have been injected")
        case StepOutcome.RESTORED if step.effect_seen is None:
            return _as(case, "error", "no-effect", step.effect_detail or "no effect was seen")
        case StepOutcome.RESTORED if step.effect_lost:
            return _as(case, "error", "effect-lost", step.effect_lost)
        case StepOutcome.RESTORED:
            return case
    return _as(case, "error", "unfinished", f"the run has not ended: {step.outcome.value}")


def _verdict(told: Summary) -> Case:
    """The run as a whole, so that no other case has to speak for it."""
    output = "\n".join((*told.learned, *told.next))
    case = Case(group="run", name="verdict", time=told.duration, output=output)
    if told.verdict is None:
        return _as(case, "error", "unfinished", told.reason)
    if told.verdict is Verdict.PASSED:
        return case
    kind = "failure" if told.verdict in _FINDINGS else "error"
    message = f"{told.verdict}: {told.reason} ({MEANING[told.verdict]})"
    return _as(case, kind, told.verdict.value, message)


def _as(case: Case, kind: str, type_: str, message: str) -> Case:
    return msgspec.structs.replace(case, kind=kind, type=type_, message=message)


def _counts(counts: Counts) -> str:
    return f"{counts.held} held, {counts.broke} broke, {counts.unknown} unknown"
