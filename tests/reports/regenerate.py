"""Writes the golden reports anew: `python -m tests.reports.regenerate`, then read the diff."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from chaosrun.reports import render
from tests.reports.stories import STORIES

GOLDEN = Path(__file__).parent / "golden"
ENDINGS = {"text": "txt", "markdown": "md", "junit": "xml", "json": "json"}
WHOLE = ("refused-by-gate", "stranded", "aborted")
"""The stories whose JSON, which is long, is golden too."""


def golden_reports() -> Iterator[tuple[str, str, Path]]:
    """Every golden report: its story, its format and its file."""
    for story in STORIES:
        for name, ending in ENDINGS.items():
            if name != "json" or story in WHOLE:
                yield story, name, GOLDEN / f"{story}.{ending}"


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.iterdir():
        old.unlink()
    for story, name, path in golden_reports():
        path.write_text(render(name, STORIES[story]()), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
