"""`chaosrun report`: a finished or running run, in any format, from its journal."""

from __future__ import annotations

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console
from chaosrun.cli.reporting import FORMATS


@make.command(
    "report",
    examples="""
    chaosrun report last
    chaosrun report last --format html --out report.html
    chaosrun report 20261123-0421 --format junit > junit.xml
    """,
)
@click.argument("run", type=make.RunName(), default="last")
@click.option("--format", "-f", "kind", type=click.Choice(FORMATS), default="text",
              show_default=True, help="Which report.")  # fmt: skip
@click.option("--out", metavar="FILE", help="Write it to this file.")
@make.journal_option
@click.pass_obj
def command(console: Console, run: str, kind: str, out: str | None, journal_url: str | None) -> int:
    """Report on a run: what was asked, what happened, what was learned.

    RUN is the beginning of a run's id, or `last`.
    """
    from chaosrun.cli.reporting import check_writable, rendered, write_files
    from chaosrun.reports.summary import summarise

    if out:
        check_writable([out])
    with make.opened(journal_url) as journal:
        summary = summarise(journal.events(journal.find(run)))
    if out:
        if kind == "text":
            console.set_color("never")
        write_files(summary, {kind: out}, console)
        console.note(f"{kind} report: {out}")
    else:
        console.write(rendered(summary, kind, console))
    return 0
