"""Asking a suite, or a schedule's question, from the command line: one engine, several runs.

Law (L2): the first signal stops every run, and starts nothing more; all that is owed is reverted.
"""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING

from chaosrun.cli import command as make
from chaosrun.cli.console import Console
from chaosrun.cli.signals import Signals, name_of
from chaosrun.errors import ChaosrunError, Rejected
from chaosrun.events import Verdict

if TYPE_CHECKING:
    from chaosrun.asking import Outcome, Question
    from chaosrun.cli.screen import Screen
    from chaosrun.journal import Store
    from chaosrun.policed import Under
    from chaosrun.reports.suite import SuiteSummary


def question_in(file: str, sets: tuple[str, ...], values: str | None) -> Question:
    """The suite in a file, as a question. Raises Invalid with every problem."""
    from chaosrun.cli.reading import load_any
    from chaosrun.loading import LoadedSchedule
    from chaosrun.service.fire_runs import question_of

    loaded = load_any(file, sets, values)
    assert not isinstance(loaded, LoadedSchedule), "who asks has looked"
    return question_of(loaded)


def ask_here(
    console: Console,
    question: Question,
    *,
    schedule: str,
    yes: bool,
    under: Under,
    journal_url: str | None,
) -> int:
    """Ask a schedule's question now, in this process; the exit code."""
    from chaosrun.cli.run import Options, recover_first
    from chaosrun.cli.screen import Screen

    options = Options(output="text", events="", quiet=False, files={})
    with Signals() as signals, Screen.opened(console, options) as screen:
        signals.tell(screen.signal)
        with make.opened(journal_url) as journal:
            recover_first(journal, screen)
            return ask(
                console, question, signals, screen, journal, schedule=schedule, yes=yes,
                under=under,
            )  # fmt: skip


def ask(
    console: Console,
    question: Question,
    signals: Signals,
    screen: Screen,
    journal: Store,
    *,
    schedule: str = "",
    seed: int | None = None,
    yes: bool = False,
    under: Under | None = None,
) -> int:
    """Ask all of it, report, and return the exit code of the loudest verdict."""
    import secrets
    import time

    from chaosrun.engine import new_run_id

    irreversible = {
        step.fault
        for part in question.parts
        for step in part.experiment.spec.method
        if step.fault in part.experiment.spec.accept_irreversible
    }
    if irreversible and not yes and console.interactive:
        names = ", ".join(sorted(irreversible))
        if not console.confirm(f"{names} cannot be undone. Go on?"):
            screen.message("stopped before anything was touched")
            return 130
    run = new_run_id(time.time())
    outcomes = _asked(
        question, signals, screen, journal, run=run, schedule=schedule, under=under,
        seed=secrets.randbelow(2**31) if seed is None else seed,
    )  # fmt: skip
    if question.suite is None:
        from chaosrun.cli.run import report
        from chaosrun.events import Finished

        (only,) = outcomes
        if only.verdict is None:
            screen.message("stopped before anything was touched")
            return 128 + signals.first if signals.first else 130
        finished = Finished(at=0, verdict=only.verdict, reason=only.reason)
        return report(journal, only.run, finished, signals, screen, console)
    return _report(question, run, outcomes, journal, signals, screen, console)


def _asked(
    question: Question,
    signals: Signals,
    screen: Screen,
    journal: Store,
    *,
    run: str,
    schedule: str,
    seed: int,
    under: Under | None,
) -> tuple[Outcome, ...]:
    """How each part ended. The engine has this thread; who decides what starts has another."""
    from chaosrun.asking import Asker, Endings
    from chaosrun.engine import Engine

    stopped: list[str] = []
    found: list[tuple[Outcome, ...]] = []
    failed: list[Exception] = []
    with screen.lines_watch() as observers:
        engine, endings = Engine(journal, observers=observers), Endings()
        try:
            engine.register()

            def stop(number: int, before: int) -> None:
                if not before:
                    name = name_of(number)
                    stopped.append(f"not started: {name} was received")
                    engine.stop_all(Verdict.CANCELLED, name, f"{name} was received", number)

            def course() -> None:
                try:
                    found.append(
                        Asker(engine, endings).ask(
                            question, run=run, seed=seed, schedule=schedule, under=under,
                            stopped=lambda: stopped[0] if stopped else "",
                        )
                    )  # fmt: skip
                except Exception as error:  # noqa: BLE001 - top of a thread: told below
                    failed.append(error)
                finally:
                    engine.leave()

            signals.tell(stop)
            Thread(target=course, name="suite", daemon=True).start()
            engine.serve(endings)
        finally:
            engine.close()
    if failed:
        raise failed[0]
    return found[0]


def _report(
    question: Question,
    run: str,
    outcomes: tuple[Outcome, ...],
    journal: Store,
    signals: Signals,
    screen: Screen,
    console: Console,
) -> int:
    from chaosrun.reports import write_atomically
    from chaosrun.reports.suite import render

    options = screen.options
    told = summarised(question, run, outcomes, journal, signals.first)
    if options.quiet and options.output == "text":
        screen.result(f"{told.verdict}  {told.suite}  {told.reason}\n")
    else:
        space = "\n" if options.output == "text" else ""
        text = render(options.output, told, colour=console.color, width=console.width)
        screen.result(space + text)
    problems = []
    for kind, path in options.files.items():
        try:
            write_atomically(path, render(kind, told))
            screen.message(f"{kind} report: {path}")
        except OSError as error:
            problems.append(f"cannot write {path}: {error.strerror or error}")
    if problems:
        screen.warn("; ".join(problems))
        return told.exit_code or 6
    return told.exit_code or 0


def summarised(
    question: Question, run: str, outcomes: tuple[Outcome, ...], journal: Store, signal: int = 0
) -> SuiteSummary:
    """The result of a suite, out of the journals of its runs."""
    from chaosrun.asking import asked_of
    from chaosrun.reports.suite import SuitePart
    from chaosrun.reports.suite_summary import assembled
    from chaosrun.reports.summary import summarise

    asked = asked_of(question, question.parts[0])
    if asked is None:
        raise Rejected("this is not a suite")
    parts = []
    for outcome in outcomes:
        try:
            result = summarise(journal.events(outcome.run)) if outcome.run else None
        except ChaosrunError:  # the verdict stands, and is said all the same
            result = None
        parts.append(
            SuitePart(
                name=outcome.name, verdict=outcome.verdict, reason=outcome.reason, result=result
            )
        )
    return assembled(run, asked, tuple(parts), signal=signal)
