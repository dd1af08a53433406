"""`chaosrun halt`: the switch that stops everything (law L10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console

if TYPE_CHECKING:
    from chaosrun.journal import Halt


@click.group(
    "halt",
    cls=make.Group,
    examples="""
    chaosrun halt on --reason "incident 4711"    every run reverts; new ones are refused
    chaosrun halt status
    chaosrun halt off
    """,
)
def command() -> None:
    """The switch that stops every run and refuses new ones, until a person lifts it."""


@command.command("on", examples='chaosrun halt on --reason "incident 4711"')
@click.option("--reason", required=True, help="Why; everybody who is refused reads it.")
@make.journal_option
@click.pass_obj
def on(console: Console, reason: str, journal_url: str | None) -> int:
    """Turn the switch on: running runs revert now, and new ones are refused."""
    from time import time

    from chaosrun.journal import Halt

    with make.opened(journal_url) as journal:
        journal.set_halt(Halt(by=make.who(), reason=reason, at=time()))
        running = [row for row in journal.runs(unfinished=True) if row.driver_alive]
    console.print(f"halt is on: {reason}")
    for row in running:
        console.print(f"  run {row.run} of {row.name} is told to revert")
    if running:
        console.print("`chaosrun status` shows what is still owed")
    return 0


@command.command("off", examples="chaosrun halt off")
@make.journal_option
@click.pass_obj
def off(console: Console, journal_url: str | None) -> int:
    """Turn the switch off: experiments may run again."""
    with make.opened(journal_url) as journal:
        was = journal.halt()
        journal.set_halt(None)
    console.print("halt is off" + (f"; it was on: {was.reason}" if was else "; it was off already"))
    return 0


@command.command("status", examples="chaosrun halt status --output json")
@make.output_option()
@make.journal_option
@click.pass_obj
def status(console: Console, output: str, journal_url: str | None) -> int:
    """Whether the switch is on, by whom and why."""
    with make.opened(journal_url) as journal:
        halt = journal.halt()
    if output == "json":
        console.json({"on": halt is not None, "halt": halt})
    else:
        console.print(halt_words(halt) if halt else "halt is off")
    return 0


def halt_words(halt: Halt) -> str:
    """The switch in one line."""
    from chaosrun.cli.narrator import clock

    return f"halt is on since {clock(halt.at, date=True)}, by {halt.by}: {halt.reason}"
