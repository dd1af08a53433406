"""`chaosrun report`: a finished or running run or suite, in any format, from the journal."""

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
    chaosrun report 20261123-042107-3f9a2c81d0 -f html --out suite.html
    """,
)
@click.argument("run", type=make.RunName(), default="last")
@click.option("--format", "-f", "kind", type=click.Choice(FORMATS), default="text",
              show_default=True, help="Which report.")  # fmt: skip
@click.option("--out", metavar="FILE", help="Write it to this file.")
@make.journal_option
@click.pass_obj
def command(console: Console, run: str, kind: str, out: str | None, journal_url: str | None) -> int:
    """Report on a run or a suite: what was asked, what happened, what was learned.

    RUN is the beginning of the id of a run or of a suite, or `last`. A suite's id is what the
    ids of its runs begin with: it gives the one report of the suite, and so does `last` when
    the newest run is part of one. The whole id of a run gives that run alone.
    """
    from chaosrun.cli.reporting import check_writable, rendered, write_text
    from chaosrun.cli.suite_runs import find_suite, summary_of
    from chaosrun.reports.suite import render
    from chaosrun.reports.summary import summarise

    if out:
        check_writable([out])
    with make.opened(journal_url) as journal:
        suite = find_suite(journal, run)
        whole = summary_of(journal, suite) if suite else None
        summary = summarise(journal.events(journal.find(run))) if whole is None else None
    if out and kind == "text":
        console.set_color("never")
    if whole is not None:
        text = render(kind, whole, colour=console.color, width=console.width)
    else:
        assert summary is not None, "it is a run where it is no suite"
        text = rendered(summary, kind, console)
    if out:
        write_text(out, text)
        console.note(f"{kind} report: {out}")
    else:
        console.write(text)
    return 0
