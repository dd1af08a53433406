"""`chaosrun worker`: run what schedulers found due."""

from __future__ import annotations

from typing import Any

from chaosrun.cli import command as make
from chaosrun.cli import daemons


@make.command(
    "worker",
    examples="""
    chaosrun worker --journal postgresql://chaosrun@db/chaosrun
    chaosrun worker --most 100 --drain 10m
    """,
)
@daemons.working
@daemons.common
def command(**options: Any) -> int:
    """Run what is due in the agenda, and take up what dead workers left in place.

    Run as many as you like on one PostgreSQL journal. TERM stops one: what runs reverts first,
    what has not begun is done by another.
    """
    return daemons.run(schedules=(), works=True, **options)
