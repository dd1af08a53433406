"""Each kind of ending reads as it was read and found good."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaosrun.reports import render
from chaosrun.run import conclude, fold
from tests.reports.regenerate import GOLDEN, golden_reports
from tests.reports.stories import STORIES

REPORTS = list(golden_reports())


@pytest.mark.parametrize(
    ("story", "name", "path"), REPORTS, ids=[f"{story}-{name}" for story, name, _ in REPORTS]
)
def test_a_report_reads_as_its_golden_file(story: str, name: str, path: Path) -> None:
    told = render(name, STORIES[story]())
    assert told == path.read_text(encoding="utf-8"), (
        "if this is meant: python -m tests.reports.regenerate, and read the diff"
    )


def test_no_golden_file_is_left_over() -> None:
    assert {path for _, _, path in REPORTS} == set(GOLDEN.iterdir())


@pytest.mark.parametrize("story", [name for name in STORIES if name != "running"])
def test_a_story_ends_as_the_engine_would_end_it(story: str) -> None:
    *before, finished = STORIES[story]()
    verdict, reason = conclude(fold(before))
    assert (finished.verdict, finished.reason) == (verdict, reason)  # type: ignore[union-attr]
