"""`chaosrun halt`: the switch that stops everything (law L10)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console
from chaosrun.cli.under import policy_option

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
@policy_option
@make.output_option()
@make.journal_option
@click.pass_obj
def status(
    console: Console, policies: tuple[str, ...], output: str, journal_url: str | None
) -> int:
    """Whether the switch is on, by whom and why; and what each halt source of a policy says.

    A source that cannot be read counts as on.
    """
    from chaosrun.loading.policies import find_policies
    from chaosrun.switches import Source

    sources = [Source(one) for one in find_policies(policies).halts()]
    with make.opened(journal_url) as journal:
        halt = journal.halt()
    said = [(source, source.read()) for source in sources]
    for source in sources:
        source.close()
    if output == "json":
        console.json(
            {
                "on": halt is not None or any(switch.on for _, switch in said),
                "halt": halt,
                "sources": [
                    {
                        "source": source.name, "policy": source.demanded.source,
                        "on": switch.on, "seen": switch.seen,
                    }
                    for source, switch in said
                ],
            }
        )  # fmt: skip
        return 0
    console.print(halt_words(halt) if halt else "halt is off")
    for source, switch in said:
        state = "on" if switch.on else "off"
        console.hang(f"  {state.ljust(3)}  {source.name}  ", f"{switch.seen}")
        console.hang("       ", f"set by {source.demanded.source}")
    return 0


def halt_words(halt: Halt) -> str:
    """The switch in one line."""
    from chaosrun.cli.narrator import clock

    return f"halt is on since {clock(halt.at, date=True)}, by {halt.by}: {halt.reason}"
