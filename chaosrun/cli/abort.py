"""`chaosrun abort`: stop a run from another terminal, and see it revert."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console

if TYPE_CHECKING:
    from chaosrun.journal import Journal


@make.command(
    "abort",
    examples="""
    chaosrun abort last --reason "customers complain"
    chaosrun abort 01K2 --reason "wrong cluster" --no-wait
    """,
)
@click.argument("run", type=make.RunName())
@click.option("--reason", required=True, help="Why; it is on record.")
@click.option("--wait/--no-wait", default=True, help="Wait until the run has reverted and ended.")
@click.option("--timeout", default="5m", show_default=True, metavar="DURATION",
              help="How long to wait.")  # fmt: skip
@make.journal_option
@click.pass_obj
def command(
    console: Console, run: str, reason: str, wait: bool, timeout: str, journal_url: str | None
) -> int:
    """Stop a running run; it reverts everything.

    Exit code 0 when the run has ended with nothing owed, 7 when something is still owed.
    """
    from time import time

    from chaosrun.errors import Refused

    seconds = make.duration(timeout)
    with make.opened(journal_url) as journal:
        found = journal.find(run)
        row = next((row for row in journal.runs(unfinished=True) if row.run == found), None)
        if row is None:
            console.print(f"run {found} has ended already; nothing is owed")
            return 0
        if not row.driver_alive:
            raise Refused(
                f"the driver of run {found} is dead, so it cannot stop by itself",
                hint=f"chaosrun recover {found}",
            )
        journal.request_abort(found, make.who(), reason, time())
        console.print(f"run {found} of {row.name} is asked to stop: {reason}")
        return _see_it_end(console, journal, found, seconds) if wait else 0


def _see_it_end(console: Console, journal: Journal, run: str, seconds: float) -> int:
    """Tell the run's story from now on; 0 when it ended clean."""
    from time import time

    from chaosrun.cli.following import follow
    from chaosrun.cli.narrator import Narrator, subject_width, written

    narrator, since = Narrator(), time() - 1.0
    for event in follow(journal, run, seconds=seconds):
        for line in narrator.tell(event):
            if line.at >= since:
                width = subject_width(narrator.run)
                console.print(written(line, color=console.color, subject=width))
        console.flush()
    if narrator.run.finished and not narrator.run.owed:
        return 0
    doing = "it is still reverting" if not narrator.run.finished else "it is stranded"
    console.error(f"run {run} has not ended clean: {doing}", "`chaosrun status` shows what is owed")
    return 7
