"""Several processes on one journal, and processes that die: both durable stores."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from chaosrun.errors import JournalUnavailable
from chaosrun.journal import liveness, open_journal
from chaosrun.journal.sqlite import SqliteJournal
from tests.journal.making import process, sampled, started

_RACE = """
import sys
from chaosrun.errors import SequenceTaken
from chaosrun.journal import open_journal
from tests.journal.making import sampled

journal = open_journal(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
won = []
for sequence in range(1, 41):
    try:
        journal.append("r", sequence, [sampled(at=sequence, note=sys.argv[2])])
        won.append(sequence)
    except SequenceTaken:
        pass
journal.close()
print(*won, flush=True)
"""

_OPEN = """
import sys
from chaosrun.journal import open_journal
from tests.journal.making import started

print("ready", flush=True)
sys.stdin.readline()
journal = open_journal(sys.argv[1])
journal.append(sys.argv[2], 0, [started(sys.argv[2])])
journal.close()
print("opened", flush=True)
"""

_APPEND = """
import sys
from chaosrun.journal import open_journal
from tests.journal.making import sampled, started

journal = open_journal(sys.argv[1])
journal.append("r", 0, [started("r")])
sequence = 1
while True:
    journal.append("r", sequence, [sampled(at=sequence + i, note="x" * 500) for i in range(5)])
    sequence += 5
    print(sequence, flush=True)
"""

_DRIVE = """
import os, subprocess, sys
from chaosrun.journal import open_journal

journal = open_journal(sys.argv[1])
journal.register(sys.argv[2])
child = subprocess.Popen(["sleep", "60"], close_fds=False, stdout=subprocess.DEVNULL)
forked = os.fork()
if forked == 0:
    os.close(1)
    os.execvp("sleep", ["sleep", "60"]) if len(sys.argv) > 3 else __import__("time").sleep(60)
print(child.pid, forked, flush=True)
sys.stdin.readline()
"""


def eventually(promise: Callable[[], bool], seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while not promise():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def test_of_two_processes_exactly_one_writes_each_event(url: str) -> None:
    journal = open_journal(url)
    journal.append("r", 0, [started("r")])
    with process(_RACE, url, "left") as left, process(_RACE, url, "right") as right:
        for child in (left, right):
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in (left, right):
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        outs = [child.communicate(timeout=60)[0] for child in (left, right)]
    won = [[int(word) for word in out.split()] for out in outs]
    assert sorted(won[0] + won[1]) == list(range(1, 41)), "each by one, and none by both"
    notes = [getattr(event, "reason", "") for event in journal.events("r", since=1)]
    assert notes == ["left" if place in won[0] else "right" for place in range(1, 41)]
    journal.close()


def test_processes_that_open_a_new_journal_at_once_all_succeed(url: str) -> None:
    with (
        process(_OPEN, url, "a") as a,
        process(_OPEN, url, "b") as b,
        process(_OPEN, url, "c") as c,
        process(_OPEN, url, "d") as d,
    ):
        for child in (a, b, c, d):
            assert child.stdout is not None
            assert child.stdout.readline() == "ready\n"
        for child in (a, b, c, d):
            assert child.stdin is not None
            child.stdin.write("\n")
            child.stdin.flush()
        for child in (a, b, c, d):
            assert child.communicate(timeout=60)[0] == "opened\n"
    journal = open_journal(url)
    assert {row.run for row in journal.runs()} == {"a", "b", "c", "d"}
    journal.close()


@pytest.mark.parametrize("seconds", [0.0, 0.03, 0.11])
def test_what_was_acknowledged_before_a_kill_is_there_and_nothing_is_torn(
    url: str, seconds: float
) -> None:
    with process(_APPEND, url) as child:
        assert child.stdout is not None
        acknowledged = int(child.stdout.readline())
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            acknowledged = int(child.stdout.readline())
        child.kill()
        acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
    journal = open_journal(url)
    found = [event.at for event in journal.events("r", since=1)]
    assert found[: acknowledged - 1] == list(range(1, acknowledged))
    assert len(found) in (acknowledged - 1, acknowledged + 4), "a group is there whole or not"
    journal.append("r", len(found) + 1, [sampled()])
    journal.close()


@pytest.mark.parametrize("execs", ["", "execs"])
def test_a_driver_is_alive_until_its_process_is_killed(
    url: str, execs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(liveness, "_PATIENCE", 0.2)
    journal = open_journal(url)
    with process(_DRIVE, url, "driver-9", *([execs] if execs else [])) as child:
        assert child.stdout is not None
        children = [int(word) for word in child.stdout.readline().split()]
        try:
            assert journal.alive("driver-9")
            with pytest.raises(JournalUnavailable, match="another process is registered"):
                journal.register("driver-9")
            assert journal.alive("driver-9")
            child.kill()
            child.wait()
            for pid in children:
                os.kill(pid, 0)
            # Only the SQLite journal knows at once; a server takes a moment to read the end.
            assert eventually(lambda: not journal.alive("driver-9")), "its children live on"
        finally:
            for pid in children:
                os.kill(pid, 9)
    journal.register("driver-9")
    assert journal.alive("driver-9")
    journal.close()


def test_a_driver_is_not_alive_after_it_closed_its_journal(url: str) -> None:
    journal, other = open_journal(url), open_journal(url)
    journal.register("driver-1")
    assert other.alive("driver-1")
    journal.close()
    assert eventually(lambda: not other.alive("driver-1"))
    other.close()


def test_the_files_of_dead_drivers_are_cleared_away(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/journal.db"
    journal = open_journal(url)
    assert isinstance(journal, SqliteJournal)
    journal.register("living")
    with process(_DRIVE, url, "dead") as child:
        assert child.stdout is not None
        children = [int(word) for word in child.stdout.readline().split()]
        child.kill()
        child.wait()
        for pid in children:
            os.kill(pid, 9)
    files = tmp_path / "drivers"
    assert {file.name for file in files.iterdir()} == {"living.lock", "dead.lock"}
    assert eventually(lambda: not journal.alive("dead"))
    journal.register("new")
    assert {file.name for file in files.iterdir()} == {"living.lock", "new.lock"}
    assert journal.alive("living")
    journal.close()
    assert list(files.iterdir()) == []
