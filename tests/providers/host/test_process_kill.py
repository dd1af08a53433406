"""Killed processes end, and it is seen whether as many are back."""

from __future__ import annotations

import contextlib
import os
import random
import shlex
import signal
import subprocess
import sys
import typing
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.process_kill import Ending, ProcessKill
from tests.control_groups import ControlGroup
from tests.providers.host.conftest import WORKER, Workers, eventually, fault, leased


def lease(host: Host, target: dict[str, Any], **fields: Any) -> Hold:
    planned = fault("host.process-kill", target=target, **fields)
    return leased(planned.plan(host, random.Random(1)))


def matching(workers: Workers, host: Host) -> set[int]:
    return {each.pid for each in host.processes() if workers.word in each.command}


def test_the_picked_are_killed_and_no_others(workers: Workers, host: Host) -> None:
    pids = {workers.start().pid for _ in range(4)}
    hold = lease(host, {"command": workers.word, "pick": "50%"})
    ProcessKill.inject(hold, host)
    killed = {target.undo["pid"] for target in hold.targets}
    assert matching(workers, host) == pids - killed
    assert ProcessKill.took_effect(hold, host).detail == "2 of 2 ended"
    back = ProcessKill.restored(hold, host)
    assert (back.seen, back.detail) == (False, "2 run, and 4 did before")
    workers.start()
    workers.start()
    assert ProcessKill.restored(hold, host).seen


def test_one_that_ignores_the_signal_is_no_effect(workers: Workers, host: Host) -> None:
    workers.start("signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)")
    hold = lease(host, {"command": workers.word}, signal="TERM", within="200ms")
    ProcessKill.inject(hold, host)
    seen = ProcessKill.took_effect(hold, host)
    assert not seen.seen
    assert "still there: python" in seen.detail
    ProcessKill.revert(hold, host)
    assert ProcessKill.restored(hold, host).seen


def test_a_revert_waits_for_one_that_is_still_ending(workers: Workers, host: Host) -> None:
    ending = "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.5), os._exit(0)))"
    worker = workers.start(f"{ending}; os.write(1, b'x'); time.sleep(600)")
    assert worker.stdout is not None
    worker.stdout.read(1)
    hold = lease(host, {"command": workers.word}, signal="TERM", within="5s")
    host.send_signal(host.identity(worker.pid), signal.SIGTERM)  # and then the runner crashed
    ProcessKill.revert(hold, host)
    assert not ProcessKill.restored(hold, host).seen


def restarting(workers: Workers) -> str:
    return shlex.join([*WORKER, "import time; time.sleep(600)", workers.word])


REVERT = """
import sys
from chaosrun.codec import from_json
from chaosrun.fault import Hold
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.process_kill import ProcessKill
hold = from_json(sys.stdin.read(), Hold)
ProcessKill.revert(hold, Host())
"""


@pytest.mark.parametrize("as_list", [True, False])
def test_what_is_missing_is_started_again_and_outlives_who_started_it(
    workers: Workers, host: Host, as_list: bool
) -> None:
    for _ in range(3):
        workers.start()
    restart = shlex.split(restarting(workers)) if as_list else restarting(workers)
    hold = lease(host, {"command": workers.word, "pick": 2}, restart=restart)
    ProcessKill.inject(hold, host)
    subprocess.run(
        [sys.executable, "-c", REVERT],
        input=msgspec.json.encode(msgspec.to_builtins(hold)), timeout=30, check=True,
    )  # fmt: skip
    try:
        assert eventually(lambda: len(matching(workers, host)) == 3)
        ProcessKill.revert(hold, host)
        assert len(matching(workers, host)) == 3
        started = host.restarted(hold.mark)
        assert all(os.getsid(each.pid) != os.getsid(0) for each in started)
    finally:
        for pid in matching(workers, host):
            os.kill(pid, signal.SIGKILL)


def test_recoveries_at_once_start_no_more_than_is_missing(workers: Workers, host: Host) -> None:
    for _ in range(2):
        workers.start()
    target = {"command": workers.word, "pick": 1}
    hold = lease(host, target, restart=shlex.split(restarting(workers)))
    ProcessKill.inject(hold, host)
    written = msgspec.json.encode(msgspec.to_builtins(hold))
    try:
        both = [
            subprocess.Popen([sys.executable, "-c", REVERT], stdin=subprocess.PIPE)
            for _ in range(6)
        ]
        for one in both:
            assert one.stdin is not None
            one.stdin.write(written)
        for one in both:  # all have what they need but the end of it
            assert one.stdin is not None
            one.stdin.close()
        assert [one.wait(30) for one in both] == [0] * 6
        assert len(matching(workers, host)) == 2
    finally:
        for pid in matching(workers, host):
            os.kill(pid, signal.SIGKILL)


def test_what_is_slow_to_start_is_not_started_twice(
    workers: Workers, host: Host, tmp_path: Path
) -> None:
    worker, log, go = workers.start(), tmp_path / "log", tmp_path / "go"
    wait = f"until [ -e {go} ]; do sleep 0.02; done"
    slow = f"echo started >> {log}; {wait}; exec {restarting(workers)}"
    hold = lease(host, {"command": workers.word}, restart=slow, within="300ms")
    ProcessKill.inject(hold, host)
    assert worker.wait(30) == -signal.SIGKILL
    try:
        for _ in range(2):
            ProcessKill.revert(hold, host)
            assert not ProcessKill.restored(hold, host).seen
        go.touch()
        assert eventually(lambda: ProcessKill.restored(hold, host).seen, within=30)
        assert log.read_text() == "started\n"
    finally:
        go.touch()  # so that none waits for ever, and each can be killed by its mark
        for each in host.restarted(hold.mark):
            with contextlib.suppress(ProcessLookupError):
                os.kill(each.pid, signal.SIGKILL)


def test_a_restart_that_fails_is_tried_again_by_the_next_revert(
    workers: Workers, host: Host, tmp_path: Path
) -> None:
    worker = workers.start()
    hold = lease(
        host, {"command": workers.word},
        restart=["sh", "-c", f"echo tried >> {tmp_path}/log"], within="200ms",
    )  # fmt: skip
    ProcessKill.inject(hold, host)
    assert worker.wait(30) == -signal.SIGKILL
    for _ in range(2):
        ProcessKill.revert(hold, host)
        assert eventually(lambda: not host.restarted(hold.mark), within=30)
    assert (tmp_path / "log").read_text() == "tried\n" * 2
    assert not ProcessKill.restored(hold, host).seen


def test_by_port(workers: Workers, host: Host) -> None:
    listen = "s = socket.create_server(('127.0.0.1', 0)); os.write(1, b'%5d' % s.getsockname()[1])"
    worker = workers.start(f"{listen}; time.sleep(600)")
    other = workers.start()
    assert worker.stdout is not None
    hold = lease(host, {"listening": int(worker.stdout.read(5))})
    ProcessKill.inject(hold, host)
    assert worker.wait(5) == -signal.SIGKILL
    assert other.poll() is None


def test_by_pid_file(workers: Workers, host: Host, tmp_path: Path) -> None:
    worker, file = workers.start(), tmp_path / "pid"
    file.write_text(f"{worker.pid}\n")
    hold = lease(host, {"pidFile": str(file), "command": workers.word})
    ProcessKill.inject(hold, host)
    assert worker.wait(5) == -signal.SIGKILL
    file.unlink()
    assert "cannot read" in ProcessKill.restored(hold, host).detail


def test_a_pid_file_older_than_the_process_is_of_another(
    workers: Workers, host: Host, tmp_path: Path
) -> None:
    worker, file = workers.start(), tmp_path / "pid"
    file.write_text(f"{worker.pid}\n")
    os.utime(file, (1, 1))
    with pytest.raises(Refused, match=r"is younger than .* so it is another"):
        lease(host, {"pidFile": str(file)})


@pytest.mark.parametrize("content", ["", "x", "12 x y"])
def test_a_pid_file_of_nobody_is_refused(host: Host, tmp_path: Path, content: str) -> None:
    (tmp_path / "pid").write_text(content)
    with pytest.raises(Refused):
        lease(host, {"pidFile": str(tmp_path / "pid"), "name": "no-such-program"})


def test_by_name_and_user(workers: Workers, host: Host) -> None:
    worker = workers.start()
    name = Path(sys.executable).name
    user = str(os.geteuid())
    hold = lease(host, {"name": name, "user": user, "command": workers.word})
    assert hold.targets[0].undo["pid"] == worker.pid
    with pytest.raises(Refused, match="nothing matches"):
        lease(host, {"name": name, "user": "65533", "command": workers.word})
    with pytest.raises(Refused, match="there is no user"):
        lease(host, {"name": name, "user": "nobody-of-that-name"})


def test_by_control_group_and_those_below_it(
    workers: Workers, host: Host, control_group: ControlGroup
) -> None:
    inside, below, outside = workers.start(), workers.start(), workers.start()
    control_group.take(inside.pid)
    control_group.below("part").take(below.pid)
    for written in (control_group.path, control_group.name, f"{control_group.path}/"):
        hold = lease(host, {"cgroup": written, "pick": "all"})
        assert {target.undo["pid"] for target in hold.targets} == {inside.pid, below.pid}
    with pytest.raises(Refused, match="nothing matches"):
        lease(host, {"cgroup": control_group.path[:-1]})
    ProcessKill.inject(lease(host, {"cgroup": control_group.name, "pick": "all"}), host)
    assert matching(workers, host) == {outside.pid}


def test_all_of_a_user(workers: Workers, host: Host) -> None:
    with pytest.raises(Refused, match="nothing matches"):
        lease(host, {"user": "games"})


@pytest.mark.parametrize("name", typing.get_args(Ending))
def test_every_signal_that_can_be_chosen_ends_a_process(
    workers: Workers, host: Host, name: str
) -> None:
    # Python ignores two of them, which a program that does not care would die of.
    workers.start(
        "import resource; resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "for n in (signal.SIGPIPE, signal.SIGXFSZ): signal.signal(n, signal.SIG_DFL)\n"
        "os.write(1, b'x'); signal.pause()"
    )
    stdout = workers.processes[-1].stdout
    assert stdout is not None
    stdout.read(1)
    hold = lease(host, {"command": workers.word}, signal=name)
    ProcessKill.inject(hold, host)
    assert ProcessKill.took_effect(hold, host).seen
    assert workers.processes[-1].wait(5) == -signal.Signals[f"SIG{name}"]


def test_the_first_process_is_never_touched(host: Host, tmp_path: Path) -> None:
    (tmp_path / "pid").write_text("1")
    with pytest.raises(Refused, match="process 1 is never touched: it is the first process"):
        lease(host, {"pidFile": str(tmp_path / "pid")})


@pytest.mark.parametrize("pid", [os.getpid(), os.getppid()], ids=["itself", "its parent"])
def test_chaosrun_and_its_ancestors_are_never_touched(host: Host, tmp_path: Path, pid: int) -> None:
    (tmp_path / "pid").write_text(str(pid))
    with pytest.raises(Refused, match=r"chaosrun itself|the first process"):
        lease(host, {"pidFile": str(tmp_path / "pid")})


def test_threads_of_the_kernel_are_never_touched(workers: Workers, host: Host) -> None:
    worker = workers.start()
    (seen,) = (each for each in host.processes() if each.pid == worker.pid)
    thread = msgspec.structs.replace(seen, kernel=True)
    assert host.untouchable([seen, thread]) == {worker.pid: "a thread of the kernel"}


def test_chaosrun_is_left_out_where_it_matches_by_chance(workers: Workers, host: Host) -> None:
    worker = workers.start()
    ours = Path("/proc/self/cmdline").read_bytes().split(b"\0")[0].decode()
    hold = lease(host, {"command": f"{workers.word}|{ours}.*pytest", "pick": "all"})
    assert os.getpid() not in {target.undo["pid"] for target in hold.targets}
    assert worker.pid in {target.undo["pid"] for target in hold.targets}


def test_a_command_of_chaosrun_is_left_out(workers: Workers, host: Host, tmp_path: Path) -> None:
    worker = workers.start()
    host.run(
        f"sh -c 'sleep 60; : {workers.word}' & echo $! > {tmp_path}/pid",
        timeout=5, env={}, cwd=str(tmp_path), mark=workers.word,
    )  # fmt: skip
    try:
        hold = lease(host, {"command": workers.word, "pick": "all"})
        assert [target.undo["pid"] for target in hold.targets] == [worker.pid]
        with pytest.raises(Refused, match="a command of chaosrun"):
            lease(host, {"pidFile": f"{tmp_path}/pid"})
    finally:
        host.end_marked(workers.word)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"target": {}}, "say which processes"),
        ({"target": {"user": "root"}}, "say which processes"),
        ({"target": {"command": "("}}, "not a regular expression"),
        ({"target": {"name": "x", "pick": 0}}, "at least 1"),
        ({"target": {"listening": 0}}, "listening"),
        ({"target": {"name": "x"}, "signal": "STOP"}, "STOP"),
        ({"target": {"name": "x"}, "restart": " "}, "restart is an empty command"),
    ],
)
def test_a_senseless_fault_is_rejected(fields: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        fault("host.process-kill", **fields)
