"""`chaosrun prune`: delete old runs from the journal."""

from __future__ import annotations

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console


@make.command(
    "prune",
    examples="""
    chaosrun prune --older-than 90d
    chaosrun export --all > runs.jsonl && chaosrun prune --older-than 1d --yes
    """,
)
@click.option("--older-than", required=True, metavar="DURATION",
              help="Runs that ended longer ago than this, such as 90d.")  # fmt: skip
@click.option("--yes", is_flag=True, help="Do not ask.")
@make.journal_option
@click.pass_obj
def command(console: Console, older_than: str, yes: bool, journal_url: str | None) -> int:
    """Delete runs that ended long ago and owe nothing."""
    from time import time

    seconds = make.duration(older_than)
    question = f"Delete runs that ended more than {older_than} ago?"
    if not make.need_confirmation(console, question, yes=yes):
        console.print("nothing was deleted")
        return 0
    with make.opened(journal_url) as journal:
        count = journal.prune(time() - seconds)
    console.print(f"{count} run{'' if count == 1 else 's'} deleted")
    return 0
