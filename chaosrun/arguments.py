"""Arguments as a person wrote them become the typed fault, probe or gate that they name.

Law (L4): a value made here was checked whole. Secrets must be substituted before
(`chaosrun.secrets.substitute`), or the references themselves are taken for the text.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Rejected
from chaosrun.fault import AnyFault
from chaosrun.gate import AnyGate
from chaosrun.halting import AnyHaltSource
from chaosrun.probe import AnyProbe
from chaosrun.spec import Check, Guard, Step
from chaosrun.units import JSON

T = TypeVar("T")

TARGET = "target"
"""The field of a fault that a person writes beside `with`, not in it."""


def fault_of(step: Step) -> AnyFault:
    """The fault of a step, typed. Raises Rejected."""
    kind = discovery.fault(step.fault)
    return _typed(kind, fault_arguments(kind, step.target, step.with_), step.fault)


def probe_of(check: Check | Guard) -> AnyProbe:
    """The probe of a check or a guard, typed. Raises Rejected."""
    return _typed(discovery.probe(check.probe), check.with_, check.probe)


def gate_of(name: str, arguments: dict[str, JSON]) -> AnyGate:
    """The gate of that name, typed. Raises Rejected."""
    return _typed(discovery.gate(name), arguments, name)


def halt_source_of(name: str, arguments: dict[str, JSON]) -> AnyHaltSource:
    """The halt source of that name, typed. Raises Rejected."""
    return _typed(discovery.halt_source(name), arguments, name)


def fault_arguments(
    kind: type[AnyFault], target: dict[str, JSON], with_: dict[str, JSON]
) -> dict[str, JSON]:
    """The fields of a fault: `with`, and `target` where it has one or one was written."""
    if TARGET in with_:
        raise Rejected("`target` is written beside `with`, not in it")
    return {**with_, TARGET: target} if target or target_required(kind) else with_


def target_required(kind: type[AnyFault]) -> bool:
    """Whether a step with this fault must say its target."""
    return any(f.name == TARGET and f.required for f in msgspec.structs.fields(kind))


def _typed(kind: type[T], arguments: dict[str, Any], name: str) -> T:
    try:
        return from_plain(arguments, kind)
    except msgspec.ValidationError as error:
        raise Rejected(f"{name}: {error}") from None
