"""`chaosrun show`: what happened in a run, from its journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import VERDICT_STYLE, Console, clean, pad

if TYPE_CHECKING:
    from collections.abc import Iterable

    from chaosrun.events import AnyEvent
    from chaosrun.run import Run, StepState

_BAR = 48


@make.command(
    "show",
    examples="""
    chaosrun show last
    chaosrun show last --follow                a running run, as it goes
    chaosrun show 01K2 --events | jq .type     the raw events
    """,
)
@click.argument("run", type=make.RunName(), default="last")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends.")
@click.option("--samples", is_flag=True, help="Tell every sample, not only those that fail.")
@click.option("--events", is_flag=True, help="The raw events as JSON lines.")
@make.output_option()
@make.journal_option
@click.pass_obj
def command(
    console: Console,
    run: str,
    follow: bool,
    samples: bool,
    events: bool,
    output: str,
    journal_url: str | None,
) -> int:
    """Show what happened in a run, line by line, with a timeline of its steps.

    RUN is the beginning of a run's id, or `last`.
    """
    from chaosrun.cli.following import follow as following

    with make.opened(journal_url) as journal:
        found = journal.find(run)
        facts = following(journal, found) if follow else journal.events(found)
        if events or output == "json":
            from chaosrun.cli.export import write_events

            write_events(console, found, facts)
        else:
            _tell(console, facts, every_sample=samples, live=follow)
    return 0


def _tell(console: Console, facts: Iterable[AnyEvent], *, every_sample: bool, live: bool) -> None:
    from chaosrun.cli.narrator import Narrator, clock, subject_width, written
    from chaosrun.events import Started
    from chaosrun.reports.wording import offset

    narrator = Narrator(every_sample=every_sample)
    lines, start, subject = [], 0.0, 24
    for event in facts:
        told = narrator.tell(event)
        if isinstance(event, Started):
            start, subject = event.at, subject_width(narrator.run)
        for line in told:
            lead = f"{clock(line.at)} {pad(offset(line.at - start), 8)}"
            lines.append(written(line, color=console.color, lead=lead, subject=subject))
        if live:
            for text in lines:
                console.print(text)
            console.flush()
            lines.clear()
    if not live:
        _head(console, narrator.run, start)
        _timeline(console, narrator.run, start)
    for text in lines:
        console.print(text)


def _head(console: Console, run: Run, start: float) -> None:
    from chaosrun.cli.narrator import clock
    from chaosrun.reports.wording import seconds

    experiment = run.experiment
    assert experiment is not None, "a run starts with Started"
    verdict = run.finished.verdict if run.finished else None
    state = str(verdict or run.phase)
    rows = [
        ("run", run.id),
        ("experiment", f"{run.name}: {clean(experiment.spec.title)}"),
        *_suite(run),
        ("started", f"{clock(start, date=True)}, seed {run.seed}, driver {run.driver}"),
        ("took", seconds(run.at - start)),
        ("verdict", console.style(state, VERDICT_STYLE.get(state, "cyan"), "bold")),
    ]
    if run.finished:
        rows.append(("because", clean(run.finished.reason)))
    console.table(rows)
    console.print()


def _suite(run: Run) -> list[tuple[str, str]]:
    from chaosrun.cli.suite_runs import part_said

    started = run.started
    if started is None or not started.suite:
        return []
    return [("suite", f"{part_said(started)} (`chaosrun report {started.suite}` tells of all)")]


def _timeline(console: Console, run: Run, start: float) -> None:
    """A bar for each step: when its fault was in place, and when it was being reverted."""
    leased = [step for step in run.steps.values() if step.hold is not None]
    if not leased:
        return
    first = min(step.leased_at for step in leased)
    last = max(step.restored_at or run.at for step in leased)
    width = max(len(step.step.name) for step in leased)
    for step in leased:
        console.print(f"  {pad(clean(step.step.name), width)}  {_bar(console, step, first, last)}")
    from chaosrun.reports.wording import offset

    ends = f"{offset(first - start)} {offset(last - start).rjust(_BAR - 1)}"
    console.print(f"  {' ' * width}  {console.style(ends, 'dim')}\n")


def _bar(console: Console, step: StepState, first: float, last: float) -> str:
    from chaosrun.reports.wording import seconds

    scale = _BAR / max(last - first, 0.001)
    begin = step.leased_at
    end = step.restored_at or last
    reverting = step.reverting_since or end
    left = min(_BAR - 1, int((begin - first) * scale))
    held = max(1, round((reverting - begin) * scale))
    rest = max(0, min(_BAR - left - held, round((end - reverting) * scale)))
    full, part, blank = ("█", "▒", "·") if console.unicode else ("#", "~", ".")
    tail = blank * max(0, _BAR - left - held - rest)
    said = seconds(end - begin) if step.restored_at else "still owed"
    return (
        blank * left + console.style(full * held, "magenta")
        + console.style(part * rest, "green") + tail + f"  {said}"
    )  # fmt: skip
