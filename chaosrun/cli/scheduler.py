"""`chaosrun scheduler`: only compute what is due; workers do it."""

from __future__ import annotations

from typing import Any

import click

from chaosrun.cli import command as make
from chaosrun.cli import daemons


@make.command(
    "scheduler",
    examples="""
    chaosrun scheduler schedules/ --journal postgresql://chaosrun@db/chaosrun
    """,
)
@click.argument("schedules", nargs=-1, required=True, type=click.Path())
@daemons.common
def command(schedules: tuple[str, ...], **options: Any) -> int:
    """Compute what is due and put it into the agenda; `chaosrun worker` does it.

    Run as many as you like on one PostgreSQL journal: all compute the same, and each fire happens
    once.
    """
    return daemons.run(schedules=schedules, works=False, **options)
