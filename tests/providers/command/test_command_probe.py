"""The probe and the gate `command`, with real processes."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun import commands, discovery, expression
from chaosrun.codec import from_plain
from chaosrun.errors import Indeterminate, Refused
from chaosrun.gate import Measured
from chaosrun.providers.command.gate import CommandGate
from chaosrun.providers.command.probe import CommandProbe, Output


def observe(command: str | list[str], **more: Any) -> Output:
    probe = from_plain({"command": command, **more}, CommandProbe)
    began = time.monotonic()
    output = probe.observe(None)
    assert time.monotonic() - began < probe.time_needed.seconds
    return output


def measure(command: str | list[str], **more: Any) -> Measured:
    return from_plain({"command": command, **more}, CommandGate).measure(None)


def test_its_exit_code_and_what_it_wrote_are_seen() -> None:
    output = observe("echo out; echo err >&2; exit 3")
    assert (output.code, output.stdout, output.stderr) == (3, "out", "err")
    assert not output.timed_out
    assert output.json is None


def test_a_list_is_run_without_a_shell() -> None:
    assert observe(["printf", "%s", "$HOME; exit 3"]).stdout == "$HOME; exit 3"


def test_what_is_given_reaches_it(tmp_path: Path) -> None:
    output = observe(
        'cat; echo "$GREETING"; pwd', stdin="one\n", env={"GREETING": "two"}, cwd=str(tmp_path)
    )
    assert output.stdout.splitlines() == ["one", "two", str(tmp_path)]


@pytest.mark.parametrize(("wrote", "json"), [('{"a": [1]}', {"a": [1]}), ("up", None), ("", None)])
def test_json_is_read(wrote: str, json: Any) -> None:
    assert observe(["printf", "%s", wrote]).json == json


def test_bytes_that_are_no_text_are_a_result() -> None:
    assert observe("printf '\\377ok'").stdout == "\ufffdok"


def test_a_command_that_hangs_is_killed_with_all_it_started_and_is_a_result(
    tmp_path: Path,
) -> None:
    child = tmp_path / "child"
    output = observe(f"sleep 60 & echo $! > {child}; wait", timeout="300ms")
    assert (output.code, output.timed_out) == (-9, True)
    deadline = time.monotonic() + 30
    while _alive(int(child.read_text())):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")  # killed, and perhaps not yet waited for
    try:
        return not sys.platform.startswith("linux") or state.read_text().split()[2] != "Z"
    except OSError:
        return False


def test_a_command_ended_by_a_signal_is_a_result() -> None:
    assert observe(["sh", "-c", "kill -TERM $$"]).code == -15


@pytest.mark.parametrize("command", [["no-such-program"], "no-such-program", "/etc/passwd", "/"])
def test_a_command_that_cannot_be_run_makes_the_sample_unknown(command: str | list[str]) -> None:
    with pytest.raises(Refused):
        observe(command)


def test_a_cancelled_command_is_not_taken_for_one_that_hung() -> None:
    cancellation = commands.Cancellation()
    cancellation.cancel()
    token = commands.current.set(cancellation)
    try:
        with pytest.raises(Indeterminate):
            observe("sleep 60")
    finally:
        commands.current.reset(token)


def test_the_gate_is_open_when_the_command_ends_well() -> None:
    found = measure("echo no open incident; echo more")
    assert found.open
    assert found.measured == "exit code 0: no open incident"


def test_the_gate_is_closed_when_it_does_not() -> None:
    found = measure("echo incident 12 is open >&2; exit 1", hint="close the incident")
    assert not found.open
    assert found.measured == "exit code 1: incident 12 is open"
    assert found.hint == "close the incident"


@pytest.mark.parametrize(
    ("command", "error"), [("no-such-program", Refused), ("sleep 60", Indeterminate)]
)
def test_a_gate_that_cannot_tell_raises_so_that_it_is_closed(
    command: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        measure(command, timeout="200ms")


def test_the_examples_are_valid_and_are_found_by_their_names() -> None:
    assert discovery.probe("command") is CommandProbe
    assert discovery.gate("command") is CommandGate
    from_plain(CommandGate.example, CommandGate)
    from_plain(CommandProbe.example["with"], CommandProbe)
    expression.compile(str(CommandProbe.example["expect"]), CommandProbe.Result)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "command"),
        ({"command": " "}, "empty"),
        ({"command": []}, "empty"),
        ({"command": "a\0b"}, "NUL"),
        ({"command": "a", "env": {"A=B": "c"}}, "`=`"),
        ({"command": "a", "timeout": "0s"}, "longer than 0s"),
        ({"command": "a", "shell": True}, "unknown field"),
    ],
)
def test_what_is_written_wrong_is_said(written: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError) as raised:
        from_plain(written, CommandProbe)
    assert said in str(raised.value)
