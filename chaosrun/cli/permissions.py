"""`chaosrun permissions`: the rights that exactly this experiment needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console

if TYPE_CHECKING:
    from chaosrun.fault import Permission
    from chaosrun.spec import Experiment

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
    """,
)
@click.argument("file", type=click.Path(allow_dash=True))
@make.parameter_options
@make.output_option()
@click.pass_obj
def command(
    console: Console, file: str, sets: tuple[str, ...], values: str | None, output: str
) -> int:
    """List the rights that an experiment's faults need, and nothing more, by system."""
    from chaosrun.cli.reading import load

    needed = _needed(load(file, sets, values).experiment)
    if output == "json":
        console.json(
            [{"permission": permission, "steps": steps} for permission, steps in needed.items()]
        )
        return 0
    if not needed:
        console.print("no rights beyond those of any user")
    for system in dict.fromkeys(permission.system for permission in needed):
        console.print(console.style(_WORDS.get(system, system), "bold"))
        rows = [
            (f"  {permission.action}", permission.resource, f"for {', '.join(steps)}")
            for permission, steps in needed.items()
            if permission.system == system
        ]
        console.table(rows)
    return 0


def _needed(experiment: Experiment) -> dict[Permission, list[str]]:
    """Each permission, and the steps that need it."""
    from chaosrun import discovery

    needed: dict[Permission, list[str]] = {}
    for step in experiment.spec.method:
        for permission in discovery.fault(step.fault).permissions:
            needed.setdefault(permission, []).append(step.name)
    return dict(sorted(needed.items(), key=lambda item: (item[0].system, item[0].action)))
