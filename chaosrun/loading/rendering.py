"""Problems for people, for machines, and for GitHub: pure functions of the problems."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import msgspec

from chaosrun.codec import to_plain
from chaosrun.loading.problems import Problem, shortened

_WIDEST = 100
_BOLD, _RED, _CYAN, _PLAIN = "\x1b[1m", "\x1b[31m", "\x1b[36m", "\x1b[0m"


def as_text(problems: Iterable[Problem], *, colour: bool = False, count: int = 0) -> str:
    """Each as `file:line:column: message`, its line with a caret, and what would help."""
    listed = list(problems)
    blocks = ["\n".join(_block(problem, colour)) for problem in listed]
    if count > len(listed):
        blocks.append(f"... and {count - len(listed)} more")
    return "\n\n".join(blocks)


def as_json(problems: Iterable[Problem]) -> str:
    """A list of objects."""
    plain = [
        {name: getattr(problem, name) for name in Problem.__struct_fields__} for problem in problems
    ]
    return msgspec.json.format(msgspec.json.encode(to_plain(plain))).decode()


def as_github(problems: Iterable[Problem]) -> str:
    """Workflow commands that GitHub shows beside the line."""
    return "\n".join(_annotation(problem) for problem in problems)


def _block(problem: Problem, colour: bool) -> Iterable[str]:
    def paint(text: str, code: str) -> str:
        return f"{code}{text}{_PLAIN}" if colour else text

    place = problem.file
    if problem.line:
        place += f":{problem.line}:{problem.column}"
    yield f"{paint(shortened(place), _BOLD)}: {paint(problem.message, _RED)}"
    margin = " "
    if problem.line and problem.source_line:
        number = str(problem.line)
        margin = " " * (len(number) + 1)
        line, caret = _window(problem.source_line, problem.column)
        bar = paint("|", _CYAN)
        yield f" {paint(number, _CYAN)} {bar} {line}".rstrip()
        yield f" {' ' * len(number)} {bar} {caret}{paint('^', _RED)}"
    if problem.suggestion:
        yield f" {margin}{paint('=', _CYAN)} {problem.suggestion}"


def _window(line: str, column: int) -> tuple[str, str]:
    """The part of a line around a column, and the blanks that bring a caret under it."""
    start = max(0, column - 1 - _WIDEST * 3 // 4) if column > _WIDEST else 0
    part = line[start : start + _WIDEST]
    before = ("..." if start else "") + part[: column - 1 - start]
    shown = ("..." if start else "") + part + ("..." if start + _WIDEST < len(line) else "")
    return _printable(shown), "".join(_blank(letter) for letter in before)


def _printable(text: str) -> str:
    return "".join(t if t == "\t" or t.isprintable() else "\N{REPLACEMENT CHARACTER}" for t in text)


def _blank(letter: str) -> str:
    """As much room as the letter takes on a terminal."""
    if letter == "\t":
        return "\t"
    if unicodedata.combining(letter):
        return ""
    return "  " if unicodedata.east_asian_width(letter) in "WF" else " "


def _annotation(problem: Problem) -> str:
    place = f"file={_property(problem.file)}"
    if problem.line:
        place += f",line={problem.line},col={problem.column}"
    text = problem.message + (f" ({problem.suggestion})" if problem.suggestion else "")
    return f"::error {place}::{_escaped(text)}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")
