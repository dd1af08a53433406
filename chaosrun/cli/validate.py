"""`chaosrun validate`: every problem of every file at once, with its place and a suggestion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console, clean

if TYPE_CHECKING:
    from chaosrun.loading import Checked, Invalid


@make.command(
    "validate",
    examples="""
    chaosrun validate experiments/                           every file in the directory
    chaosrun validate - < experiment.yaml
    chaosrun validate experiments/ --output github           annotations in a pull request
    chaosrun validate experiment.yaml --output json | jq -r '.problems[].message'
    """,
)
@click.argument("files", nargs=-1, required=True, type=click.Path(allow_dash=True))
@make.parameter_options
@make.output_option("github")
@click.pass_obj
def command(
    console: Console, files: tuple[str, ...], sets: tuple[str, ...], values: str | None, output: str
) -> int:
    """Find every problem of experiments, suites and schedules; nothing is touched.

    Exit code 0 when all are valid, 2 when any is not. A directory stands for the YAML and JSON
    files in it, and - for standard input.
    """
    from chaosrun.cli.reading import check

    checked = check(files, sets, values)
    problems = [problem for one in checked for problem in one.problems]
    match output:
        case "json":
            valid = [one.file for one in checked if one.loaded]
            console.json({"valid": not problems, "files": valid, "problems": problems})
        case "github":
            from chaosrun.loading.rendering import as_github

            if problems:
                console.print(as_github(problems))
        case _:
            _show(console, checked)
    return 2 if problems else 0


def _show(console: Console, checked: list[Checked]) -> None:
    from chaosrun.loading import name_of
    from chaosrun.loading.rendering import as_text

    for one in checked:
        if one.loaded is not None:
            name = clean(name_of(one.loaded))
            console.print(f"{clean(one.file)}: {console.style('valid', 'green')}: {name}")
        else:
            console.print(as_text(one.problems, colour=console.color, count=one.count) + "\n")
    wrong = [one for one in checked if one.loaded is None]
    if wrong:
        console.print(_sum(sum(one.count for one in wrong), len(wrong)))


def _sum(problems: int, files: int) -> str:
    many = f"{problems} problem{'' if problems == 1 else 's'}"
    return f"{many} in {files} file{'' if files == 1 else 's'}; nothing was touched"


def show_invalid(console: Console, error: Invalid) -> None:
    """The problems of a file that a command was to work on, on standard error."""
    from chaosrun.loading.rendering import as_text

    console.note(as_text(error.problems, colour=console.error_color, count=error.count))
    console.note("\n" + _sum(error.count, len({problem.file for problem in error.problems})))
