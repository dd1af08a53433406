"""Paused processes stand still, and go on by themselves whatever happens to who paused them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.procfs import Identity
from chaosrun.providers.host import runtime, watchdog
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.process_pause import ProcessPause
from tests.providers.host.conftest import Workers, eventually, fault, leased


def lease(workers: Workers, host: Host, seconds: float = 60.0, pick: str = "all") -> Hold:
    planned = fault("host.process-pause", target={"command": workers.word, "pick": pick})
    return leased(planned.plan(host, random.Random(1)), seconds)


def state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_it_ends_at_its_deadline_and_leaves_nothing(workers: Workers, host: Host) -> None:
    worker = workers.start()
    hold = lease(workers, host, seconds=3)
    ProcessPause.inject(hold, host)
    assert state(worker.pid) == "T"
    assert eventually(lambda: state(worker.pid) != "T")
    assert -0.5 < time.time() - hold.deadline < 10
    assert eventually(lambda: not host.watchdogs() and not host.pauses())


def test_what_was_stopped_before_stays_stopped(workers: Workers, host: Host) -> None:
    stopped, running = workers.start(), workers.start()
    stopped.send_signal(signal.SIGSTOP)
    assert eventually(lambda: state(stopped.pid) == "T")
    hold = lease(workers, host, seconds=3)
    ProcessPause.inject(hold, host)
    assert ProcessPause.took_effect(hold, host).seen
    assert eventually(lambda: state(running.pid) != "T")
    assert state(stopped.pid) == "T"
    ProcessPause.revert(hold, host)
    assert state(stopped.pid) == "T"
    assert ProcessPause.restored(hold, host).seen


def test_pausing_only_what_was_stopped_has_no_effect_to_see(workers: Workers, host: Host) -> None:
    stopped = workers.start()
    stopped.send_signal(signal.SIGSTOP)
    assert eventually(lambda: state(stopped.pid) == "T")
    hold = lease(workers, host)
    ProcessPause.inject(hold, host)
    assert not ProcessPause.took_effect(hold, host).seen
    ProcessPause.revert(hold, host)


def test_one_that_ended_meanwhile_counts_as_restored(workers: Workers, host: Host) -> None:
    worker = workers.start()
    hold = lease(workers, host)
    ProcessPause.inject(hold, host)
    worker.kill()
    worker.wait()
    ProcessPause.revert(hold, host)
    assert ProcessPause.restored(hold, host).detail.endswith("has ended")


def test_another_process_with_the_same_id_is_left_alone(workers: Workers, host: Host) -> None:
    worker = workers.start()
    identity = host.identity(worker.pid)
    older = Identity(identity.pid, identity.started - 1)
    assert not host.send_signal(older, signal.SIGKILL)
    assert host.wait_gone(older, 0)
    assert worker.poll() is None
    watched = f"{older}"
    done = subprocess.run(
        [
            sys.executable, "-S", "-I", watchdog.__file__, watchdog.SIGN, "mark",
            repr(time.time() + 10), "/nonexistent", watched,
        ],
        capture_output=True, text=True, timeout=30, check=True,
    )  # fmt: skip
    assert done.stdout == "paused\n"
    assert state(worker.pid) != "T"


def test_a_deadline_that_has_passed_is_refused(workers: Workers, host: Host) -> None:
    worker = workers.start()
    hold = lease(workers, host, seconds=-1)
    with pytest.raises(Refused, match="deadline has passed"):
        ProcessPause.inject(hold, host)
    assert state(worker.pid) != "T"
    assert eventually(lambda: not host.pauses())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_watchdog_that_is_asked_to_end_continues_its_processes(
    workers: Workers, host: Host, number: signal.Signals
) -> None:
    worker = workers.start()
    hold = lease(workers, host)
    ProcessPause.inject(hold, host)
    (identity,) = host.watchdogs()[hold.mark]
    os.kill(identity.pid, number)
    assert eventually(lambda: state(worker.pid) != "T")
    assert host.wait_gone(identity, 5)
    assert not host.pauses()


def test_a_revert_works_when_the_watchdog_was_killed(workers: Workers, host: Host) -> None:
    worker = workers.start()
    hold = lease(workers, host)
    ProcessPause.inject(hold, host)
    (identity,) = host.watchdogs()[hold.mark]
    os.kill(identity.pid, signal.SIGKILL)
    assert host.wait_gone(identity, 5)
    assert state(worker.pid) == "T"
    ProcessPause.revert(hold, host)
    assert ProcessPause.restored(hold, host).seen
    assert not host.pauses()


def test_injecting_again_after_the_watchdog_was_killed_starts_another(
    workers: Workers, host: Host
) -> None:
    workers.start()
    hold = lease(workers, host)
    ProcessPause.inject(hold, host)
    (first,) = host.watchdogs()[hold.mark]
    os.kill(first.pid, signal.SIGKILL)
    assert host.wait_gone(first, 5)
    ProcessPause.inject(hold, host)
    (second,) = host.watchdogs()[hold.mark]
    assert second != first
    ProcessPause.revert(hold, host)


def test_the_watchdog_is_a_child_of_init_in_a_session_of_its_own_and_small(
    workers: Workers, host: Host
) -> None:
    workers.start()
    hold = lease(workers, host)
    ProcessPause.inject(hold, host)
    (identity,) = host.watchdogs()[hold.mark]
    assert os.getsid(identity.pid) == identity.pid != os.getsid(0)
    fields = Path(f"/proc/{identity.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(fields[1]) != os.getpid()
    resident = int(Path(f"/proc/{identity.pid}/statm").read_text().split()[1]) * os.sysconf(
        "SC_PAGE_SIZE"
    )
    assert resident < 20 * 2**20
    files = [Path(f"/proc/{identity.pid}/fd/{number}") for number in (0, 1, 2)]
    assert eventually(lambda: {str(file.readlink()) for file in files} == {"/dev/null"})
    ProcessPause.revert(hold, host)


def test_processes_that_may_not_be_signalled_are_not_planned(
    workers: Workers, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers.start()
    monkeypatch.setattr(Host, "may_signal", lambda *_: False)
    with pytest.raises(Refused, match="not allowed to signal") as refused:
        lease(workers, host)
    assert "CAP_KILL" in refused.value.hint


def test_on_another_machine_nothing_is_called_restored(workers: Workers, host: Host) -> None:
    workers.start()
    hold = lease(workers, host)
    hold.undo["place"].update(node="elsewhere", boot="other", machine="other")
    for act in (ProcessPause.revert, ProcessPause.restored):
        with pytest.raises(Refused, match="that is on elsewhere"):
            act(hold, host)


def test_among_other_processes_of_the_machine_nothing_is_called_restored(
    workers: Workers, host: Host
) -> None:
    """As in a container that takes the runner's place: those that were stopped may still be."""
    workers.start()
    hold = lease(workers, host)
    hold.undo["place"].update(processes="another")
    for act in (ProcessPause.revert, ProcessPause.restored):
        with pytest.raises(Refused, match="among other processes") as refused:
            act(hold, host)
        assert "chaosrun recover" in refused.value.hint


def test_after_a_restart_of_the_machine_all_is_restored(workers: Workers, host: Host) -> None:
    workers.start()
    hold = lease(workers, host)
    hold.undo["place"].update(boot="an earlier one")
    ProcessPause.revert(hold, host)
    assert "restarted since" in ProcessPause.restored(hold, host).detail


def test_where_no_note_can_be_left_nothing_is_paused(
    workers: Workers, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = workers.start()
    hold = lease(workers, host)
    monkeypatch.setenv(runtime.VARIABLE, "/proc/no-such-place")
    with pytest.raises(Refused):
        ProcessPause.inject(hold, host)
    assert state(worker.pid) != "T"
