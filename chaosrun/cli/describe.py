"""`chaosrun describe`: everything about one fault, probe or gate, from its types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console

if TYPE_CHECKING:
    from chaosrun.cli.catalog import Argument, Described


class _Name(click.ParamType[str]):
    """The name of a fault, probe or gate."""

    name = "name"

    def shell_complete(
        self, _ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[Any]:
        from click.shell_completion import CompletionItem

        from chaosrun import discovery

        tables = ("faults", "probes", "gates")
        names = sorted({name for table in tables for name in discovery.names(table)})
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]


@make.command(
    "describe",
    examples="""
    chaosrun describe host.tcp-proxy
    chaosrun describe http --output json
    chaosrun describe command --kind gate     where several things have one name
    """,
)
@click.argument("name", type=_Name())
@click.option(
    "--kind", type=click.Choice(["fault", "probe", "gate", "halt source"]), help="Only that kind."
)
@make.output_option()
@click.pass_obj
def command(console: Console, name: str, kind: str | None, output: str) -> int:
    """Explain a fault, probe or gate: its arguments, what it returns, how it ends."""
    from chaosrun.cli import catalog
    from chaosrun.errors import Rejected

    kinds = catalog.kinds_of(name)
    if kind and kind not in kinds:
        raise Rejected(f"{name} is a {' and a '.join(kinds)}, not a {kind}")
    found = [catalog.described(one, name) for one in ((kind,) if kind else kinds)]
    if output == "json":
        console.json(found if len(found) > 1 else found[0])
        return 0
    for index, item in enumerate(found):
        if index:
            console.print()
        _show(console, item)
    return 0


def _show(console: Console, item: Described) -> None:
    console.print(f"{console.style(item.name, 'bold')}  {item.kind} of provider {item.provider}")
    console.print(f"\n{item.summary}")
    if item.description:
        console.print(f"\n{item.description}")
    _arguments(console, "target:", item.target)
    _arguments(
        console, "with:" if item.kind in ("fault", "probe") else "Arguments:", item.arguments
    )
    result = "The result, whose names an expectation may use:"
    _arguments(console, result, item.result, inputs=False)
    if item.reversal:
        _title(console, "How it ends")
        console.print(f"  {_REVERSAL[item.reversal]}\n  {_EXPIRY[item.expiry]}")
    if item.permissions:
        _title(console, "What it needs")
        rows = [("  " + p.system, p.action, p.resource) for p in item.permissions]
        console.table(rows)
    _title(console, "Example")
    for line in item.example.splitlines():
        console.print(f"  {line}")


_REVERSAL = {
    "reverted": "reverted: chaosrun takes it away and looks that it is gone",
    "self-healing": "self-healing: the system recovers by itself; chaosrun looks that it did",
    "irreversible": "irreversible: it must be accepted by name under acceptIrreversible",
}
_EXPIRY = {
    "target": "expiry target: the target itself ends it at the deadline, even without chaosrun",
    "runner": "expiry runner: it ends when chaosrun, or `chaosrun recover`, reverts it",
}


def _title(console: Console, title: str) -> None:
    console.print(f"\n{console.style(title, 'bold')}")


def _arguments(
    console: Console, title: str, arguments: tuple[Argument, ...], *, inputs: bool = True
) -> None:
    """Each argument with its type; what it is for below it, as wide as the terminal."""
    if not arguments:
        return
    from textwrap import wrap

    from chaosrun.cli.catalog import flat

    _title(console, title)
    listed = list(flat(arguments))
    column = 4 + max(len(name) for name, _ in listed)
    for name, argument in listed:
        default = argument.default and f"default {argument.default}"
        facts = [argument.type, "required" if argument.required and inputs else default]
        facts.append(argument.bounds)
        console.print(f"  {name:{column - 4}}  {', '.join(filter(None, facts))}")
        for line in wrap(argument.description, max(30, console.width - column)):
            console.print(" " * column + console.style(line, "dim"))
