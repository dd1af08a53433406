"""`chaosrun permissions`: the rights that exactly this experiment needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console

if TYPE_CHECKING:
    from chaosrun.rights import Permission

_WORDS = {
    "linux": "Linux: what the user that runs chaosrun must be allowed to do",
    "rbac": "Kubernetes RBAC: rules of a Role",
    "iam": "AWS IAM: actions of a policy",
    "docker": "Docker Engine API: calls that its socket, or an authorisation plugin, must allow",
}


@make.command(
    "permissions",
    examples="""
    chaosrun permissions experiment.yaml
    chaosrun permissions experiment.yaml --output json
    chaosrun permissions experiment.yaml --document rbac --subject chaos/runner | kubectl apply -f -
    """,
)
@click.argument("file", type=click.Path(allow_dash=True))
@click.option("--document", metavar="SYSTEM", default="",
              help="Write only what grants them, in that system's own form: rbac.")  # fmt: skip
@click.option("--subject", metavar="WHO", default="",
              help="Whom it grants them: NAMESPACE/SERVICEACCOUNT, or user:NAME.")  # fmt: skip
@make.parameter_options
@make.output_option()
@click.pass_obj
def command(
    console: Console,
    file: str,
    document: str,
    subject: str,
    sets: tuple[str, ...],
    values: str | None,
    output: str,
) -> int:
    """List the rights that an experiment needs, and nothing more, by system.

    They are those of its faults, probes and gates with exactly the arguments that it gives.
    """
    from chaosrun.cli.reading import load
    from chaosrun.errors import Rejected
    from chaosrun.needs import needed

    experiment = load(file, sets, values).experiment
    rights = needed(experiment.spec)
    if subject and not document:
        raise Rejected("--subject is for a document: give --document too")
    if document:
        name = experiment.metadata.name
        console.print(_document(document, tuple(rights), name, subject).rstrip("\n"))
        return 0
    if output == "json":
        console.json(
            [{"permission": permission, "steps": names} for permission, names in rights.items()]
        )
        return 0
    if not rights:
        console.print("no rights beyond those of any user")
    for system in dict.fromkeys(permission.system for permission in rights):
        console.print(console.style(_WORDS.get(system, system), "bold"))
        rows = [
            (f"  {right.action}", _where(right), f"for {', '.join(names)}")
            for right, names in rights.items()
            if right.system == system
        ]
        console.table(rows)
    return 0


def _where(right: Permission) -> str:
    namespace, _, name = right.scope.partition("/")
    words = [right.resource, name, f"in {namespace}" if namespace else ""]
    return " ".join(word for word in words if word)


def _document(system: str, rights: tuple[Permission, ...], name: str, subject: str) -> str:
    """What grants these rights, by the provider that knows how."""
    from chaosrun import discovery
    from chaosrun.errors import Rejected

    able = {key: one for one in discovery.all_providers() for key in one.grants}
    if system not in able:
        raise Rejected(f"no document for {system!r}", hint=f"there is one for {', '.join(able)}")
    provider = able[system]
    ours = tuple(right for right in rights if right.system == system)
    written: str = provider.load(provider.grants[system])(ours, name, subject)
    return written
