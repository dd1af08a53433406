"""`lab up`, `status` and `down`: nothing of a lab is left, whatever was killed before."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest

from chaosrun.errors import ChaosrunError, Rejected
from chaosrun.lab import control, processes, web
from chaosrun.providers.host import runtime
from chaosrun.units import Duration
from tests.lab.ports import free_first_port, wait_until

SHORT = Duration(300)


def test_up_returns_when_every_part_answers_and_says_where(directory: Path) -> None:
    first = free_first_port()
    up = control.up(directory, first_port=first, lasts=SHORT)
    assert up.healthy
    assert [part.name for part in up.parts] == [
        "backend", "proxy", "replica-1", "replica-2", "replica-3", "front", "traffic",
    ]  # fmt: skip
    assert {part.state for part in up.parts} == {"running"}
    assert 0 < up.seconds_left <= SHORT.seconds
    assert web.call(first, "/checkout", timeout=30)[0] == 200


def test_up_again_is_the_same_lab_and_elsewhere_is_rejected(directory: Path) -> None:
    first = free_first_port()
    pids = [part.pid for part in control.up(directory, first_port=first, lasts=SHORT).parts]
    again = control.up(directory, first_port=first, lasts=SHORT)
    assert [part.pid for part in again.parts] == pids
    with pytest.raises(Rejected, match=f"another lab is up at port {first}") as rejected:
        control.up(directory, first_port=free_first_port(), lasts=SHORT)
    assert rejected.value.hint == "chaosrun lab down"


def test_a_busy_port_is_named_and_nothing_is_started(directory: Path) -> None:
    first = free_first_port()
    busy = pytest.raises(Rejected, match=f"and {first + 4} cannot be used")
    with socket.create_server(("127.0.0.1", first + 4)), busy:
        control.up(directory, first_port=first, lasts=SHORT)
    assert not control.status(directory).up
    assert processes.of_lab(directory) == []


def test_a_port_that_is_given_up_a_moment_later_is_waited_for(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_PORTS_SECONDS", 30.0)
    first = free_first_port()
    busy = socket.create_server(("127.0.0.1", first + 4))
    threading.Timer(0.2, busy.close).start()
    assert control.up(directory, first_port=first, lasts=SHORT).healthy


def test_a_part_that_cannot_start_is_named_with_its_last_words(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "_START_SECONDS", 15.0)  # enough to say something in
    monkeypatch.setenv(runtime.VARIABLE, "/proc/nowhere")  # where the proxy wants its socket
    with pytest.raises(ChaosrunError, match="did not come up: proxy") as failed:
        control.up(directory, first_port=free_first_port(), lasts=SHORT)
    assert "/proc/nowhere" in str(failed.value)
    monkeypatch.setenv(runtime.VARIABLE, str(directory))
    assert processes.of_lab(directory) == []


@pytest.mark.parametrize("first_port", [8801, 80, 70000, -10])
def test_a_first_port_that_cannot_be_is_rejected(directory: Path, first_port: int) -> None:
    with pytest.raises(Rejected, match="first port"):
        control.up(directory, first_port=first_port)
    assert not directory.exists()


def test_a_crashed_part_is_started_again(directory: Path) -> None:
    up = control.up(directory, first_port=free_first_port(), lasts=SHORT)
    pids = {part.name: part.pid for part in up.parts}
    os.kill(pids["replica-2"], signal.SIGKILL)
    wait_until(lambda: processes.state(pids["replica-2"], directory) == "gone")
    wait_until(lambda: control.status(directory).healthy)
    after = {part.name: part.pid for part in control.status(directory).parts}
    assert after.pop("replica-2") != pids.pop("replica-2")
    assert after == pids


def test_status_shows_a_stopped_part_that_does_not_answer(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    up = control.up(directory, first_port=free_first_port(), lasts=SHORT)
    backend = next(part for part in up.parts if part.name == "backend")
    os.kill(backend.pid, signal.SIGSTOP)
    monkeypatch.setattr(control, "_ANSWER_SECONDS", 2.0)
    now = {part.name: part for part in control.status(directory).parts}
    assert (now["backend"].state, now["backend"].answers) == ("stopped", False)
    assert now["front"].answers


def test_down_ends_a_lab_whose_supervisor_and_parts_are_stopped(directory: Path) -> None:
    control.up(directory, first_port=free_first_port(), lasts=SHORT)
    for pid in processes.of_lab(directory):
        os.kill(pid, signal.SIGSTOP)
    ended = control.down(directory)
    assert (ended.was_up, ended.processes) == (True, 8)
    assert processes.of_lab(directory) == []
    assert runtime.control_paths() == []
    assert control.down(directory) == control.Ended(was_up=False, processes=0)


def test_parts_end_with_a_killed_supervisor_and_the_ports_are_free_again(directory: Path) -> None:
    first = free_first_port()
    up = control.up(directory, first_port=first, lasts=SHORT)
    os.kill(up.parts[0].pid, signal.SIGSTOP)
    os.kill(processes.read_pids(directory)["supervisor"], signal.SIGKILL)
    wait_until(lambda: not processes.of_lab(directory))
    assert control.up(directory, first_port=first, lasts=SHORT).healthy


def test_a_lab_ends_by_itself(directory: Path) -> None:
    began = time.monotonic()
    control.up(directory, first_port=free_first_port(), lasts=Duration(10))
    wait_until(lambda: not processes.of_lab(directory))
    assert time.monotonic() - began >= 9.9
    wait_until(lambda: not control.status(directory).up)


def test_down_leaves_no_socket_of_a_killed_proxy(directory: Path) -> None:
    control.up(directory, first_port=free_first_port(), lasts=SHORT)
    processes.end_all(directory)
    assert len(runtime.control_paths()) == 1
    control.down(directory)
    assert runtime.control_paths() == []


def test_a_process_that_is_not_of_the_lab_is_never_taken_for_one(directory: Path) -> None:
    assert processes.state(os.getpid(), directory) == "gone"


def test_status_and_down_where_there_never_was_a_lab(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert not control.status(nowhere).up
    assert control.down(nowhere) == control.Ended(was_up=False, processes=0)
    assert not nowhere.exists()
