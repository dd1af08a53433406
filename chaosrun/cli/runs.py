"""`chaosrun runs`: the journal's runs, newest first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import VERDICT_STYLE, Console, aligned, clean

if TYPE_CHECKING:
    from chaosrun.events import Started
    from chaosrun.journal import RunRow
    from chaosrun.units import JSON


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
    from chaosrun.cli.suite_runs import part_said, started_in_suite

    with make.opened(journal_url) as journal:
        rows = journal.runs(limit=limit)
        found = [(row.run, started_in_suite(journal, row.run)) for row in rows]
    parts = {run: started for run, started in found if started is not None}
    if output == "json":
        console.json([_line(row, parts.get(row.run)) for row in rows])
        return 0
    if not rows:
        console.note("no runs yet: `chaosrun run experiment.yaml` makes the first")
        return 0
    from time import localtime, strftime

    suites = ("SUITE",) if parts else ()
    lines = [("RUN", "STARTED", "VERDICT", "EXPERIMENT", *suites)]
    states = [str(row.verdict or ("running" if row.driver_alive else "dead")) for row in rows]
    for row, state in zip(rows, states, strict=True):
        started = strftime("%Y-%m-%d %H:%M:%S", localtime(row.started_at))
        named = (part_said(parts.get(row.run)),) if suites else ()
        lines.append((row.run, started, state, clean(row.name), *named))
    header, *body = aligned(lines)
    console.print(console.style(header, "dim"))
    for line, state in zip(body, states, strict=True):
        style = VERDICT_STYLE.get(state, "red" if state == "dead" else "cyan")
        console.print(line.replace(f"  {state}", f"  {console.style(state, style)}", 1))
    if "dead" in states:
        console.note("a dead run's driver is gone: `chaosrun recover` reverts what it left behind")
    return 0


def _line(row: RunRow, part: Started | None) -> JSON:
    """A run's line for programs; `suite` is the id that `chaosrun report` takes."""
    from chaosrun.codec import to_plain

    plain = to_plain(row)
    assert isinstance(plain, dict), "a struct is an object"
    return {**plain, "suite": part.suite if part else ""}
