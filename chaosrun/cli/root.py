"""The group of all commands, and the one place where errors become messages and exit codes.

Law: nobody sees a traceback who did not ask for one, and an error's exit code is that of
`chaosrun.errors.exit_code`.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from chaosrun.cli.command import Group
from chaosrun.cli.console import Console
from chaosrun.errors import ChaosrunError, exit_code

SECTIONS: dict[str, dict[str, str]] = {
    "Ask a question": {
        "init": "Write a first experiment",
        "import": "Write an experiment from a template of AWS FIS",
        "validate": "Find every problem of experiment files",
        "plan": "Show exactly what a run would touch; change nothing",
        "run": "Run an experiment, put everything back, and report",
        "approve": "Say that an experiment may run, for a time",
    },
    "Run by itself": {
        "schedule": "Look at schedules, pause them, or run one now",
        "serve": "Run schedules by themselves, all in one process",
        "scheduler": "Compute what is due; any number of replicas",
        "worker": "Run what is due; any number of replicas",
    },
    "Look": {
        "runs": "List runs",
        "show": "Show what happened in a run",
        "report": "Report on a run or suite: text, JSON, JUnit, Markdown, HTML",
        "status": "Show what is owed, where, and since when",
        "export": "Write runs as JSON lines, or an experiment for AWS FIS",
    },
    "Stop and put back": {
        "abort": "Stop a running run; it reverts",
        "halt": "The switch that stops every run and refuses new ones",
        "recover": "Revert what dead drivers left behind",
        "sweep": "Search targets for faults that the journal does not know",
    },
    "Learn what there is": {
        "faults": "List faults",
        "probes": "List probes",
        "gates": "List gates",
        "describe": "Explain a fault, probe or gate and its arguments",
        "permissions": "List the rights that an experiment needs",
        "policy": "What policies demand, and whether it is met",
        "lambda-layer": "Write the layer that makes functions slow on request",
    },
    "Practise": {
        "lab": "A small real system on this machine to practise on",
    },
    "This installation": {
        "doctor": "Say what works here and what to install",
        "prune": "Delete old runs from the journal",
        "completion": "Print a completion script for a shell",
        "version": "Print versions",
    },
}

_MODULES = {"import": "import_", "lambda-layer": "lambda_layer"}
"""Commands whose names cannot be those of modules."""

EXAMPLES = """
chaosrun lab up && chaosrun lab experiments   practise on a real system on this machine
chaosrun init first.yaml                      write an experiment by answering questions
chaosrun plan first.yaml                      see exactly what it would touch
chaosrun run first.yaml                       ask the question
chaosrun status                               is anything still in place?
"""


class LazyGroup(Group):
    """The group that imports a command's module when that command is named."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        if not any(cmd_name in section for section in SECTIONS.values()):
            return None
        from importlib import import_module

        module = _MODULES.get(cmd_name, cmd_name)
        return import_module(f"chaosrun.cli.{module}").command  # type: ignore[no-any-return]

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(12), text) for name, text in commands.items()])

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [  # without importing any command
            CompletionItem(name, help=text)
            for section in SECTIONS.values()
            for name, text in section.items()
            if name.startswith(incomplete)
        ] + click.Command.shell_complete(self, ctx, incomplete)


def _show_version(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        from chaosrun import __version__

        context.find_object(Console).print(f"chaosrun {__version__}")  # type: ignore[union-attr]
        context.exit()


@click.group(cls=LazyGroup, examples=EXAMPLES)
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_show_version,
    help="Print the version.",
)  # fmt: skip
def chaosrun() -> None:
    """Ask a running system: does your steady state survive this fault?

    An experiment is a YAML file. chaosrun checks that it is safe to ask now, asks, stops at
    once when it hurts, puts everything back, and reports what was learned.
    """


def run_command_line(words: list[str]) -> int:
    """Run one command line and return its exit code; never raises."""
    console = Console()
    code: int
    try:
        if instruction := os.environ.get("_CHAOSRUN_COMPLETE"):
            from click.shell_completion import shell_complete

            code = shell_complete(chaosrun, {}, "chaosrun", "_CHAOSRUN_COMPLETE", instruction)
        else:
            code = _invoke(words, console)
        sys.stdout.flush()
    except BrokenPipeError:
        _forget_output()
        return 141  # as if SIGPIPE had ended us: the reader has what it wanted
    except OSError as error:  # of the flush: a full disk, a terminal that is gone
        _forget_output()
        console.error(f"cannot write the output: {error.strerror}")
        return 6
    return code


def _invoke(words: list[str], console: Console) -> int:
    try:
        with chaosrun.make_context("chaosrun", words, obj=console) as context:
            return int(chaosrun.invoke(context) or 0)
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        console.print(error.format_message())
        return 0 if error.ctx is None or error.ctx.parent is None else 2
    except click.UsageError as error:
        _show_usage_error(console, error)
        return 2
    except click.ClickException as error:
        console.error(error.format_message())
        return 2
    except (KeyboardInterrupt, EOFError, click.Abort):
        if console.debug:
            raise
        console.note("\nchaosrun: stopped; nothing was touched")
        return 130
    except BrokenPipeError:
        raise
    except ChaosrunError as error:
        if console.debug:
            raise
        show_error(console, error)
        return exit_code(error)
    except Exception as error:  # the top of the command line
        if console.debug:
            raise
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        console.error(what, "this is a fault in chaosrun: --debug shows where")
        return 6


def show_error(console: Console, error: ChaosrunError) -> None:
    """An error, and every problem it holds."""
    if getattr(error, "problems", None):
        from chaosrun.cli.validate import show_invalid

        show_invalid(console, error)  # type: ignore[arg-type]
    else:
        console.show_error(error)


def _show_usage_error(console: Console, error: click.UsageError) -> None:
    path = error.ctx.command_path if error.ctx else "chaosrun"
    message = error.format_message()
    console.error(message[:1].lower() + message[1:], f"`{path} --help` shows how to use it")


def _forget_output() -> None:
    """Let Python's own flush at exit go nowhere instead of failing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
