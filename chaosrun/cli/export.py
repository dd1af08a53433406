"""`chaosrun export`: runs as JSON lines, one event a line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console

if TYPE_CHECKING:
    from chaosrun.events import AnyEvent


@make.command(
    "export",
    examples="""
    chaosrun export last > run.jsonl
    chaosrun export --all | gzip > journal.jsonl.gz
    """,
)
@click.argument("runs", nargs=-1, type=make.RunName())
@click.option("--all", "everything", is_flag=True, help="Every run, oldest first.")
@make.journal_option
@click.pass_obj
def command(
    console: Console, runs: tuple[str, ...], everything: bool, journal_url: str | None
) -> int:
    """Write the events of runs as JSON lines: run, sequence, and the event."""
    if everything == bool(runs):
        raise click.UsageError("name runs, or say --all")
    with make.opened(journal_url) as journal:
        if everything:
            found = [row.run for row in reversed(journal.runs())]
        else:
            found = [journal.find(run) for run in runs]
        from chaosrun.journal.export import export_lines

        for run in found:
            for line in export_lines(journal, run):
                console.write(line.decode())
    return 0


def write_events(console: Console, run: str, events: Iterable[AnyEvent]) -> None:
    for sequence, event in enumerate(events):
        console.print(event_line(run, sequence, event))


def event_line(run: str, sequence: int, event: AnyEvent) -> str:
    """An event as one line of JSON, with its place."""
    from chaosrun.codec import to_json, to_plain

    return to_json({"run": run, "sequence": sequence, **to_plain(event)}).decode()
