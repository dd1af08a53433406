"""The golden traces are what the engine does today."""

from __future__ import annotations

import pytest

from tests.simulation.traces import FOLDER, STORIES, told


@pytest.mark.parametrize("name", STORIES)
def test_a_story_is_told_as_it_was_written_down(name: str) -> None:
    written = (FOLDER / f"{name}.txt").read_text(encoding="utf-8")
    assert told(name) == written, "python -m tests.simulation.traces writes it anew"


def test_no_story_lies_about_that_is_not_told() -> None:
    assert {path.stem for path in FOLDER.glob("*.txt")} == set(STORIES)
