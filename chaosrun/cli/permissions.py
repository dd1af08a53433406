"""`chaosrun permissions`: the rights that exactly this experiment needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console
from chaosrun.cli.under import policy_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from chaosrun.discovery import Provider
    from chaosrun.rights import Need, Permission

_WORDS = {
    "linux": "Linux: what the user that runs chaosrun must be allowed to do",
    "rbac": "Kubernetes RBAC: rules of a Role",
    "iam": "AWS IAM: actions of a policy",
    "docker": "Docker: what the engine must allow",
}


@make.command(
    "permissions",
    examples="""
    chaosrun permissions experiment.yaml
    chaosrun permissions experiment.yaml --output json
    chaosrun permissions experiment.yaml --document iam > policy.json
    chaosrun permissions experiment.yaml --document rbac --subject chaos/runner | kubectl apply -f -
    """,
)
@click.argument("file", type=click.Path(allow_dash=True))
@click.option("--document", metavar="SYSTEM", default="",
              help="Write only what grants them, in its own form: iam, rbac.")  # fmt: skip
@click.option("--subject", metavar="WHO", default="",
              help="Of rbac, whom it grants: NAMESPACE/SERVICEACCOUNT or user:NAME.")  # fmt: skip
@policy_option
@make.parameter_options
@make.output_option()
@click.pass_obj
def command(
    console: Console,
    file: str,
    document: str,
    subject: str,
    policies: tuple[str, ...],
    sets: tuple[str, ...],
    values: str | None,
    output: str,
) -> int:
    """List the rights that an experiment needs, and nothing more, by system.

    They are those of its faults, probes and gates with exactly the arguments that it gives, and
    those of the gates and halt sources that policies demand of it.
    """
    from chaosrun.cli.reading import load
    from chaosrun.errors import Rejected
    from chaosrun.loading.policies import find_policies
    from chaosrun.needs import needed
    from chaosrun.rights import by_right

    experiment = load(file, sets, values).experiment
    found = find_policies(policies)
    needs = needed(
        experiment.spec,
        gates=[gate.written for gate in found.gates(experiment.metadata.labels)],
        halts=[source.written for source in found.halts()],
    )
    if subject and not document:
        raise Rejected("--subject is for a document: give --document too")
    if document:
        written = _document(document, needs, experiment.metadata.name, subject)
        console.print(written.rstrip("\n"))
    elif output == "json":
        console.json([{"permission": r, "steps": names} for r, names in by_right(needs).items()])
    else:
        _show(console, by_right(needs))
    return 0


def _show(console: Console, rights: dict[Permission, list[str]]) -> None:
    if not rights:
        console.print("no rights beyond those of any user")
    writers = _writers()
    for system in dict.fromkeys(right.system for right in rights):
        console.print(console.style(_WORDS.get(system, system), "bold"))
        rows = [
            (f"  {right.action}", _where(right), f"for {', '.join(names)}")
            for right, names in rights.items()
            if right.system == system
        ]
        console.table(rows)
        if system in writers:
            console.note(f"`chaosrun permissions --document {system}` writes what grants them")


def _where(right: Permission) -> str:
    namespace, _, name = right.scope.partition("/")
    words = [right.resource, name, f"in {namespace}" if namespace else ""]
    return " ".join(word for word in words if word)


def _writers() -> dict[str, Provider]:
    """Each system for which a document can be written, and the provider that does."""
    from chaosrun import discovery

    return {system: one for one in discovery.all_providers() for system in one.grants}


def _document(system: str, needs: Sequence[Need], name: str, subject: str) -> str:
    """What grants the rights of one system, by the provider that knows how. Raises Rejected."""
    from chaosrun.errors import Rejected

    able = _writers()
    if system not in able:
        raise Rejected(f"no document for {system!r}", hint=f"there is one for {', '.join(able)}")
    ours = tuple(need for need in needs if need.permission.system == system)
    if not ours:
        raise Rejected(f"nothing in this experiment needs rights of {system}")
    provider = able[system]
    written: str = provider.load(provider.grants[system])(ours, name, subject)
    return written
