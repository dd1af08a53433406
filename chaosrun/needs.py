"""The rights that exactly one experiment needs: those of its faults, probes, guards and gates.

Law: nothing is read from any target to tell them.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaosrun import arguments
from chaosrun.rights import Permission
from chaosrun.spec import Check, ExperimentSpec, Guard


def needed(spec: ExperimentSpec) -> dict[Permission, list[str]]:
    """Each right, sorted, with the names of what needs it. Raises Rejected."""
    found: dict[Permission, list[str]] = {}
    for name, rights in _all(spec):
        for right in rights:
            if name not in (names := found.setdefault(right, [])):
                names.append(name)
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def _all(spec: ExperimentSpec) -> Iterator[tuple[str, tuple[Permission, ...]]]:
    for step in spec.method:
        yield step.name, arguments.fault_of(step).needs()
    looks: tuple[Check | Guard, ...] = (*spec.steady_state, *spec.abort_when)
    for check in looks:
        yield check.name, arguments.probe_of(check).needs()
    for written in spec.gates:
        ((name, given),) = written.items()
        yield name, arguments.gate_of(name, given).needs()


def _order(right: Permission) -> tuple[str, str, str, str]:
    return right.system, right.resource, right.action, right.scope
