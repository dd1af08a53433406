"""Pressure is measured on the machine, leaves the room that was asked for, dies with its holder."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun import discovery, procfs
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms import supervisor, worker
from chaosrun.providers.host.client import Host
from tests import control_groups
from tests.contract.labs.press import FAKETIME, need, small_file_system
from tests.control_groups import ControlGroup
from tests.mechanisms.conftest import eventually

MIB = 1 << 20


def planned(name: str, seconds: float = 60.0, **fields: Any) -> Hold:
    hold = from_plain(fields, discovery.fault(name)).plan(Host(), random.Random(1))
    return msgspec.structs.replace(hold, mark=uuid.uuid4().hex, deadline=time.time() + seconds)


def injected(name: str, seconds: float = 60.0, **fields: Any) -> Hold:
    hold = planned(name, seconds, **fields)
    discovery.fault(name).inject(hold, Host())
    return hold


def end(hold: Hold) -> None:
    kind = discovery.fault(hold.fault)
    kind.revert(hold, Host())
    assert kind.restored(hold, Host()).seen
    assert workers_of(hold) == []


def seen(hold: Hold) -> dict[str, Any]:
    evidence = discovery.fault(hold.fault).took_effect(hold, Host())
    assert evidence.seen, evidence.detail
    return evidence.measured


def workers_of(hold: Hold) -> list[int]:
    return [e.pid for e in procfs.processes() if worker.SIGN in e.words and hold.mark in e.words]


def holder_of(hold: Hold) -> procfs.Identity:
    (holder,) = supervisor.holders()[hold.mark]
    return holder


@pytest.fixture
def group() -> Iterator[ControlGroup]:
    with control_groups.made() as group:
        yield group


SLEEPER = [sys.executable, "-S", "-I", "-c"]


@pytest.fixture
def started() -> Iterator[Any]:
    """Starts a line of Python; it is ready when it said a line."""
    with ExitStack() as cleanup:

        def start(code: str, **env: str) -> subprocess.Popen[str]:
            process = cleanup.enter_context(
                subprocess.Popen(
                    [*SLEEPER, code, f"worker-{uuid.uuid4().hex}"], stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE, text=True, env={**os.environ, **env},
                )
            )  # fmt: skip
            cleanup.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline()
            return process

        yield start


def word_of(process: subprocess.Popen[str]) -> str:
    assert isinstance(process.args, list)
    return str(process.args[-1])


def ask(process: subprocess.Popen[str], line: str = "") -> str:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{line}\n")
    process.stdin.flush()
    return process.stdout.readline().strip()


@pytest.mark.parametrize("by", ["worker", "stress-ng"])
def test_processors_are_as_busy_as_asked(by: str) -> None:
    need("/usr/bin/stress-ng", "stress-ng")
    hold = injected("host.cpu", cores=1, load="40%", mechanism=by)
    measured = seen(hold)
    assert measured["wanted"] == 0.4
    assert measured["cores"] + measured["waiting"] >= 0.2
    assert measured["cores"] <= 0.9
    end(hold)


@pytest.mark.parametrize("by", ["worker", "stress-ng"])
def test_memory_is_really_there(by: str) -> None:
    need("/usr/bin/stress-ng", "stress-ng")
    hold = injected("host.memory", size="96Mi", mechanism=by)
    assert 96 * MIB <= seen(hold)["taken"] < 140 * MIB
    end(hold)


@contextmanager
def memory_group() -> Iterator[tuple[Path, Path]]:
    """A control group that may have 128 MiB, and its file that says how many it has."""
    memory = Path("/sys/fs/cgroup/memory")
    if not memory.is_dir():
        memory = Path("/sys/fs/cgroup")
    directory = memory / f"chaosrun-test-{uuid.uuid4().hex[:12]}"
    try:
        directory.mkdir()
    except OSError as error:
        pytest.skip(f"needs control groups that can be made ({error}): run as root")
    limit = "memory.limit_in_bytes" if memory.name == "memory" else "memory.max"
    used = "memory.usage_in_bytes" if memory.name == "memory" else "memory.current"
    try:
        (directory / limit).write_text(str(128 * MIB))
        yield directory, directory / used
    finally:
        for pid in (directory / "cgroup.procs").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
        assert eventually(lambda: not (directory / "cgroup.procs").read_text())
        directory.rmdir()


def test_a_share_of_a_control_group_s_memory_is_taken_inside_of_it(started: Any) -> None:
    with memory_group() as (directory, used):
        member = started("import time; print('x', flush=True); time.sleep(600)")
        (directory / "cgroup.procs").write_text(str(member.pid))
        target = {"cgroup": directory.name}
        hold = injected("host.memory", target=target, share="60%", mechanism="worker")
        assert 60 * MIB < int(used.read_text()) < 100 * MIB
        end(hold)
        assert int(used.read_text()) < 20 * MIB
        with pytest.raises(Refused, match="cannot be used while"):
            planned("host.memory", target=target, share="95%")


def test_memory_is_given_back_when_others_need_it(started: Any) -> None:
    with memory_group() as (directory, _):
        member = started(
            "import sys, time\n"
            "print('x', flush=True)\n"
            "kept = []\n"
            "for _ in sys.stdin: kept.append(bytearray(2 << 20)); print(len(kept), flush=True)\n"
        )
        (directory / "cgroup.procs").write_text(str(member.pid))
        hold = injected(
            "host.memory", target={"cgroup": directory.name}, size="56Mi", mechanism="worker"
        )
        assert eventually(lambda: ask(member) and not workers_of(hold))
        assert member.poll() is None
        end(hold)


def test_stress_ng_presses_also_where_nothing_can_be_written() -> None:
    need("/usr/bin/stress-ng", "stress-ng")
    arguments = '{"cores": 1, "load": 0.05, "nice": 0, "by": "/usr/bin/stress-ng"}'
    words = [sys.executable, "-S", "-I", worker.__file__, worker.SIGN, "mark"]
    with subprocess.Popen(
        [*words, str(time.time() + 60), "cpu", arguments], stdout=subprocess.PIPE, cwd="/proc"
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"pressing\n"
        process.terminate()
        assert process.wait(10) == 0


def test_a_disk_is_written_and_read_and_nothing_stays_on_it() -> None:
    directory = Path("/var/tmp") / f"chaosrun-test-{uuid.uuid4().hex}"
    directory.mkdir()
    try:
        for by in ("worker", "stress-ng"):
            hold = injected("host.io", directory=str(directory), size="4Mi", mechanism=by)
            assert seen(hold)["written"] > 0
            end(hold)
            assert list(directory.iterdir()) == []
        hold = injected("host.io", directory=str(directory), size="4Mi")
        os.kill(holder_of(hold).pid, signal.SIGKILL)
        assert eventually(lambda: not workers_of(hold))
        marks = discovery.provider_of("faults", hold.fault).marks(Host())
        assert [each.hold for each in marks if each.mark == hold.mark] == [hold]
        end(hold)
        assert list(directory.iterdir()) == []
    finally:
        directory.rmdir()


def test_a_file_system_is_filled_and_leaves_room_for_those_who_need_it() -> None:
    with ExitStack() as cleanup:
        directory = small_file_system(cleanup)
        hold = injected("host.disk-fill", directory=str(directory), share="100%")

        def free() -> int:
            now = os.statvfs(directory)
            return now.f_bavail * now.f_frsize

        assert free() == 16 * MIB
        assert seen(hold)["used"] == 0.875
        assert list(directory.iterdir()) == []
        (directory / "log").write_bytes(b"x" * 8 * MIB)
        assert eventually(lambda: free() == 16 * MIB)
        (directory / "log").unlink()
        end(hold)
        assert free() == 128 * MIB


def test_nothing_is_left_of_a_full_disk_when_all_of_ours_is_killed() -> None:
    with ExitStack() as cleanup:
        directory = small_file_system(cleanup)
        hold = injected("host.disk-fill", directory=str(directory), size="64Mi")
        os.kill(holder_of(hold).pid, signal.SIGKILL)
        assert eventually(lambda: not workers_of(hold))
        # The kernel gives the room back a moment after the last process that had the file open.
        assert eventually(lambda: os.statvfs(directory).f_bfree == os.statvfs(directory).f_blocks)
        marks = [each.mark for each in discovery.provider_of("faults", hold.fault).marks(Host())]
        assert hold.mark in marks
        end(hold)


def test_workers_end_when_their_holder_is_killed() -> None:
    for name, fields in (
        ("host.cpu", {"cores": 1, "load": "5%", "mechanism": "stress-ng"}),
        ("host.memory", {"size": "8Mi", "mechanism": "worker"}),
        ("host.fd", {"count": 100}),
    ):
        hold = injected(name, **fields)
        pids = workers_of(hold)
        sessions = {each.pid for each in procfs.processes() if each.session in pids}
        os.kill(holder_of(hold).pid, signal.SIGKILL)
        assert eventually(lambda: not [p for p in sessions if procfs.process(p)])  # noqa: B023
        end(hold)


def test_a_control_group_has_no_room_for_more_tasks(started: Any, group: ControlGroup) -> None:
    member = started(
        "import os, sys\n"
        "print('x', flush=True)\n"
        "for _ in sys.stdin:\n"
        "    try:\n"
        "        pid = os.fork()\n"
        "        if pid == 0: os._exit(0)\n"
        "        os.waitpid(pid, 0); print('forked', flush=True)\n"
        "    except BlockingIOError: print('no room', flush=True)\n"
    )
    group.write("pids.max", "50")
    group.take(member.pid)
    assert ask(member) == "forked"
    hold = injected("host.pids", target={"cgroup": group.name}, share="100%")
    assert seen(hold)["used"] == 50
    assert ask(member) == "no room"
    end(hold)
    assert eventually(lambda: group.read("pids.current") == "1")
    assert ask(member) == "forked"
    assert group.read("pids.max") == "50"


OPENER = (
    "import os, sys\n"
    "print('x', flush=True)\n"
    "for _ in sys.stdin:\n"
    "    opened = []\n"
    "    try:\n"
    "        while len(opened) < 10: opened.append(os.open('/dev/null', os.O_RDONLY))\n"
    "    except OSError: pass\n"
    "    print(len(opened), flush=True)\n"
    "    for file in opened: os.close(file)\n"
)


def test_a_process_can_open_just_as_many_files_more(started: Any) -> None:
    process = started(OPENER)
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    assert ask(process) == "10"
    hold = injected("host.fd", target={"command": word_of(process)}, leave=3)
    assert ask(process) == "3"
    assert seen(hold)[f"limit.{process.pid}"] == 6
    os.kill(holder_of(hold).pid, signal.SIGKILL)  # then only a revert raises it again
    assert ask(process) == "3"
    end(hold)
    assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == before
    assert ask(process) == "10"


def test_children_get_their_limit_back_too(started: Any) -> None:
    process = started(
        "import os, sys, subprocess\n"
        "print('x', flush=True)\n"
        "sys.stdin.readline()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    import time; time.sleep(600)\n"
        "print(child, flush=True); sys.stdin.readline(); os.kill(child, 9)\n"
    )
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    hold = injected("host.fd", target={"command": word_of(process)})
    child = int(ask(process))
    assert resource.prlimit(child, resource.RLIMIT_NOFILE) != before
    end(hold)
    assert resource.prlimit(child, resource.RLIMIT_NOFILE) == before
    os.kill(child, signal.SIGKILL)


FAMILY = (
    "import os, resource, sys, time\n"
    "def start(limits):\n"
    "    reader, writer = os.pipe()\n"
    "    child = os.fork()\n"
    "    if child == 0:\n"
    "        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)\n"
    "        new = [int(each) for each in limits.split(',')]\n"
    "        resource.setrlimit(resource.RLIMIT_NOFILE, (new[0], new[1] if new[1:] else hard))\n"
    "        os.write(writer, b'x'); time.sleep(600)\n"
    "    os.read(reader, 1)\n"
    "    return child\n"
    "print('x', flush=True)\n"
    "for line in sys.stdin: print(start(line), flush=True)\n"
)
"""Starts a child with a limit of its own for each line: `SOFT`, or `SOFT,HARD`."""


def test_each_gets_its_own_limit_back_and_none_keeps_the_others_from_theirs(
    started: Any, tmp_path: Path
) -> None:
    process = started(FAMILY)
    file = tmp_path / "pid"
    file.write_text(str(process.pid))
    children: list[int] = []

    def start(limits: str) -> int:
        children.append(int(ask(process, limits)))
        return children[-1]

    def limits(pid: int) -> tuple[int, int]:
        return resource.prlimit(pid, resource.RLIMIT_NOFILE)

    before = limits(process.pid)
    try:
        lower, hard_too = start("300"), start("256,256")
        hold = injected("host.fd", target={"pidFile": str(file)}, leave=40)
        meanwhile = start("20,30")
        end(hold)
        assert limits(process.pid) == before
        assert limits(lower) == (300, before[1])
        assert limits(hard_too) == (256, 256)
        assert limits(meanwhile) == (30, 30)  # as much as it may have
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)


def test_a_process_that_lowers_its_hard_limit_meanwhile_gets_what_it_may_have(started: Any) -> None:
    process = started(OPENER)
    hold = injected("host.fd", target={"command": word_of(process)}, leave=3)
    resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (6, 64))
    end(hold)
    assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == (64, 64)


def test_when_the_member_of_a_control_group_has_ended_nothing_presses(
    started: Any, group: ControlGroup
) -> None:
    """The worker would press on the whole machine."""
    member = started("import time; print('x', flush=True); time.sleep(600)")
    group.take(member.pid)
    hold = planned("host.cpu", target={"cgroup": group.name}, cores=1, mechanism="worker")
    member.kill()
    member.wait()
    with pytest.raises(Refused, match=f"its control groups: process {member.pid} has ended"):
        discovery.fault("host.cpu").inject(hold, Host())
    assert workers_of(hold) == []
    end(hold)


def test_parent_and_child_that_are_both_meant_have_limits_of_their_own(started: Any) -> None:
    process = started(FAMILY)
    before = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    child = int(ask(process, "300"))
    try:
        meant = {"command": word_of(process), "pick": "all"}
        hold = injected("host.fd", target=meant, leave=40)
        assert len(hold.targets) == 2
        end(hold)
        assert resource.prlimit(child, resource.RLIMIT_NOFILE) == (300, before[1])
        assert resource.prlimit(process.pid, resource.RLIMIT_NOFILE) == before
    finally:
        os.kill(child, signal.SIGKILL)


def test_files_are_held_open() -> None:
    before = int(Path("/proc/sys/fs/file-nr").read_text().split()[0])
    hold = injected("host.fd", count=30_000)
    assert seen(hold)["held"] >= 30_000
    assert int(Path("/proc/sys/fs/file-nr").read_text().split()[0]) > before + 20_000
    end(hold)


CLOCK = (
    "import sys, time\nprint('x', flush=True)\nfor _ in sys.stdin: print(time.time(), flush=True)\n"
)


@pytest.mark.parametrize(
    ("words", "offset"), [({"ahead": "25h"}, 90_000), ({"behind": "1h"}, -3600)]
)
def test_a_running_process_sees_another_time_and_then_the_right_one(
    started: Any, tmp_path: Path, words: dict[str, str], offset: int
) -> None:
    need(str(FAKETIME), "libfaketime")
    file = tmp_path / "clock"
    process = started(
        CLOCK, LD_PRELOAD=str(FAKETIME), FAKETIME_TIMESTAMP_FILE=str(file),
        FAKETIME_CACHE_DURATION="1",
    )  # fmt: skip

    def off() -> float:
        return float(ask(process)) - time.time()

    assert abs(off()) < 1
    hold = injected("host.clock", seconds=12, target={"command": word_of(process)}, **words)
    assert abs(seen(hold)["offset"] - offset) < 1
    assert eventually(lambda: abs(off() - offset) < 1)
    assert eventually(lambda: abs(off()) < 1)  # its deadline has passed
    assert not file.exists()
    end(hold)


def test_a_process_without_libfaketime_is_refused_with_how_to_start_it(started: Any) -> None:
    process = started("import time; print('x', flush=True); time.sleep(600)")
    with pytest.raises(Refused, match="was not started with libfaketime") as refused:
        planned("host.clock", target={"command": word_of(process)}, ahead="1h")
    assert "LD_PRELOAD=" in refused.value.hint


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("host.cpu", {"load": "0%"}, "at least 1%"),
        ("host.memory", {}, "either size or share"),
        ("host.memory", {"size": "1Gi", "share": "5%"}, "either size or share"),
        ("host.memory", {"size": "0"}, "more than 0"),
        ("host.io", {"directory": "/tmp", "size": "1k"}, "at least 1Mi"),
        ("host.disk-fill", {"directory": "/tmp"}, "either size or share"),
        ("host.fd", {}, "either count or share"),
        ("host.fd", {"count": 5, "leave": 1}, "at least 256"),
        ("host.fd", {"target": {"name": "x"}, "count": 5}, "for the whole machine"),
        ("host.pids", {"count": 5, "leave": 1}, "at least 64"),
        ("host.clock", {"target": {"name": "x"}}, "either ahead or behind"),
    ],
)
def test_a_senseless_fault_is_rejected(name: str, fields: dict[str, Any], said: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=said):
        from_plain(fields, discovery.fault(name))


@pytest.mark.parametrize(
    ("name", "fields", "said"),
    [
        ("host.cpu", {"cores": 4096}, "too many for"),
        ("host.memory", {"share": "100%"}, "cannot be used while"),
        ("host.memory", {"size": "1Mi", "leave": "1Mi"}, "leave is at least 128Mi"),
        ("host.io", {"directory": "/dev/shm"}, r"in memory \(tmpfs\)"),
        ("host.io", {"directory": "/no/such"}, "No such file"),
        ("host.disk-fill", {"directory": "/tmp", "size": "900Ti"}, "do not fit"),
        ("host.pids", {"target": {"cgroup": "no-such"}, "count": 1}, "no process is in"),
    ],
)
def test_what_would_not_survive_is_refused_when_it_is_planned(
    name: str, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(Refused, match=said):
        planned(name, **fields)


def test_more_than_there_is_room_for_is_refused_and_leaves_nothing(runtime: Path) -> None:
    hold = planned("host.pids", count=10_000_000)
    with pytest.raises(Refused, match="are too many"):
        discovery.fault("host.pids").inject(hold, Host())
    assert eventually(lambda: list(runtime.iterdir()) == [])
