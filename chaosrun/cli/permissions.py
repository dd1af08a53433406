"""`chaosrun permissions`: the rights that exactly this experiment needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from chaosrun.permission import Need
    from chaosrun.spec import Check, Experiment, Guard

_WORDS = {
    "linux": "Linux: what the user that runs chaosrun must be allowed to do",
    "rbac": "Kubernetes RBAC: rules of a Role",
    "iam": "AWS IAM: actions of a policy",
}


@make.command(
    "permissions",
    examples="""
    chaosrun permissions experiment.yaml
    chaosrun permissions experiment.yaml --output json
    chaosrun permissions experiment.yaml --output iam > policy.json
    """,
)
@click.argument("file", type=click.Path(allow_dash=True))
@make.parameter_options
@make.output_option("iam", "rbac")
@click.pass_obj
def command(
    console: Console, file: str, sets: tuple[str, ...], values: str | None, output: str
) -> int:
    """List the rights that an experiment's faults, probes and gates need, and nothing more.

    With --output iam or rbac, the document that grants those of that system.
    """
    from chaosrun.cli.reading import load

    needs = tuple(needs_of(load(file, sets, values).experiment))
    match output:
        case "json":
            console.json([
                {"permission": permission, "steps": by} for permission, by in _by_permission(needs)
            ])  # fmt: skip
        case "text":
            _show(console, needs)
        case system:
            console.print(_document(system, needs))
    return 0


def _show(console: Console, needs: Sequence[Need]) -> None:
    if not needs:
        console.print("no rights beyond those of any user")
    for system in dict.fromkeys(need.permission.system for need in needs):
        console.print(console.style(_WORDS.get(system, system), "bold"))
        console.table([
            (f"  {permission.action}", permission.resource, f"for {', '.join(by)}")
            for permission, by in _by_permission(needs)
            if permission.system == system
        ])  # fmt: skip
        if _writer(system) is not None:
            console.note(f"`chaosrun permissions --output {system}` prints what grants them")


def needs_of(experiment: Experiment) -> Iterator[Need]:
    """What each fault, probe and gate of an experiment needs, sorted."""
    from chaosrun import arguments, discovery
    from chaosrun.permission import Need

    spec = experiment.spec
    parts: list[tuple[Any, str, str, dict[str, Any]]] = []
    for step in spec.method:
        kind = discovery.fault(step.fault)
        written = arguments.fault_arguments(kind, step.target, step.with_)
        parts.append((kind, step.fault, step.name, written))
    checks: list[Check | Guard] = [*spec.steady_state, *spec.abort_when]
    parts += [(discovery.probe(one.probe), one.probe, one.name, one.with_) for one in checks]
    for gate in spec.gates:
        parts += [(discovery.gate(name), name, name, with_) for name, with_ in gate.items()]
    found = [
        Need(permission=permission, uses=name, by=by, arguments=written)
        for kind, name, by, written in parts
        for permission in kind.permissions
    ]
    yield from sorted(found, key=lambda need: (need.permission.system, need.permission.action))


def _by_permission(needs: Sequence[Need]) -> list[tuple[Any, list[str]]]:
    """Each permission, and what needs it."""
    by: dict[Any, list[str]] = {}
    for need in needs:
        names = by.setdefault(need.permission, [])
        if need.by not in names:
            names.append(need.by)
    return list(by.items())


def _writer(system: str) -> Any:
    """The provider whose document grants permissions of that system, if there is one."""
    from chaosrun import discovery

    return next((one for one in discovery.builtin_providers() if system in one.documents), None)


def _document(system: str, needs: Sequence[Need]) -> str:
    """What grants the permissions of one system. Raises Rejected when there are none."""
    from chaosrun.errors import Rejected

    ours = [need for need in needs if need.permission.system == system]
    if not ours:
        raise Rejected(f"nothing in this experiment needs permissions of {system}")
    provider = _writer(system)
    if provider is None:
        raise Rejected(f"chaosrun cannot write a document for {system}", hint="--output json")
    return str(provider.load(provider.documents[system])(ours))
