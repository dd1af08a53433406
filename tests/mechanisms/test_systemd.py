"""Where systemd runs, a timer of its own ends the harm, though who held it was killed.

systemd itself cannot run beside these tests, so its programs are stand-ins that note what they
were asked; what they were asked to run is then run.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import time
import uuid
from pathlib import Path

import pytest

from chaosrun.mechanisms import asking, supervisor, systemd
from chaosrun.mechanisms.harm import order
from chaosrun.mechanisms.inside import Inside
from chaosrun.mechanisms.partition import Partition
from chaosrun.mechanisms.traffic import Traffic
from chaosrun.procfs import runs
from tests.mechanisms.conftest import eventually


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the stand-ins were asked, a line each."""
    told = tmp_path / "asked"
    told.touch()
    for name in ("systemd-run", "systemctl"):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\nprintf "%s\\n" "{name} $*" >>{told}\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(systemd, "RUNS", tmp_path)
    return told


def test_the_timer_runs_an_end_that_needs_nobody_else(namespace: str, asked: Path) -> None:
    harm = Partition(traffic=Traffic(peers=("127.0.0.2/32",)))
    inside = Inside(net=namespace).found()
    given = order(uuid.uuid4().hex, time.time() + 60, harm, inside)
    asking.hold(given)
    name = systemd.arm(given)
    (line,) = asked.read_text().splitlines()
    assert name.startswith("chaosrun-")
    assert f"--unit={name}" in line
    assert "--on-active=6" in line  # a little more than the minute that is left
    (holder,) = supervisor.holders()[given.mark]
    os.kill(holder.pid, signal.SIGKILL)
    assert eventually(lambda: not runs(holder))
    words = shlex.split(line)
    settings = dict(
        word.removeprefix("--setenv=").split("=", 1) for word in words if "--setenv=" in word
    )
    command = words[words.index("-m") - 1 :]
    subprocess.run(command, env=settings, check=True, timeout=30, capture_output=True)
    assert not asking.look(given).any
    assert asking.notes() == []


def test_what_ended_before_stops_its_timer(namespace: str, asked: Path) -> None:
    systemd.disarm("chaosrun-0123")
    assert asked.read_text() == "systemctl stop chaosrun-0123.timer\n"


def test_where_it_does_not_run_there_is_none(
    namespace: str, asked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(systemd, "RUNS", Path("/no/such/place"))
    given = order("mark", time.time() + 60, Partition())
    assert systemd.arm(given) == ""
    systemd.disarm("")
    assert asked.read_text() == ""
