"""`chaosrun validate`: every problem of every file at once, with its place and a suggestion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from chaosrun.cli import command as make
from chaosrun.cli.console import Console, cells, clean

if TYPE_CHECKING:
    from collections.abc import Sequence

_WIDEST = 120


@make.command(
    "validate",
    examples="""
    chaosrun validate experiments/*.yaml
    chaosrun validate - < experiment.yaml
    chaosrun validate experiments/*.yaml --output github     annotations in a pull request
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
    """Find every problem of experiment files; nothing is touched.

    Exit code 0 when all are valid, 2 when any is not. A file named - is standard input.
    """
    from pathlib import Path

    from chaosrun.errors import Rejected
    from chaosrun.loading import load_file

    given = make.parse_sets(sets)
    problems: list[Any] = []
    valid: list[str] = []
    for file in files:
        try:
            loaded = load_file(file, sets=given, values=Path(values) if values else None)
            valid.append(f"{file}: valid: {clean(loaded.experiment.metadata.name)}")
        except Rejected as error:
            problems += getattr(error, "problems", None) or [_whole(file, error)]
    match output:
        case "json":
            console.json({"valid": not problems, "problems": problems})
        case "github":
            for problem in problems:
                console.print(_annotation(problem))
        case _:
            for line in valid:
                console.print(line)
            show_problems(console, problems, to_error=False)
    return 2 if problems else 0


def _whole(file: str, error: Exception) -> Any:
    """A rejection without a place, as a problem of the whole file."""
    from chaosrun.loading import Problem

    hint = getattr(error, "hint", "")
    return Problem(file=file, message=str(error), suggestion=hint)


def show_problems(console: Console, problems: Sequence[Any], *, to_error: bool = True) -> None:
    """Each problem with its line, a caret under the place, and what would help."""
    write = console.note if to_error else console.print
    style = console.error_style if to_error else console.style
    for problem in problems:
        where = f"{problem.file}:{problem.line}:{problem.column}" if problem.line else problem.file
        write(f"{style(clean(where), 'bold')}: {clean(problem.message)}")
        if problem.source_line.strip():
            text, caret = _excerpt(problem.source_line, problem.column)
            write(f"  {style('|', 'dim')} {text}")
            write(f"  {style('|', 'dim')} {style(caret, 'red', 'bold')}")
        if problem.suggestion:
            write(f"  {style('=', 'dim')} {clean(problem.suggestion)}")
    if problems:
        files = len({problem.file for problem in problems})
        many = f"{len(problems)} problem{'' if len(problems) == 1 else 's'}"
        write(f"{many} in {files} file{'' if files == 1 else 's'}; nothing was touched")


def _excerpt(line: str, column: int) -> tuple[str, str]:
    """The part of the line around the column, and a caret under it."""
    start = max(0, column - 1 - _WIDEST // 2) if len(line) > _WIDEST else 0
    shown = line[start : start + _WIDEST]
    before = clean(shown[: column - 1 - start].replace("\t", " "))
    dots = "…" if start else ""
    text = dots + before + clean(shown[column - 1 - start :].rstrip().replace("\t", " "))
    return text, " " * cells(dots + before) + "^"


def _annotation(problem: Any) -> str:
    """A GitHub workflow command (docs.github.com: workflow commands, setting an error message)."""
    message = problem.message + (f" ({problem.suggestion})" if problem.suggestion else "")
    place = f",line={problem.line},col={problem.column}" if problem.line else ""
    return f"::error file={_escaped(problem.file, ',:')}{place}::{_escaped(message)}"


def _escaped(text: str, more: str = "") -> str:
    for character in "%\r\n" + more:
        text = text.replace(character, f"%{ord(character):02X}")
    return text
