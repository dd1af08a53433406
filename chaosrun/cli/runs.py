"""`chaosrun runs`: the journal's runs, newest first."""

from __future__ import annotations

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import VERDICT_STYLE, Console, aligned, clean


@make.command(
    "runs",
    examples="""
    chaosrun runs                      the last twenty
    chaosrun runs --limit 0            all of them
    chaosrun runs --output json | jq -r '.[] | select(.verdict != "passed") | .run'
    """,
)
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True,
              help="How many, newest first; 0 for all.")  # fmt: skip
@make.output_option()
@make.journal_option
@click.pass_obj
def command(console: Console, limit: int, output: str, journal_url: str | None) -> int:
    """List runs: when, what, and how they ended."""
    with make.opened(journal_url) as journal:
        rows = journal.runs(limit=limit)
    if output == "json":
        console.json(rows)
        return 0
    if not rows:
        console.note("no runs yet: `chaosrun run experiment.yaml` makes the first")
        return 0
    from time import localtime, strftime

    lines = [("RUN", "STARTED", "VERDICT", "EXPERIMENT")]
    states = [str(row.verdict or ("running" if row.driver_alive else "dead")) for row in rows]
    for row, state in zip(rows, states, strict=True):
        started = strftime("%Y-%m-%d %H:%M:%S", localtime(row.started_at))
        lines.append((row.run, started, state, clean(row.name)))
    header, *body = aligned(lines)
    console.print(console.style(header, "dim"))
    for line, state in zip(body, states, strict=True):
        style = VERDICT_STYLE.get(state, "red" if state == "dead" else "cyan")
        console.print(line.replace(f"  {state}", f"  {console.style(state, style)}", 1))
    if "dead" in states:
        console.note("a dead run's driver is gone: `chaosrun recover` reverts what it left behind")
    return 0
