"""On a terminal: a live view that puts the terminal back, questions, and colour where wanted."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from tests.cli.conftest import Chaosrun, Terminal, until

HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"

Open = Callable[..., Terminal]


def test_a_run_shows_what_goes_on_and_puts_the_terminal_back(
    chaosrun: Chaosrun, terminal: Open
) -> None:
    seen = terminal("run", chaosrun.experiment(hold="3s", guard=True))
    seen.expect("1 owed")
    seen.expect("left")  # of the step's time
    seen.expect("door is shut")
    seen.expect("it hurts")
    assert seen.end() == 0
    assert HIDE in seen.seen
    assert seen.seen.rindex(SHOW) > seen.seen.rindex(HIDE)
    assert "passed" in seen.seen.rpartition(SHOW)[2]


def test_ctrl_c_stops_and_reverts_and_a_second_one_waits_for_the_revert(
    chaosrun: Chaosrun, terminal: Open
) -> None:
    place = chaosrun.place
    revert = f"touch {place}/reverting; sleep 1; rm -f {place}/mark"
    seen = terminal("run", chaosrun.experiment(hold="60s", revert=revert))
    chaosrun.wait_for_mark()
    seen.type("\x03")
    until((place / "reverting").exists)
    seen.type("\x03")
    seen.expect("a revert is never abandoned")
    assert seen.end() == 130
    assert not chaosrun.marked
    assert seen.seen.rindex(SHOW) > seen.seen.rindex(HIDE)


def test_ctrl_z_does_not_put_the_guards_to_sleep(chaosrun: Chaosrun, terminal: Open) -> None:
    seen = terminal("run", chaosrun.experiment(hold="3s"))
    chaosrun.wait_for_mark()
    seen.type("\x1a")
    assert seen.end() == 0


def test_a_terminal_that_is_gone_stops_the_run_and_reverts(
    chaosrun: Chaosrun, terminal: Open
) -> None:
    seen = terminal("run", chaosrun.experiment(hold="60s"))
    seen.expect("1 owed")
    seen.hang_up()
    until(lambda: not chaosrun.marked)
    assert seen.process.wait(20) == 128 + signal.SIGHUP


def test_a_terminal_that_is_held_delays_nothing(chaosrun: Chaosrun, terminal: Open) -> None:
    seen = terminal("run", chaosrun.experiment(hold="60s"))
    seen.expect("1 owed")
    seen.type("\x13")  # Ctrl-S: whoever writes now waits
    seen.process.send_signal(signal.SIGTERM)
    until(lambda: not chaosrun.marked)
    seen.type("\x11")
    assert seen.end() == 143


def test_a_guard_that_hurts_is_seen_before_it_trips(chaosrun: Chaosrun, terminal: Open) -> None:
    file = chaosrun.experiment(hold="60s", guard=True)
    path = chaosrun.place / file
    path.write_text(path.read_text() + "      for: 5s\n")
    seen = terminal("run", file)
    seen.expect("1 owed")
    (chaosrun.place / "hurt").touch()
    seen.expect("trips at 5s")
    assert seen.end() == 4


def test_no_color_leaves_out_colour_and_keeps_the_view(chaosrun: Chaosrun, terminal: Open) -> None:
    seen = terminal("run", chaosrun.experiment(hold="3s"), NO_COLOR="1")
    seen.expect("1 owed")
    assert seen.end() == 0
    assert not {"\x1b[31m", "\x1b[32m", "\x1b[35m", "\x1b[36m"} & set(_codes(seen.seen))


def _codes(text: str) -> list[str]:
    import re

    return re.findall(r"\x1b\[[0-9;]*m", text)


def test_a_dumb_terminal_gets_plain_lines(chaosrun: Chaosrun, terminal: Open) -> None:
    seen = terminal("run", chaosrun.experiment(), TERM="dumb")
    assert seen.end() == 0
    assert "\x1b" not in seen.seen
    assert "  restored" in seen.seen


@pytest.mark.parametrize(("rows", "columns"), [(5, 20), (8, 40), (60, 250)])
def test_a_terminal_of_any_size_will_do(
    chaosrun: Chaosrun, terminal: Open, rows: int, columns: int
) -> None:
    seen = terminal("run", chaosrun.experiment(hold="500ms"), rows=rows, columns=columns)
    assert seen.end() == 0


def test_quiet_shows_no_view(chaosrun: Chaosrun, terminal: Open) -> None:
    seen = terminal("run", chaosrun.experiment(), "--quiet")
    assert seen.end() == 0
    assert HIDE not in seen.seen


def test_colour_can_be_forced_and_forbidden(chaosrun: Chaosrun, terminal: Open) -> None:
    assert "\x1b[" in chaosrun("run", chaosrun.experiment(), "--color", "always").stdout
    seen = terminal("describe", "http", "--color", "never")
    assert seen.end() == 0
    assert "\x1b" not in seen.seen


def test_init_asks_what_the_options_leave_open(chaosrun: Chaosrun, terminal: Open) -> None:
    seen = terminal("init", "mine.yaml")
    seen.expect("What should stay true")
    seen.type("The shop sells\r")
    seen.expect("Which fault")
    seen.type("host.comand\r")
    seen.expect("host.command?")
    seen.type("host.command\r")
    seen.expect("How is seen")
    seen.type("\r")
    seen.expect("URL")
    seen.type("http://127.0.0.1:1/\r")
    seen.expect("Whom to tell")
    seen.type("\r")
    assert seen.end() == 0
    text = (chaosrun.place / "mine.yaml").read_text()
    assert "title: The shop sells" in text
    assert "fault: host.command" in text
    assert "url: http://127.0.0.1:1/" in text
    assert chaosrun("validate", "mine.yaml").returncode == 0


def test_a_question_may_be_left_with_ctrl_c_or_ctrl_d(chaosrun: Chaosrun, terminal: Open) -> None:
    for key in ("\x03", "\x04"):
        seen = terminal("init", "mine.yaml")
        seen.expect("What should stay true")
        seen.type(key)
        assert seen.end() == 130
        assert "Traceback" not in seen.seen
        assert not (chaosrun.place / "mine.yaml").exists()


def test_pruning_asks_first(chaosrun: Chaosrun, terminal: Open) -> None:
    chaosrun("run", chaosrun.experiment(), "-q")
    seen = terminal("prune", "--older-than", "0s")
    seen.expect("Delete runs that ended more than 0s ago?")
    seen.type("no\r")
    assert seen.end() == 0
    assert len(chaosrun.json("runs")) == 1
