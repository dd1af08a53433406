"""Pure parts: the story of a run in lines, its picture, columns, and a writer that never waits."""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections import deque
from collections.abc import Callable
from io import StringIO

import pytest
from msgspec.structs import replace

from chaosrun.cli.console import aligned, cells, clean, clip, plain_values, styled, wants_color
from chaosrun.cli.narrator import Line, Narrator, written
from chaosrun.cli.picture import Scene, draw
from chaosrun.cli.writer import Writer
from chaosrun.events import (
    AnyEvent,
    Failure,
    Finished,
    InjectFailed,
    Moment,
    Outcome,
    Sampled,
)
from tests.reports.stories import STORIES

Story = Callable[[], list[AnyEvent]]
EVERY = pytest.mark.parametrize("name", STORIES)


def told(name: str, **options: bool) -> list[Line]:
    narrator = Narrator(**options)
    return [line for event in events(name) for line in narrator.tell(event)]


def events(name: str) -> list[AnyEvent]:
    story = STORIES[name]
    return list(story() if callable(story) else story)


@EVERY
def test_every_story_is_told_to_its_end(name: str) -> None:
    lines = told(name)
    assert lines
    if isinstance(events(name)[-1], Finished):
        assert lines[-1].word == "finished"


@EVERY
def test_no_text_from_outside_steers_the_terminal(name: str) -> None:
    for line in told(name):
        text = written(line, color=False, width=90)
        assert all(character.isprintable() or character == "\n" for character in text)


@EVERY
def test_lines_are_as_wide_as_the_terminal_and_go_on_under_their_column(name: str) -> None:
    for line in told(name):
        for part in written(line, color=False, width=100).splitlines():
            assert cells(part) <= 100 or " " not in part.strip()


def test_it_is_told_why_what_is_restored_is_looked_at_once_more() -> None:
    given_up = InjectFailed(
        at=1, lease="r-0", failure=Failure.INDETERMINATE, error="no answer", unanswered=True
    )
    (line,) = Narrator().tell(given_up)
    assert line.text.endswith("it may still act, so it is looked at once more in some seconds")
    (line,) = Narrator().tell(replace(given_up, unanswered=False))
    assert line.text == "indeterminate: no answer"


def test_samples_that_hold_are_not_told_one_by_one() -> None:
    samples = [event for event in events("passed") if isinstance(event, Sampled)]
    assert len(samples) > 20
    assert len([line for line in told("passed") if line.word in ("check", "guard")]) < 5
    assert len([line for line in told("passed", every_sample=True) if line.text]) > len(samples)


def test_samples_that_fail_are_told_at_first_and_when_they_hold_again() -> None:
    narrator = Narrator()
    lines = []
    story = events("passed")
    for event in story[:1]:
        narrator.tell(event)
    name = next(iter(narrator.run.checks))
    outcomes = [Outcome.HELD] + [Outcome.BROKE] * 9 + [Outcome.HELD] * 2
    for number, outcome in enumerate(outcomes):
        at = story[0].at + 1 + number / 10
        lines += narrator.tell(
            Sampled(at=at, subject="check", name=name, moment=Moment.AFTER, outcome=outcome,
                    began=at, reason="" if outcome is Outcome.HELD else "status = 503")
        )  # fmt: skip
    texts = [line.text for line in lines]
    assert texts == ["broke: status = 503"] * 3 + ["holds again after 9 samples"]


@EVERY
@pytest.mark.parametrize("size", [(20, 6), (40, 10), (80, 24), (200, 60)])
@pytest.mark.parametrize("unicode", [True, False])
def test_the_picture_fits_at_any_moment(name: str, size: tuple[int, int], unicode: bool) -> None:
    from rich.console import Console

    width, height = size
    narrator = Narrator()
    samples: dict[tuple[str, str], deque[Sampled]] = {}
    story = events(name)
    for number, event in enumerate(story):
        narrator.tell(event)
        if isinstance(event, Sampled):
            samples.setdefault((event.subject, event.name), deque(maxlen=120)).append(event)
        if number % max(1, len(story) // 8):
            continue
        scene = Scene(narrator.run, samples, story[0].at, event.at, "Ctrl-C stops", unicode)
        out = StringIO()
        Console(file=out, width=width, height=height, color_system=None).print(
            draw(scene, width, height), end=""
        )
        lines = out.getvalue().rstrip("\n").split("\n")
        assert len(lines) <= max(height, 10)
        assert all(cells(line.rstrip()) <= width for line in lines)
        if not unicode:
            mine = re.sub(r"[“”·…]", "", out.getvalue())
            assert all(ord(character) < 0x2500 for character in mine)


def test_control_characters_are_shown_and_not_obeyed() -> None:
    assert clean("a\x1b[31mb\r\n") == "a\\x1b[31mb\\r\\n"
    assert clean("two\nlines", lines=True) == "two\nlines"


def test_columns_line_up_for_wide_letters_and_styles() -> None:
    rows = aligned([("名前", "x"), (styled("ab", "red"), "y"), ("longer", "z")])
    assert len({cells(row) for row in rows}) == 1


def test_clipped_text_has_an_ellipsis_and_fits() -> None:
    assert clip("名前名前", 5) == "名前…"
    assert clip("short", 5) == "short"


def test_results_are_one_line() -> None:
    result = {"status": 200, "latency": "3ms", "body": "a b\nc", "json": None, "ok": True}
    assert plain_values(result) == "status=200 latency=3ms body='a b\\\\nc' ok=true"


def test_colour_follows_the_person_and_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(StringIO):
        def isatty(self) -> bool:
            return True

    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert wants_color("auto", Tty())
    assert not wants_color("auto", StringIO())
    assert wants_color("always", StringIO())
    assert not wants_color("never", Tty())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not wants_color("auto", Tty())
    assert wants_color("always", Tty())


def test_a_writer_never_waits_and_counts_what_it_drops() -> None:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"x" * 4096)
    writer = Writer(writing, most=10)
    began = time.monotonic()
    for _ in range(100_000):
        writer.line("x" * 100)
    assert time.monotonic() - began < 30
    assert writer.dropped
    assert not writer.close(0.05)
    assert writer.stuck
    os.set_blocking(reading, False)
    deadline = time.monotonic() + 30
    while writer.stuck and time.monotonic() < deadline:
        try:
            os.read(reading, 1 << 20)
        except BlockingIOError:
            time.sleep(0.001)
    assert not writer.stuck
    os.close(reading)
    os.close(writing)


def test_a_writer_whose_reader_left_says_so_once() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    writer = Writer(writing)
    writer.line("nobody reads this")
    assert not writer.close(30)
    assert isinstance(writer.lost, BrokenPipeError)
    os.close(writing)


def test_a_writer_writes_everything_in_order() -> None:
    reading, writing = os.pipe()
    writer = Writer(writing)
    for number in range(1000):
        writer.line(str(number))
    assert writer.close(30)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        assert pipe.read().split() == [str(number) for number in range(1000)]
