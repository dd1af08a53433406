"""The text summary: lines for a terminal, safe for it, the same with and without colour."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from chaosrun.reports.summary import summarise
from chaosrun.reports.terminal import terminal
from tests.reports import stories
from tests.reports.stories import STORIES

ANSI = re.compile(r"\x1b\[[0-9;]*m")


@pytest.mark.parametrize("name", STORIES)
def test_lines_fit_the_terminal_but_for_the_command_to_copy(name: str) -> None:
    told = summarise(STORIES[name]())
    for line in terminal(told, width=80).splitlines():
        assert len(line) <= 80 or told.repeat in line


@pytest.mark.parametrize("name", STORIES)
def test_colour_changes_nothing_but_the_colour(name: str) -> None:
    told = summarise(STORIES[name]())
    coloured = terminal(told, colour=True)
    assert "\x1b[" in coloured
    plain = [line.rstrip() for line in ANSI.sub("", coloured).splitlines()]
    assert plain == terminal(told).splitlines()


def test_ascii_is_ascii() -> None:
    told = summarise(stories.passed())
    assert terminal(told, unicode=False).isascii()


def test_text_from_outside_cannot_steer_the_terminal() -> None:
    told = summarise(stories.hostile())
    for text in (terminal(told), ANSI.sub("", terminal(told, colour=True))):
        assert all(c == "\n" or c.isprintable() for c in text)


def test_a_plain_summary_imports_neither_rich_nor_jinja() -> None:
    code = (
        "import sys\n"
        "from tests.reports.stories import passed\n"
        "from chaosrun.reports import render\n"
        "render('text', passed())\n"
        "render('json', passed())\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not loaded & {'rich', 'jinja2', 'markupsafe', 'requests'}, loaded\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)
