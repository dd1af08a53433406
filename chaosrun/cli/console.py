"""Writing for people and for programs: colour only where it is wanted, columns that line up.

Law: text from outside cannot steer the terminal: control characters are made visible.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from chaosrun.errors import ChaosrunError

_CODES = {
    "bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33",
    "blue": "34", "magenta": "35", "cyan": "36",
}  # fmt: skip

VERDICT_STYLE = {
    "passed": "green", "refused": "yellow", "inconclusive": "yellow", "cancelled": "yellow",
    "deviated": "red", "aborted": "red", "error": "red", "stranded": "red",
}  # fmt: skip


class Console:
    """The process's standard streams, and how to write on them."""

    def __init__(self, color: str = "auto") -> None:
        self.debug = bool(os.environ.get("CHAOSRUN_DEBUG"))
        self.no_input = False
        self.set_color(color)
        for stream in (sys.stdout, sys.stderr):  # an odd locale must not end a run
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")

    def set_color(self, when: str) -> None:
        """`auto`, `always` or `never`; auto follows NO_COLOR, TERM and what the stream is."""
        self.when = when
        self.color = wants_color(when, sys.stdout)
        self.error_color = wants_color(when, sys.stderr)

    @property
    def interactive(self) -> bool:
        """Whether a person can be asked."""
        return not self.no_input and sys.stdin.isatty() and sys.stderr.isatty()

    @property
    def unicode(self) -> bool:
        """Whether the output can show more than ASCII."""
        return "utf" in (getattr(sys.stdout, "encoding", "") or "").lower()

    def style(self, text: str, *styles: str) -> str:
        return styled(text, *styles) if self.color else text

    @property
    def width(self) -> int:
        """How wide the output is; a pipe is as wide as a usual terminal."""
        import shutil

        return min(120, max(40, shutil.get_terminal_size((100, 24)).columns))

    def write(self, text: str) -> None:
        """Text as it is on standard output."""
        sys.stdout.write(text)

    def print(self, text: str = "") -> None:
        """One line, or several, on standard output."""
        sys.stdout.write(text + "\n")

    def mark(self, good: bool) -> str:
        """A tick or a cross, which differ without colour too."""
        signs = ("✔", "✖") if self.unicode else ("+", "x")
        return self.style(signs[not good], "green" if good else "red")

    def flush(self) -> None:
        sys.stdout.flush()

    def note(self, text: str) -> None:
        """A line for the person, on standard error."""
        sys.stdout.flush()
        sys.stderr.write(text + "\n")
        sys.stderr.flush()

    def warn(self, text: str, hint: str = "") -> None:
        self._complain("warning", "yellow", text, hint)

    def error(self, text: str, hint: str = "") -> None:
        self._complain("error", "red", text, hint)

    def _complain(self, what: str, style: str, text: str, hint: str) -> None:
        label = f"{what}:"
        if self.error_color:
            label = styled(label, style, "bold")
        self.note(f"chaosrun: {label} {clean(text, lines=True)}")
        if hint:
            self.note(f"  hint: {clean(hint, lines=True)}")

    def show_error(self, error: ChaosrunError) -> None:
        self.error(str(error), error.hint)

    def json(self, value: Any) -> None:
        """One JSON document on standard output."""
        import msgspec

        from chaosrun.codec import to_json

        self.print(msgspec.json.format(to_json(value), indent=2).decode())

    def hang(self, lead: str, text: str) -> None:
        """`text` after `lead`; on a terminal what does not fit goes on under where it began."""
        column = cells(lead)
        room = self.width - column
        if sys.stdout.isatty() and room >= 20 and cells(text) > room:
            from textwrap import wrap

            text = f"\n{' ' * column}".join(wrap(text, room))
        self.print(lead + text)

    def table(self, rows: Sequence[Sequence[str]], header: Sequence[str] = ()) -> None:
        """Rows in columns that line up; the last column is as long as it is."""
        for line in aligned([*([header] if header else []), *rows]):
            self.print(self.style(line, "dim") if header and line is not None else line)
            header = ()

    def ask(self, question: str, default: str = "") -> str:
        """What the person types, or the default. Raises EOFError at the end of input."""
        suffix = f" [{default}]" if default else ""
        sys.stderr.write(f"{question}{suffix}: ")
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.strip() or default

    def confirm(self, question: str) -> bool:
        return self.ask(f"{question} (yes or no)", "no").lower() in ("y", "yes")


def wants_color(when: str, stream: TextIO) -> bool:
    """Whether to colour what goes to `stream` (https://no-color.org)."""
    if when != "auto":
        return when == "always"
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty() or bool(os.environ.get("FORCE_COLOR"))


def styled(text: str, *styles: str) -> str:
    """`text` with ANSI styles around it."""
    codes = ";".join(_CODES[style] for style in styles if style)
    return f"\x1b[{codes}m{text}\x1b[0m" if codes and text else text


def clean(text: str, *, lines: bool = False) -> str:
    """`text` with control characters made visible; `lines` lets line ends through."""
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or (lines and c == "\n") else _visible(c) for c in text
    )  # fmt: skip


def _visible(character: str) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(character) or f"\\x{ord(character):02x}"


def cells(text: str) -> int:
    """How many columns a terminal needs for `text`, styles not counted."""
    if "\x1b" in text:
        import re

        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(c) else 2 if east_asian_width(c) in "WF" else 1 for c in text)


def pad(text: str, width: int) -> str:
    return text + " " * max(0, width - cells(text))


def clip(text: str, width: int) -> str:
    """`text` in at most `width` columns, with an ellipsis when it was longer."""
    if cells(text) <= width:
        return text
    kept = text
    while kept and cells(kept) > width - 1:
        kept = kept[:-1]
    return kept + "…"


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines whose columns line up, two spaces between them."""
    widths = [
        max(cells(row[i]) for row in rows if len(row) > i)
        for i in range(max((len(row) for row in rows), default=0))
    ]
    return [
        "  ".join(pad(cell, width) for cell, width in zip(row, widths, strict=False)).rstrip()
        for row in rows
    ]


def plain_values(value: Mapping[str, Any] | Any, limit: int = 0) -> str:
    """A probe's result on one line, without what is empty or nested: `status=200 latency=3ms`."""
    if isinstance(value, Mapping):
        text = " ".join(
            f"{key}={_one(item)}"
            for key, item in value.items()
            if item not in ("", None) and not isinstance(item, Mapping | list | tuple)
        )
    else:
        text = _one(value)
    return clip(text, limit) if limit else text


def _one(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "none"}[value]
    text = clean(str(value))
    return repr(clip(text, 60)) if " " in text or "\\" in text or not text else clip(text, 60)
