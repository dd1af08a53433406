"""A person's commands harm, undo and look, and what they cannot prove is refused."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun import commands
from chaosrun.codec import to_json
from chaosrun.errors import Indeterminate, Refused
from chaosrun.fault import Hold
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.command import Command
from tests.providers.host.conftest import fault, leased

WHOLE: dict[str, Any] = {
    "inject": "touch broken",
    "revert": "rm -f broken",
    "tookEffect": "test -e broken",
    "restored": "! test -e broken",
}


def lease(host: Host, directory: Path, **fields: Any) -> Hold:
    planned = fault("host.command", **{**WHOLE, "cwd": str(directory), **fields})
    return leased(planned.plan(host, random.Random(1)))


def test_it_runs_them_where_it_was_planned(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    hold = lease(host, Path())
    monkeypatch.chdir("/")
    Command.inject(hold, host)
    assert (tmp_path / "broken").exists()
    Command.revert(hold, host)
    assert not (tmp_path / "broken").exists()


def test_what_the_looks_say_is_told(host: Host, tmp_path: Path) -> None:
    hold = lease(host, tmp_path, tookEffect="echo 7 errors; test -e broken")
    seen = Command.took_effect(hold, host)
    assert (seen.seen, seen.detail) == (False, "tookEffect ended with 1: 7 errors")
    Command.inject(hold, host)
    assert Command.took_effect(hold, host).detail == "tookEffect ended with 0: 7 errors"


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ({"tookEffect": "true"}, "tookEffect says yes before anything was injected"),
        ({"restored": "echo sick >&2; false"}, r"restored says no before .* \(1: sick\)"),
        ({"tookEffect": "no-such-command"}, "tookEffect could not be run"),
        ({"restored": "no-such-command"}, "restored says no"),
        ({"tookEffect": ["/no/such"]}, "cannot run /no/such"),
    ],
)
def test_looks_that_would_prove_nothing_are_refused(
    host: Host, tmp_path: Path, looks: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        lease(host, tmp_path, **looks)


@pytest.mark.parametrize("missing", sorted(WHOLE))
def test_each_command_is_required(missing: str) -> None:
    given = {name: command for name, command in WHOLE.items() if name != missing}
    with pytest.raises(msgspec.ValidationError, match=missing):
        fault("host.command", **given)
    with pytest.raises(msgspec.ValidationError, match=f"{missing} is an empty command"):
        fault("host.command", **given, **{missing: []})


@pytest.mark.parametrize("act", ["inject", "revert"])
def test_a_command_that_fails_may_have_happened(host: Host, tmp_path: Path, act: str) -> None:
    hold = lease(host, tmp_path, **{act: "echo no disk >&2; exit 4"})
    with pytest.raises(Indeterminate, match=f"{act} ended with 4: no disk"):
        getattr(Command, act)(hold, host)


def test_an_injection_that_outlived_its_runner_cannot_act_after_the_revert(
    host: Host, tmp_path: Path
) -> None:
    hold = lease(host, tmp_path, inject="(sleep 600; touch broken) & echo $! > pid; true")
    Command.inject(hold, host)
    pid = int((tmp_path / "pid").read_text())
    assert commands.marked()[pid] == hold.mark
    Command.revert(hold, host)
    assert pid not in commands.marked()


def test_its_environment_is_added(host: Host, tmp_path: Path) -> None:
    hold = lease(host, tmp_path, inject='printf "$WORD" > broken', env={"WORD": "crash"})
    Command.inject(hold, host)
    assert (tmp_path / "broken").read_text() == "crash"


def test_past_its_timeout_it_is_killed(host: Host, tmp_path: Path) -> None:
    hold = lease(host, tmp_path, inject="sleep 600", timeout="200ms")
    with pytest.raises(Indeterminate, match=r"within 0\.2s"):
        Command.inject(hold, host)


def test_the_same_harm_is_the_same_target(host: Host, tmp_path: Path) -> None:
    first, second = lease(host, tmp_path), lease(host, tmp_path, revert="rm broken || true")
    other = lease(host, tmp_path, inject="touch broken other")
    assert first.targets[0].key == second.targets[0].key != other.targets[0].key


def test_another_machine_is_asked_only_where_that_is_said_to_be_right(
    host: Host, tmp_path: Path
) -> None:
    hold = lease(host, tmp_path)
    hold.undo["place"].update(node="elsewhere", boot="other", machine="other")
    for act in (Command.revert, Command.restored):
        with pytest.raises(Refused, match="that is on elsewhere"):
            act(hold, host)
    anywhere = lease(host, tmp_path, anywhere=True)
    assert b"place" not in to_json(anywhere.undo)
    Command.revert(anywhere, host)


@pytest.mark.parametrize("since", [{"boot": "an earlier one"}, {"processes": "another"}])
def test_after_a_restart_of_the_machine_or_container_the_revert_still_runs(
    host: Host, tmp_path: Path, since: dict[str, str]
) -> None:
    hold = lease(host, tmp_path)
    Command.inject(hold, host)
    hold.undo["place"].update(since)
    Command.revert(hold, host)
    assert not (tmp_path / "broken").exists()
