"""What every command has: examples in its help, common options, the journal it works on.

Law: help teaches with examples; an option means the same in every command that has it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

from chaosrun.cli.console import Console
from chaosrun.errors import Rejected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from chaosrun.journal import Store

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


def _set_color(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        context.find_object(Console).set_color(value)  # type: ignore[union-attr]


def _set_debug(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.find_object(Console).debug = True  # type: ignore[union-attr]


def common_options() -> list[click.Option]:
    return [
        click.Option(
            ["--color"], type=click.Choice(["auto", "always", "never"]), expose_value=False,
            is_eager=True, callback=_set_color, help="When to colour; auto follows NO_COLOR.",
        ),
        click.Option(
            ["--debug"], is_flag=True, expose_value=False, is_eager=True, callback=_set_debug,
            help="Show tracebacks (also CHAOSRUN_DEBUG=1).",
        ),
    ]  # fmt: skip


class Command(click.Command):
    """A command whose help ends with examples, and which has the common options."""

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.params.extend(common_options())

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)


class Group(click.Group):
    """A command with commands of its own."""

    command_class = Command

    def __init__(self, *args: Any, examples: str = "", **kwargs: Any) -> None:
        kwargs.setdefault("context_settings", {"help_option_names": ["-h", "--help"]})
        super().__init__(*args, **kwargs)
        self.examples = examples
        self.params.extend(common_options())

    def format_epilog(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_examples(self.examples, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            from difflib import get_close_matches

            near = get_close_matches(args[0], self.list_commands(ctx), 1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}.{hint}", ctx)
        return super().resolve_command(ctx, args)


def write_examples(examples: str, formatter: click.HelpFormatter) -> None:
    """Examples, exactly as they were written."""
    if examples:
        with formatter.section("Examples"):
            for line in examples.strip("\n").splitlines():
                formatter.write(f"{' ' * formatter.current_indent}{line.strip()}\n")


def command(name: str, *, examples: str) -> Callable[[Callable[..., Any]], Command]:
    """Make a function a command."""
    return click.command(name, cls=Command, examples=examples)


def output_option(*formats: str) -> Callable[[Decorated], Decorated]:
    return click.option(
        "--output", "-o", type=click.Choice(["text", "json", *formats]), default="text",
        show_default=True, help="For a person, or for a program.",
    )  # fmt: skip


def journal_option(function: Decorated) -> Decorated:
    return click.option(
        "--journal", "journal_url", metavar="URL", envvar="CHAOSRUN_JOURNAL",
        help="The journal: sqlite:///PATH or postgresql://... (else $CHAOSRUN_JOURNAL, else a"
        " file in the state directory).",
    )(function)  # fmt: skip


def parameter_options(function: Decorated) -> Decorated:
    function = click.option(
        "--values", metavar="FILE", type=click.Path(), help="Parameters from a YAML file."
    )(function)
    return click.option(
        "--set", "sets", metavar="NAME=VALUE", multiple=True, help="Set a parameter; repeatable."
    )(function)


def parse_sets(sets: tuple[str, ...]) -> dict[str, str]:
    """`--set a=1 --set b=2` as a mapping; the last of a name wins."""
    values = {}
    for item in sets:
        name, equals, value = item.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set takes NAME=VALUE, not {item!r}")
        values[name] = value
    return values


def duration(text: str) -> float:
    """The seconds of a duration given on the command line."""
    from chaosrun.units import Duration

    try:
        return Duration.parse(text).seconds
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@contextmanager
def opened(url: str | None) -> Iterator[Store]:
    """The journal at `url` or the default one, closed at the end."""
    from chaosrun.journal import default_url, open_journal

    journal = open_journal(url or default_url())
    try:
        yield journal
    finally:
        journal.close()


def need_confirmation(console: Console, question: str, *, yes: bool) -> bool:
    """Whether to go on. Raises Rejected when nobody can be asked and `--yes` is missing."""
    if yes:
        return True
    if not console.interactive:
        raise Rejected("this needs a yes, and there is nobody to ask", hint="add --yes")
    return console.confirm(question)


def plain_of(value: Any) -> dict[str, Any]:
    """A typed value as a plain mapping."""
    from chaosrun.codec import to_plain

    plain: dict[str, Any] = to_plain(value)
    return plain


def who() -> str:
    """Who gives this command: user@host, and what CHAOSRUN_ACTOR says."""
    from chaosrun.cli.under import actor

    return actor().shown


class RunName(click.ParamType[str]):
    """A run: the beginning of its id, or `last`."""

    name = "run"

    def shell_complete(
        self, ctx: click.Context, _param: click.Parameter, incomplete: str
    ) -> list[Any]:
        from click.shell_completion import CompletionItem

        from chaosrun.errors import ChaosrunError

        try:
            with opened(ctx.params.get("journal_url")) as journal:
                rows = journal.runs(limit=50)
        except ChaosrunError:
            return []
        return [CompletionItem("last")] * "last".startswith(incomplete) + [
            CompletionItem(row.run, help=row.name) for row in rows if row.run.startswith(incomplete)
        ]
