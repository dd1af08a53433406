"""`chaosrun status`: what is owed, where, since when, and whether anybody is at it."""

from __future__ import annotations

from time import time
from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console, clean
from chaosrun.units import JSON

if TYPE_CHECKING:
    from chaosrun.cli.owing import Unfinished
    from chaosrun.run import Owed


@make.command(
    "status",
    examples="""
    chaosrun status
    chaosrun status --output json | jq '.runs[].owed[].targets'
    chaosrun status || page-somebody       exit code 7: faults are left behind
    """,
)
@make.output_option()
@make.journal_option
@click.pass_obj
def command(console: Console, output: str, journal_url: str | None) -> int:
    """Show what is owed: faults whose revert is not yet verified.

    Exit code 0 when nothing is owed, or only by runs that are being driven; 7 when a run is
    stranded or owes something and its driver is dead.
    """
    from chaosrun.cli.owing import unfinished

    with make.opened(journal_url) as journal:
        halt = journal.halt()
        runs = unfinished(journal)
    left = any(one.owed and (one.stranded or one.needs_recovery) for one in runs)
    if output == "json":
        console.json({"halt": halt, "left": left, "runs": [_plain(one) for one in runs]})
        return 7 if left else 0
    if halt:
        from chaosrun.cli.halt import halt_words

        console.print(console.style(halt_words(halt), "yellow"))
    if not runs:
        console.print("nothing is owed; no run is running")
    for one in runs:
        _show(console, one)
    if left:
        console.print("\n`chaosrun recover` reverts what dead and stranded runs left behind")
    return 7 if left else 0


def _state(one: Unfinished) -> tuple[str, str]:
    if one.stranded:
        return "stranded", "red"
    if one.row.driver_alive:
        return str(one.run.phase), "cyan"
    return "dead", "red"


def _show(console: Console, one: Unfinished) -> None:
    from chaosrun.cli.narrator import clock
    from chaosrun.reports.wording import seconds

    state, style = _state(one)
    alive = "alive" if one.row.driver_alive else "dead"
    ago = seconds(time() - one.row.started_at)
    console.print(
        f"run {one.row.run}  {console.style(state, style)}  {clean(one.row.name)}, started {ago}"
        f" ago, driver {one.row.driver} ({alive})"
    )
    if not one.owed:
        console.print("  owes nothing")
    for owed in one.owed:
        since = f"since {clock(owed.since, date=True)} ({seconds(time() - owed.since)})"
        console.print(f"  owed: {clean(owed.step)} ({owed.hold.fault}) {since}")
        console.print(f"    deadline  {_deadline(owed)}")
        for target in owed.hold.targets:
            console.print(f"    target    {clean(target.label)}  {clean(target.key)}")
        if owed.hold.way_back:
            console.print(f"    way back  {clean(owed.hold.way_back)}")
        if owed.trouble:
            console.print(f"    trouble   {console.style(clean(owed.trouble), 'red')}")


def _deadline(owed: Owed) -> str:
    from chaosrun.reports.wording import seconds

    left = owed.hold.deadline - time()
    when = f"in {seconds(left)}" if left >= 0 else f"{seconds(-left)} ago"
    if owed.hold.expiry == "target":
        return f"{when}; the target itself ends the fault then"
    return f"{when}; only a revert ends the fault"


def _plain(one: Unfinished) -> dict[str, JSON]:
    return {
        "run": one.row.run,
        "name": one.row.name,
        "state": _state(one)[0],
        "started_at": one.row.started_at,
        "driver": one.row.driver,
        "driver_alive": one.row.driver_alive,
        "owed": [
            {
                "lease": owed.lease,
                "step": owed.step,
                "fault": owed.hold.fault,
                "since": owed.since,
                "deadline": owed.hold.deadline,
                "expiry": owed.hold.expiry,
                "mark": owed.hold.mark,
                "targets": [target.key for target in owed.hold.targets],
                "way_back": owed.hold.way_back,
                "stranded": owed.stranded,
                "trouble": owed.trouble,
            }
            for owed in one.owed
        ],
    }
