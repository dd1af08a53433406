"""`chaosrun serve`: run schedules by themselves, all in one process."""

from __future__ import annotations

from typing import Any

import click

from chaosrun.cli import command as make
from chaosrun.cli import daemons


@make.command(
    "serve",
    examples="""
    chaosrun serve schedules/                        scheduler and worker in one process
    chaosrun serve schedules/ --log json --listen 0.0.0.0:8790
    chaosrun serve schedules/ --drain 10m            TERM lets runs end before it reverts them
    chaosrun schedule simulate schedules/            what it will do in the coming weeks
    """,
)
@click.argument("schedules", nargs=-1, required=True, type=click.Path())
@daemons.working
@daemons.common
def command(schedules: tuple[str, ...], **options: Any) -> int:
    """Run schedules by themselves: compute what is due, ask it, report, until TERM.

    SCHEDULES are files and directories; they are read again when they change. What dead daemons
    left in place is reverted. TERM stops it: what runs reverts first, what has not begun is left
    to the next one.
    """
    return daemons.run(schedules=schedules, works=True, **options)
