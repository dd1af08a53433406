"""`chaosrun run`: ask the question, put everything back, report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec.structs import replace

from chaosrun.cli import command as make
from chaosrun.cli.console import Console
from chaosrun.cli.signals import Signals, name_of
from chaosrun.cli.under import override_options, policy_option, under
from chaosrun.errors import ChaosrunError, Rejected
from chaosrun.events import Verdict

if TYPE_CHECKING:
    from chaosrun.cli.screen import Screen
    from chaosrun.events import Finished
    from chaosrun.journal import Journal
    from chaosrun.spec import Experiment


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked on the command line, beside the file."""

    output: str
    events: str
    quiet: bool
    files: dict[str, str]


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What will be run: an experiment, its seed, the targets and mechanisms of a plan if there is
    one, and what the run is put under."""

    experiment: Any
    seed: int
    digest: str
    source: str
    parameters: dict[str, Any]
    targets: dict[str, tuple[str, ...]] = {}
    mechanisms: dict[str, str] = {}
    under: Any = None


@make.command(
    "run",
    examples="""
    chaosrun run experiment.yaml
    chaosrun run experiment.yaml --set namespace=shop --seed 42
    chaosrun run experiment.yaml --quiet --junit junit.xml --html report.html   in a pipeline
    chaosrun run experiment.yaml --output json | jq -r .verdict
    chaosrun plan experiment.yaml --out plan.json && chaosrun run plan.json     as it was seen
    chaosrun run experiment.yaml --override window --reason "the night of the move" --ticket CHG-7
    """,
)
@click.argument("file", type=click.Path(allow_dash=True))
@make.parameter_options
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), help="The same seed, the same targets.")
@make.output_option()
@click.option("--events", metavar="FILE", help="Every event as a JSON line as it happens; - for"
              " standard output.")  # fmt: skip
@click.option("--junit", metavar="FILE", help="Also write a JUnit report.")
@click.option("--markdown", metavar="FILE", help="Also write a Markdown report.")
@click.option("--html", metavar="FILE", help="Also write an HTML page.")
@click.option("--quiet", "-q", is_flag=True, help="Only the verdict, on one line.")
@click.option("--yes", is_flag=True, help="Do not ask before a fault that cannot be undone.")
@click.option("--no-input", is_flag=True, help="Never ask anything.")
@policy_option
@override_options
@make.journal_option
@click.pass_obj
def command(
    console: Console,
    /,
    file: str,
    sets: tuple[str, ...],
    values: str | None,
    seed: int | None,
    output: str,
    events: str | None,
    quiet: bool,
    yes: bool,
    no_input: bool,
    policies: tuple[str, ...],
    overrides: tuple[str, ...],
    reason: str,
    ticket: str,
    journal_url: str | None,
    **reports: str | None,
) -> int:
    """Run an experiment: check that it is safe, ask, put everything back, report.

    FILE is an experiment, a plan saved by `chaosrun plan --out`, or a suite of experiments, whose
    exit code is that of its loudest verdict. What dead runs left behind
    is reverted first. The first INT, TERM or HUP stops the run and reverts; later ones never
    abandon a revert.

    Exit codes: 0 passed, 1 deviated, 2 wrong file or command line, 3 refused, 4 aborted,
    5 inconclusive, 6 error, 7 stranded (page a person), 130 or 143 cancelled.
    """
    from chaosrun.cli.reporting import check_writable
    from chaosrun.cli.screen import Screen

    files = {kind: path for kind, path in reports.items() if path}
    options = Options(output=output, events=events or "", quiet=quiet, files=files)
    if events == "-" and output == "json":
        raise click.UsageError("--events - and --output json both want standard output")
    console.no_input = no_input
    check_writable(files.values())
    with Signals() as signals, Screen.opened(console, options) as screen:
        signals.tell(screen.signal)
        with make.opened(journal_url) as journal:
            recover_first(journal, screen)
            if signals.first:
                return _nothing_touched(screen, signals)
            demands = under(policies, overrides, reason, ticket)
            found = _question(file, sets, values, seed)
            if found is None:
                from chaosrun.cli import suite

                asked = suite.question_in(file, sets, values)
                return suite.ask(
                    console, asked, signals, screen, journal, seed=seed, yes=yes, under=demands
                )
            question = replace(found, under=demands)
            if not yes and not _agreed(console, question.experiment):
                return _nothing_touched(screen, signals)
            run, finished = drive(journal, question, signals, screen)
            return report(journal, run, finished, signals, screen, console)


def _question(
    file: str, sets: tuple[str, ...], values: str | None, seed: int | None
) -> Question | None:
    """What to run; None when it is a suite. Raises Rejected for a schedule."""
    from chaosrun.cli import saved
    from chaosrun.cli.reading import load_any
    from chaosrun.loading import Loaded, LoadedSchedule

    plan = saved.load(file)
    if plan is not None:
        if sets or values or seed is not None:
            raise Rejected(
                "a plan runs as it was seen: --set, --values and --seed belong to `chaosrun plan`"
            )
        return Question(
            experiment=plan.experiment, seed=plan.seed, digest=plan.digest, source=plan.source,
            parameters=plan.parameters, targets=plan.targets,
            mechanisms=plan.mechanisms,
        )  # fmt: skip
    import secrets

    loaded = load_any(file, sets, values)
    if isinstance(loaded, LoadedSchedule):
        raise Rejected(f"{file} is a schedule", hint=f"chaosrun schedule run {file}")
    if not isinstance(loaded, Loaded):
        return None
    return Question(
        experiment=loaded.experiment, digest=loaded.digest, source=loaded.source,
        parameters=loaded.parameters, seed=secrets.randbelow(2**31) if seed is None else seed,
    )  # fmt: skip


def _agreed(console: Console, experiment: Experiment) -> bool:
    """Whether a person, where there is one, agrees to what cannot be undone."""
    accepted = {step.fault for step in experiment.spec.method} & set(
        experiment.spec.accept_irreversible
    )
    if not accepted or not console.interactive:
        return True
    return console.confirm(f"{', '.join(sorted(accepted))} cannot be undone. Go on?")


def _nothing_touched(screen: Screen, signals: Signals) -> int:
    screen.message("stopped before anything was touched")
    return 128 + signals.first if signals.first else 130


def recover_first(journal: Journal, screen: Screen) -> None:
    """Revert what dead drivers left behind, before anything else."""
    from chaosrun.recovery import dead_runs, recover

    dead = dead_runs(journal)
    if not dead:
        return
    names = ", ".join(f"{row.run} ({row.name})" for row in dead)
    screen.message(f"the driver of {names} is gone: reverting what it left behind first")
    with screen.plain_watch(journal) as observers:
        ended = recover(journal, [row.run for row in dead], observers=observers)
    for run, finished in ended.items():
        if finished.verdict is Verdict.STRANDED:
            screen.warn(
                f"run {run} is stranded: {finished.reason}",
                "`chaosrun status` shows what is owed; `chaosrun recover` tries again",
            )


def drive(
    journal: Journal, question: Question, signals: Signals, screen: Screen
) -> tuple[str, Finished]:
    """Run it to its end. Whatever happens to the output, what is owed is reverted."""
    from chaosrun.engine import Engine

    with screen.watch() as observers:
        engine = Engine(journal, observers=observers)
        try:
            run = engine.start(
                question.experiment, seed=question.seed, digest=question.digest,
                source=question.source, parameters=question.parameters, targets=question.targets,
                mechanisms=question.mechanisms, under=question.under,
            )  # fmt: skip

            def stop(number: int, before: int) -> None:
                if not before:
                    name = name_of(number)
                    engine.stop(run, Verdict.CANCELLED, name, f"{name} was received", number)

            signals.tell(stop)
            return run, engine.loop()[run]
        finally:
            engine.close()


def report(
    journal: Journal,
    run: str,
    finished: Finished,
    signals: Signals,
    screen: Screen,
    console: Console,
) -> int:
    """Show and write the reports, and return the exit code of the verdict."""
    from chaosrun.cli.reporting import rendered, write_files
    from chaosrun.reports.summary import summarise
    from chaosrun.verdicts import exit_code

    options = screen.options
    code = exit_code(finished.verdict, signals.first)
    try:
        if options.quiet and options.output == "text":
            screen.result(f"{finished.verdict}  {run}  {finished.reason}\n")
            if not options.files:
                return code
        summary = summarise(journal.events(run))
        if not options.quiet or options.output == "json":
            space = "\n" if options.output == "text" else ""  # below the story
            screen.result(space + rendered(summary, options.output, console))
        write_files(summary, options.files, console)
    except ChaosrunError as error:  # the verdict stands, and is said all the same
        screen.warn(f"run {run} ended {finished.verdict}: {finished.reason}")
        screen.warn(str(error), error.hint)
        return code or 6
    for kind, path in options.files.items():
        screen.message(f"{kind} report: {path}")
    return code
