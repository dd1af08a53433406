"""`chaosrun export`: runs as JSON lines, one event a line; an experiment as a template of FIS."""

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
    chaosrun export fis experiment.yaml > template.json
    """,
)
@click.argument("runs", nargs=-1, type=make.RunName())
@click.option("--all", "everything", is_flag=True, help="Every run, oldest first.")
@click.option("--role", metavar="ARN", default="", help="Of `fis`: the role that FIS acts as.")
@make.parameter_options
@make.journal_option
@click.pass_obj
def command(
    console: Console, runs: tuple[str, ...], everything: bool, role: str,
    sets: tuple[str, ...], values: str | None, journal_url: str | None,
) -> int:  # fmt: skip
    """Write the events of runs as JSON lines: run, sequence, and the event.

    `export fis FILE` writes an experiment as a template of AWS' Fault Injection Service, and says
    on standard error what FIS has no words for.
    """
    if len(runs) == 2 and runs[0] == "fis":
        return _fis(console, runs[1], role, sets, values)
    if role or sets or values:
        raise click.UsageError("--role, --set and --values are for `export fis FILE`")
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


def _fis(console: Console, file: str, role: str, sets: tuple[str, ...], values: str | None) -> int:
    from chaosrun.cli.import_ import tell
    from chaosrun.cli.reading import load
    from chaosrun.errors import Rejected
    from chaosrun.providers.aws.fis_export import template_of

    template, notes = template_of(load(file, sets, values).experiment, role)
    tell(console, notes)
    if template is None:
        raise Rejected("there is nothing that FIS could run", hint="the lines above say why")
    console.json(template.request())
    return 0


def write_events(console: Console, run: str, events: Iterable[AnyEvent]) -> None:
    for sequence, event in enumerate(events):
        console.print(event_line(run, sequence, event))


def event_line(run: str, sequence: int, event: AnyEvent) -> str:
    """An event as one line of JSON, with its place."""
    from chaosrun.codec import to_json, to_plain

    return to_json({"run": run, "sequence": sequence, **to_plain(event)}).decode()
