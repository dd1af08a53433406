"""The rights that exactly one experiment needs: those of its faults, probes, guards and gates.

Law: nothing is read from any target to tell them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from msgspec.structs import replace

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
    for right in list(found):
        if (wider := _wider(right, found)) is not None:
            names = found.pop(right)
            found[wider] += [name for name in names if name not in found[wider]]
    return dict(sorted(found.items(), key=lambda item: _order(item[0])))


def _wider(right: Permission, found: Collection[Permission]) -> Permission | None:
    """The widest of them that covers this one: the same everywhere, or in the whole place."""
    place, slash, _ = right.scope.partition("/")
    for scope in ("", place if slash else ""):
        other = replace(right, scope=scope)
        if other != right and other in found:
            return other
    return None


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
