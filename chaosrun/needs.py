"""The rights that exactly one experiment needs: those of its faults, probes, guards and gates,
and of the gates and halt sources that policies demand.

Law: nothing is read from any target to tell them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from chaosrun import arguments, discovery
from chaosrun.rights import Need, Permission
from chaosrun.spec import Check, ExperimentSpec, Guard
from chaosrun.units import JSON

Written = dict[str, dict[str, JSON]]
"""A gate or a halt source as it is written: its name, and its arguments."""


def needed(
    spec: ExperimentSpec, gates: Iterable[Written] = (), halts: Iterable[Written] = ()
) -> tuple[Need, ...]:
    """Each right with what needs it, sorted by the right. Raises Rejected.

    `gates` and `halts` are those of policies.
    """
    found = [
        Need(permission=right, uses=uses, by=by, arguments=written)
        for by, uses, written, rights in _all(spec, gates, halts)
        for right in rights
    ]
    return tuple(sorted(found, key=lambda need: need.permission.order))


def _all(
    spec: ExperimentSpec, gates: Iterable[Written], halts: Iterable[Written]
) -> Iterator[tuple[str, str, dict[str, JSON], tuple[Permission, ...]]]:
    for step in spec.method:
        kind: Any = discovery.fault(step.fault)
        written = arguments.fault_arguments(kind, step.target, step.with_)
        yield step.name, step.fault, written, arguments.fault_of(step).needs()
    looks: tuple[Check | Guard, ...] = (*spec.steady_state, *spec.abort_when)
    for check in looks:
        yield check.name, check.probe, check.with_, arguments.probe_of(check).needs()
    for gate in (*spec.gates, *gates):
        ((name, given),) = gate.items()
        yield name, name, given, arguments.gate_of(name, given).needs()
    for source in halts:
        ((name, given),) = source.items()
        yield name, name, given, arguments.halt_source_of(name, given).needs()
