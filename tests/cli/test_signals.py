"""Signals stop a run and never abandon a revert; a stuck or lost reader changes nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from tests.cli.conftest import Chaosrun, until


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_the_first_signal_stops_and_reverts(
    chaosrun: Chaosrun, number: signal.Signals, code: int
) -> None:
    process = chaosrun.start("run", chaosrun.experiment(hold="60s"), stdout=subprocess.PIPE)
    chaosrun.wait_for_mark()
    process.send_signal(number)
    assert process.stdout is not None
    said = process.stdout.read()
    assert process.wait(20) == code
    assert not chaosrun.marked
    assert number.name in said
    assert "cancelled" in said


def test_more_signals_never_abandon_a_revert(chaosrun: Chaosrun) -> None:
    place = chaosrun.place
    revert = f"touch {place}/reverting; sleep 1; rm -f {place}/mark"
    process = chaosrun.start(
        "run", chaosrun.experiment(hold="60s", revert=revert), stdout=subprocess.PIPE
    )
    chaosrun.wait_for_mark()
    process.send_signal(signal.SIGTERM)
    until((place / "reverting").exists)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGTSTP):
        process.send_signal(number)
    assert process.stdout is not None
    said = process.stdout.read()
    assert process.wait(20) == 143
    assert not chaosrun.marked
    assert "a revert is never abandoned" in said
    assert chaosrun("status").returncode == 0


def test_a_signal_to_a_recovery_does_not_stop_it(chaosrun: Chaosrun) -> None:
    place = chaosrun.place
    revert = f"touch {place}/reverting; sleep 1; rm -f {place}/mark"
    dead = chaosrun.start("run", chaosrun.experiment(hold="60s", revert=revert))
    chaosrun.wait_for_mark()
    dead.kill()
    dead.wait()
    process = chaosrun.start("recover")
    until((place / "reverting").exists)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    assert not chaosrun.marked


def test_hang_ups_that_are_ignored_stay_ignored(chaosrun: Chaosrun) -> None:
    process = chaosrun.start(
        "run", chaosrun.experiment(hold="1s"),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    chaosrun.wait_for_mark()
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 0


def test_a_reader_that_went_away_changes_nothing(chaosrun: Chaosrun) -> None:
    process = chaosrun.start(
        "run", chaosrun.experiment(hold="300ms"), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()  # as `| head -1` does
    assert process.wait(20) == 0
    assert process.stderr.read() == ""
    assert not chaosrun.marked


def test_streams_that_were_closed_from_the_start_change_nothing(chaosrun: Chaosrun) -> None:
    line = f"exec {sys.executable} -m chaosrun run {chaosrun.experiment()} <&- >&- 2>&-"
    ended = subprocess.run(
        ["sh", "-c", line], cwd=chaosrun.place, env=chaosrun.env, check=False, timeout=30
    )
    assert ended.returncode == 0
    assert not chaosrun.marked


def test_a_reader_that_stopped_reading_delays_no_revert(chaosrun: Chaosrun) -> None:
    import fcntl

    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
    os.write(writing, b"x" * 4096)  # full: whoever writes more now waits for ever
    process = chaosrun.start(
        "run", chaosrun.experiment(hold="60s"), "--events", "-", stdout=writing, stderr=writing
    )
    os.close(writing)
    chaosrun.wait_for_mark()
    process.send_signal(signal.SIGTERM)
    until(lambda: not chaosrun.marked, 20)
    assert process.wait(25) == 143
    os.close(reading)


def test_a_full_disk_for_events_is_told_and_changes_no_verdict(chaosrun: Chaosrun) -> None:
    ended = chaosrun("run", chaosrun.experiment(), "-q", "--events", "/dev/full")
    assert ended.returncode == 0
    assert "/dev/full: events were lost: No space left on device" in ended.stderr
