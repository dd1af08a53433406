"""What is wrong with the arguments of a fault, a probe or a gate.

Imported only once something is: `naming.py` asks msgspec first.
"""

from __future__ import annotations

import re
from typing import Any

from chaosrun.arguments import TARGET
from chaosrun.loading import shape
from chaosrun.loading.problems import Findings
from chaosrun.loading.source import Path
from chaosrun.units import JSON


def explain(
    with_: dict[str, JSON],
    kind: type[Any],
    path: Path,
    named_at: int,
    findings: Findings,
    error: str,
) -> None:
    """Report every argument of a probe or a gate that is wrong.

    `path` is where the arguments are, and `named_at` the index of the name they are for. What
    only all of them together show is said in the provider's own words: the `error`.
    """
    before = len(findings)
    _beside_target(with_, shape.fields_of(kind), path, named_at, findings)
    if len(findings) == before:
        _whole(error, with_, path, named_at, findings)


def explain_fault(
    with_: dict[str, JSON],
    target: dict[str, JSON],
    kind: type[Any],
    path: Path,
    named_at: int,
    findings: Findings,
    error: str,
) -> None:
    """The same for a fault: `path` is that of the step, which has `target` and `with`."""
    before = len(findings)
    fields = shape.fields_of(kind)
    beside = tuple(field for field in fields if field.name != TARGET)
    arguments = {key: value for key, value in with_.items() if key != TARGET}
    if TARGET in with_:
        message = "`target` is written beside `with`, not in it"
        findings.key((*path, "with", TARGET), message)
    else:
        field = next((field for field in fields if field.name == TARGET), None)
        _target(target, field, path, named_at, findings)
    _beside_target(arguments, beside, (*path, "with"), named_at, findings)
    if len(findings) == before and not findings.poisoned_within((*path, TARGET)):
        _whole(error, {**with_, TARGET: target}, (*path, "with"), named_at, findings)


def _beside_target(
    with_: dict[str, JSON],
    fields: tuple[shape.Field, ...],
    path: Path,
    named_at: int,
    findings: Findings,
) -> None:
    missing_at = findings.key_index(path) if with_ else named_at
    shape.check_mapping(with_, fields, path, findings, missing_at=missing_at, what="argument")


def _target(
    target: dict[str, JSON],
    field: shape.Field | None,
    path: Path,
    named_at: int,
    findings: Findings,
) -> None:
    if target and field is None:
        findings.key((*path, TARGET), "this fault takes no `target`", code="unknown-argument")
    elif target and field is not None:
        shape.check(target, field.kind, (*path, TARGET), findings)
    elif field is not None and field.required:
        message = "`target` is missing: this fault must be told what to touch"
        findings.at(named_at, message, code="missing-argument")


def _whole(
    error: str, arguments: dict[str, JSON], path: Path, named_at: int, findings: Findings
) -> None:
    if findings.poisoned_within(path) or shape.holds_reference(arguments):
        return  # some values are not known now
    message = shape.message_of(error)
    named = re.match(r"`(\w+)`", message)
    if named and findings.has((*path, named[1])):
        where = findings.value_index((*path, named[1]))
    else:
        where = findings.key_index(path) if findings.has(path) else named_at
    findings.at(where, message, code="argument")
