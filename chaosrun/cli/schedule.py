"""`chaosrun schedule`: look at schedules, pause them, see the coming weeks, run one now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console, aligned, clean
from chaosrun.cli.under import override_options, policy_option, under

if TYPE_CHECKING:
    from collections.abc import Callable

    from chaosrun.journal import Store
    from chaosrun.loading import LoadedSchedule

_PLACE = "schedules"


def _paths(function: Callable[..., int]) -> Callable[..., int]:
    return click.argument("paths", nargs=-1, type=click.Path())(function)


def _loaded(paths: tuple[str, ...], *, question: bool = False) -> list[LoadedSchedule]:
    """The schedules in files and directories; in `schedules/` when none is named."""
    from pathlib import Path

    from chaosrun.errors import Rejected
    from chaosrun.loading.schedules import load_schedule, schedule_files

    if not paths and not Path(_PLACE).is_dir():
        raise Rejected(
            "which schedules? There is no directory `schedules` here",
            hint="name files or directories: chaosrun schedule list my/schedules",
        )
    files = schedule_files(paths or (_PLACE,))
    if not files:
        raise Rejected(f"no schedule in {', '.join(paths or (_PLACE,))}",
                       hint="a schedule is a YAML file with `kind: Schedule`")  # fmt: skip
    return [load_schedule(file, question=question) for file in files]


@click.group(
    "schedule",
    cls=make.Group,
    examples="""
    chaosrun schedule list schedules/
    chaosrun schedule next schedules/ --count 20
    chaosrun schedule simulate schedules/ --weeks 6 --html weeks.html
    chaosrun schedule pause nightly --reason "release week"
    chaosrun schedule resume nightly --reason "released"
    chaosrun schedule run schedules/nightly.yaml
    """,
)
def command() -> None:
    """Schedules: when runs start by themselves. `chaosrun serve` does what they say."""


@command.command("list", examples="chaosrun schedule list schedules/ --output json")
@_paths
@make.output_option()
@make.journal_option
@click.pass_obj
def list_(console: Console, paths: tuple[str, ...], output: str, journal_url: str | None) -> int:
    """Each schedule: when it fires, when next, what became of the last fire, whether it is paused.

    Schedules are those in the files and directories PATHS, or in `schedules/`.
    """
    from datetime import UTC, datetime

    from chaosrun.journal.agenda import paused
    from chaosrun.loading.schedules import timetable
    from chaosrun.reports.forecast import when
    from chaosrun.schedules.fires import next_fire

    found = _loaded(paths)
    with make.opened(journal_url) as journal:
        pauses = paused(journal.agenda.facts())
        last = {
            loaded.schedule.metadata.name: journal.agenda.newest(
                limit=1, schedule=loaded.schedule.metadata.name
            )
            for loaded in found
        }
    now = datetime.now(UTC)
    rows = []
    for loaded in found:
        table = timetable(loaded)
        fire = next_fire(table, now)
        pause = pauses.get(table.name)
        by_file = loaded.schedule.spec.paused
        rows.append(
            {
                "schedule": table.name,
                "file": loaded.source,
                "when": when(table),
                "next": fire.at.isoformat() if fire else None,
                "paused": by_file or pause is not None,
                "pausedBy": pause.by if pause else "its file" if by_file else "",
                "pausedBecause": pause.reason if pause else "",
                "last": make.plain_of(last[table.name][0]) if last[table.name] else None,
                "_next": _local(fire.at, table.zone) if fire else "never again",
            }
        )
    if output == "json":
        console.json([{k: v for k, v in row.items() if not k.startswith("_")} for row in rows])
        return 0
    lines = [("SCHEDULE", "NEXT", "LAST FIRE", "WHEN")]
    for row in rows:
        shown = row["last"]
        said = f"{shown['state']} {shown['reason']}".strip() if isinstance(shown, dict) else "-"
        coming = f"paused by {row['pausedBy']}" if row["paused"] else str(row["_next"])
        lines.append((clean(str(row["schedule"])), coming, clean(said)[:44], str(row["when"])))
    header, *body = aligned(lines)
    console.print(console.style(header, "dim"))
    for line in body:
        console.print(line)
    return 0


@command.command("next", examples="chaosrun schedule next schedules/ --count 20")
@_paths
@click.option("--count", type=click.IntRange(1, 10_000), default=10, show_default=True,
              help="How many.")  # fmt: skip
@make.output_option()
@click.pass_obj
def next_(console: Console, paths: tuple[str, ...], count: int, output: str) -> int:
    """The next fires of all schedules together, soonest first."""
    import heapq
    from datetime import UTC, datetime, timedelta
    from itertools import islice

    from chaosrun.loading.schedules import timetable
    from chaosrun.schedules.fires import AHEAD, Fire, fires

    now = datetime.now(UTC)
    tables = {loaded.schedule.metadata.name: timetable(loaded) for loaded in _loaded(paths)}
    streams = [
        (each for each in fires(table, now + timedelta(milliseconds=1), now + AHEAD)
         if isinstance(each, Fire))
        for table in tables.values()
    ]  # fmt: skip
    found = list(islice(heapq.merge(*streams, key=lambda fire: fire.at), count))
    if output == "json":
        console.json(
            [{"schedule": fire.schedule, "at": fire.at.isoformat(), "due": fire.due.isoformat()}
             for fire in found]
        )  # fmt: skip
        return 0
    if not found:
        console.print("nothing will fire within two years")
    for line in aligned(
        [(_local(f.at, tables[f.schedule].zone), _in(f.at - now), clean(f.schedule)) for f in found]
    ):
        console.print(line)
    return 0


@command.command(
    "simulate",
    examples="""
    chaosrun schedule simulate schedules/ --weeks 6
    chaosrun schedule simulate nightly.yaml --from 2026-12-20 --html weeks.html
    chaosrun schedule simulate schedules/ --svg weeks.svg
    """,
)
@_paths
@click.option("--weeks", type=click.IntRange(1, 104), default=4, show_default=True,
              help="How many weeks.")  # fmt: skip
@click.option("--from", "since", metavar="DATE", help="The first day; today when it is not given.")
@click.option("--html", metavar="FILE", help="Write a page with a picture.")
@click.option("--svg", metavar="FILE", help="Write the picture alone.")
@make.output_option()
@click.pass_obj
def simulate(
    console: Console,
    paths: tuple[str, ...],
    weeks: int,
    since: str | None,
    html: str | None,
    svg: str | None,
    output: str,
) -> int:
    """Every fire of the coming weeks, and why there is none on the other days.

    It is computed as the daemon computes it, random times included; nothing is run.
    """
    from datetime import UTC, date, datetime, timedelta

    from chaosrun.cli.reporting import check_writable
    from chaosrun.loading.schedules import timetable
    from chaosrun.reports import forecast, write_atomically
    from chaosrun.schedules.fires import fires

    try:
        day = date.fromisoformat(since) if since else None
    except ValueError:
        raise click.UsageError(f"--from takes a day such as 2026-12-24, not {since!r}") from None
    check_writable([file for file in (html, svg) if file])
    strips = []
    now = datetime.now(UTC)
    for loaded in _loaded(paths):
        table = timetable(loaded)
        begin = table.days.bounds(day)[0] if day else now
        end = (
            table.days.bounds(day + timedelta(weeks=weeks))[0]
            if day
            else (begin + timedelta(weeks=weeks))
        )
        strips.append(forecast.Strip(table, tuple(fires(table, begin, end)), begin, end))
    if html:
        write_atomically(html, forecast.page(strips))
    if svg:
        write_atomically(svg, forecast.picture(strips))
    if output == "json":
        console.json([_plain(strip) for strip in strips])
    else:
        for strip in strips:
            _tell(console, strip)
    for file in (html, svg):
        if file:
            console.note(f"picture: {file}")
    return 0


def _plain(strip: Any) -> dict[str, Any]:
    from chaosrun.schedules.fires import Fire

    return {
        "schedule": strip.table.name,
        "timezone": strip.table.zone.key,
        "days": [
            {"at": each.at.isoformat(), "due": each.due.isoformat()}
            if isinstance(each, Fire)
            else {"day": each.day.isoformat(), "none": each.reason}
            for each in strip.told
        ],
    }


def _tell(console: Console, strip: Any) -> None:
    from chaosrun.reports.forecast import days, when

    name, many = clean(strip.table.name), len(strip.fires)
    fires = f"{many} fire{'' if many == 1 else 's'}"
    console.print(f"{console.style(name, 'bold')}  {clean(when(strip.table))}: {fires}")
    for day, said in days(strip):
        style = ("dim",) if said.startswith("none: ") else ("green",)
        console.print(f"  {day:%a %d %b}  {console.style(clean(said), *style)}")
    console.print()


@command.command("pause", examples='chaosrun schedule pause nightly --reason "release week"')
@click.argument("name")
@click.option(
    "--reason", required=True, help="Why; it is on record, and every skipped fire says it."
)
@make.journal_option
@click.pass_obj
def pause(console: Console, name: str, reason: str, journal_url: str | None) -> int:
    """Let a schedule fire no more, until it is resumed. Runs that go on are left alone."""
    return _note(console, name, "paused", reason, journal_url)


@command.command("resume", examples='chaosrun schedule resume nightly --reason "released"')
@click.argument("name")
@click.option("--reason", required=True, help="Why; it is on record.")
@make.journal_option
@click.pass_obj
def resume(console: Console, name: str, reason: str, journal_url: str | None) -> int:
    """Let a paused schedule fire again. What was due meanwhile is not made up."""
    return _note(console, name, "resumed", reason, journal_url)


def _note(console: Console, name: str, fact: str, reason: str, journal_url: str | None) -> int:
    from chaosrun.journal.agenda import Fact, paused

    with make.opened(journal_url) as journal:
        name = _known(name, journal)
        was = paused(journal.agenda.facts(schedule=name)).get(name)
        journal.agenda.note(
            Fact(schedule=name, fact=fact, by=make.who(), reason=reason, at=journal.now())
        )
    before = f"; it was paused by {was.by}: {was.reason}" if was else ""
    console.print(clean(f"{name} is {fact}: {reason}{before}"))
    return 0


def _known(name: str, journal: Store) -> str:
    """The name of a schedule, or that in a schedule's file. Raises Rejected for a stranger."""
    from difflib import get_close_matches
    from pathlib import Path

    from chaosrun.errors import Rejected
    from chaosrun.loading.schedules import load_schedule

    if Path(name).is_file():
        return load_schedule(name, question=False).schedule.metadata.name
    known = sorted(journal.agenda.seen())
    if name in known:
        return name
    near = get_close_matches(name, known, 1)
    raise Rejected(
        f"no daemon on this journal has seen a schedule {name!r}",
        hint=f"did you mean {near[0]!r}?" if near else "name its file, or look at --journal",
    )


@command.command(
    "run",
    examples="""
    chaosrun schedule run schedules/nightly.yaml
    chaosrun schedule run schedules/nightly.yaml --daemon     let a worker do it
    """,
)
@click.argument("file", type=click.Path())
@click.option("--daemon", is_flag=True, help="Put it into the agenda; a daemon's worker runs it.")
@click.option("--yes", is_flag=True, help="Do not ask before a fault that cannot be undone.")
@policy_option
@override_options
@make.journal_option
@click.pass_context
def run(
    context: click.Context,
    file: str,
    daemon: bool,
    yes: bool,
    policies: tuple[str, ...],
    overrides: tuple[str, ...],
    reason: str,
    ticket: str,
    journal_url: str | None,
) -> int:
    """Ask a schedule's question now, with its parameters; its gates are asked as always.

    The exit code is that of `chaosrun run`.
    """
    from chaosrun.loading.schedules import load_schedule
    from chaosrun.service.fire_runs import question_of

    loaded = load_schedule(file)
    assert loaded.question is not None, "it was asked for"
    question, name = question_of(loaded.question), loaded.schedule.metadata.name
    console: Console = context.obj
    if daemon and (policies or overrides or ticket):
        raise click.UsageError(
            "a daemon asks under its own policies: no --policy, --override or --ticket"
        )
    if daemon:
        return _leave_to_daemon(console, loaded, question, journal_url)
    from chaosrun.cli.suite import ask_here

    demands = under(policies, overrides, reason, ticket)
    return ask_here(
        console, question, schedule=name, yes=yes, under=demands, journal_url=journal_url
    )


def _leave_to_daemon(
    console: Console, loaded: LoadedSchedule, question: Any, journal_url: str | None
) -> int:
    from chaosrun.codec import to_json
    from chaosrun.journal.agenda import FireRow

    spec = loaded.schedule.spec
    with make.opened(journal_url) as journal:
        now = journal.now()
        fire = FireRow(
            schedule=loaded.schedule.metadata.name, due=round(now * 1000), at=now,
            start_by=now + spec.misfire.within.seconds, concurrency=spec.concurrency,
            body=to_json(question).decode(), changed_at=now,
        )  # fmt: skip
        journal.agenda.add([fire])
    within = f"within {spec.misfire.within}"
    console.print(f"{fire.schedule} is due now: a worker on this journal starts it {within}, or it"
                  " is missed; `chaosrun schedule list` tells")  # fmt: skip
    return 0


def _local(at: Any, zone: Any) -> str:
    return f"{at.astimezone(zone):%a %Y-%m-%d %H:%M:%S} {zone.key}"


def _in(time: Any) -> str:
    seconds = int(time.total_seconds())
    days, rest = divmod(seconds, 86400)
    hours, minutes = rest // 3600, rest % 3600 // 60
    return f"in {days}d {hours}h" if days else f"in {hours}h {minutes:02}m" if hours else (
        f"in {minutes}m {seconds % 60:02}s")  # fmt: skip
