"""`chaosrun recover`: revert what dead drivers and stranded runs left behind (law L2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console, clean

if TYPE_CHECKING:
    from chaosrun.cli.owing import Unfinished
    from chaosrun.errors import JournalUnavailable


@make.command(
    "recover",
    examples="""
    chaosrun recover                 everything that is left behind
    chaosrun recover last            one run
    chaosrun recover --dry-run       only say what would be reverted
    """,
)
@click.argument("runs", nargs=-1, type=make.RunName())
@click.option("--dry-run", is_flag=True, help="Only say what would be reverted.")
@make.journal_option
@click.pass_obj
def command(console: Console, runs: tuple[str, ...], dry_run: bool, journal_url: str | None) -> int:
    """Revert what runs with a dead driver, and stranded runs, still owe.

    Exit code 0 when nothing is left behind, 7 when something still is.
    """
    from chaosrun.cli.owing import unfinished
    from chaosrun.cli.run import Options
    from chaosrun.cli.screen import Screen
    from chaosrun.cli.signals import Signals

    with make.opened(journal_url) as journal:
        wanted = {journal.find(run) for run in runs}
        unreadable: list[JournalUnavailable] = []
        found = list(reversed(unfinished(journal, wanted, None if wanted else unreadable)))
        left = [one for one in found if one.needs_recovery]
        _say_what_not(console, found, wanted)
        if not left:
            _raise_first(unreadable)
            console.print("nothing is left behind")
            return 0
        if dry_run:
            for one in left:
                _would(console, one)
            _raise_first(unreadable)
            return 7 if any(one.owed for one in left) else 0
        from chaosrun.recovery import recover

        options = Options(output="text", events="", quiet=False, files={})
        with Signals() as signals, Screen.opened(console, options) as screen:
            signals.tell(screen.signal)
            with screen.plain_watch(journal) as observers:
                recover(journal, [one.row.run for one in left], observers=observers)
        owing = list(unfinished(journal, {one.row.run for one in left}))
    code = _conclude(console, len(left), owing)
    if code == 0:
        _raise_first(unreadable)
    return code


def _raise_first(unreadable: list[JournalUnavailable]) -> None:
    """What cannot be read may owe something: after all that can be done, it is said."""
    if unreadable:
        raise unreadable[0]


def _say_what_not(console: Console, found: list[Unfinished], wanted: set[str]) -> None:
    alive = [one for one in found if not one.needs_recovery]
    for one in alive if wanted else []:
        console.warn(
            f"run {one.row.run} is being driven: {one.run.phase}",
            f"chaosrun abort {one.row.run} --reason ... stops it",
        )
    for run in sorted(wanted - {one.row.run for one in found}):
        console.print(f"run {run} has ended, and owes nothing")


def _would(console: Console, one: Unfinished) -> None:
    if not one.owed:
        console.print(f"run {one.row.run} owes nothing; it would be closed")
    for owed in one.owed:
        targets = ", ".join(clean(target.label) for target in owed.hold.targets)
        how = f": {clean(owed.hold.way_back)}" if owed.hold.way_back else ""
        console.print(f"run {one.row.run} would revert {clean(owed.step)} on {targets}{how}")


def _conclude(console: Console, count: int, owing: list[Unfinished]) -> int:
    owed = [(one, lease) for one in owing for lease in one.owed]
    if not owed:
        runs = "1 run is" if count == 1 else f"{count} runs are"
        console.print(f"{runs} recovered; nothing is left behind")
        return 0
    for one, lease in owed:
        why = clean(lease.trouble) or "it was not tried"
        console.error(f"still owed: {clean(lease.step)} of run {one.row.run}: {why}")
    console.note("  hint: `chaosrun status` shows where; `chaosrun recover` tries again")
    return 7
