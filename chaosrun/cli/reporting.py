"""Reports of a run: rendered for the console that asks, or written to files.

Law (L7): a report is a pure function of the journal's events; nothing is added here.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from chaosrun.errors import ChaosrunError, Rejected

if TYPE_CHECKING:
    from chaosrun.cli.console import Console
    from chaosrun.reports.result import Summary

FORMATS = ("text", "json", "junit", "markdown", "html")


def check_writable(paths: Iterable[str]) -> None:
    """Raises Rejected for the first file that could not be written later: before anything runs."""
    for path in paths:
        file = Path(path)
        if file.is_dir():
            raise Rejected(f"cannot write {path}: it is a directory")
        where = file if file.exists() else _nearest(file.absolute().parent)
        if not os.access(where, os.W_OK) or not (file.exists() or where.is_dir()):
            raise Rejected(f"cannot write {path}: no permission to write {where}")


def _nearest(directory: Path) -> Path:
    """The directory, or the nearest above it that exists; the others will be made."""
    while not directory.exists() and directory != directory.parent:
        directory = directory.parent
    return directory


def rendered(summary: Summary, kind: str, console: Console) -> str:
    """The report as text; the terminal's own format follows the terminal."""
    if kind == "text":
        from chaosrun.reports.terminal import terminal

        return terminal(summary, colour=console.color, width=console.width, unicode=console.unicode)
    from chaosrun.reports import render_summary

    return render_summary(kind, summary)


def write_text(path: str, text: str) -> None:
    """Write one report to its file. Raises ChaosrunError."""
    from chaosrun.reports import write_atomically

    try:
        write_atomically(path, text)
    except OSError as error:
        raise ChaosrunError(f"cannot write {path}: {error.strerror or error}") from None


def write_files(summary: Summary, files: Mapping[str, str], console: Console) -> None:
    """Write a report of each format to its file. Raises ChaosrunError after all were tried."""
    from chaosrun.reports import write_atomically

    problems = []
    for kind, path in files.items():
        try:
            write_atomically(path, rendered(summary, kind, console))
        except OSError as error:
            problems.append(f"cannot write {path}: {error.strerror or error}")
    if problems:
        raise ChaosrunError("; ".join(problems))
