"""`chaosrun faults`, `probes` and `gates`: one command for each, made the same way."""

from __future__ import annotations

import click

from chaosrun.cli.command import Command, command, output_option
from chaosrun.cli.console import Console


def listing(kind: str, words: str) -> Command:
    """The command that lists every fault, probe or gate."""

    @command(
        f"{kind}s",
        examples=f"""
        chaosrun {kind}s
        chaosrun {kind}s --output json | jq -r '.[].name'
        chaosrun describe NAME      everything about one of them
        """,
    )
    @output_option()
    @click.pass_obj
    def list_them(console: Console, output: str) -> int:
        from chaosrun.cli.catalog import listed

        found = listed(kind)
        if output == "json":
            console.json(found)
            return 0
        console.table(
            [(item.name, item.summary + (f": {item.install}" if item.install else ""))
             for item in found],
            header=(kind.upper(), "WHAT IT DOES"),
        )  # fmt: skip
        return 0

    list_them.help = f"List {kind}s: {words}"
    assert isinstance(list_them, Command)
    return list_them
