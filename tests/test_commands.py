"""A command never outlives what asked for it, and says what it did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaosrun import commands
from chaosrun.errors import Indeterminate, Refused


def eventually(promise: Callable[[], object], within: float = 30.0) -> bool:
    until = time.monotonic() + within
    while not promise():
        if time.monotonic() > until:
            return False
        time.sleep(0.01)
    return True


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def pid_in(path: Path) -> int:
    assert eventually(lambda: path.exists() and path.read_text().endswith("\n"))
    return int(path.read_text())


@pytest.fixture
def mark() -> Iterator[str]:
    mark = uuid.uuid4().hex
    yield mark
    commands.end_marked(mark)


GRANDCHILD = "sh -c 'sleep 60 & echo $! > {pid}; wait' & wait"
ESCAPED = (  # in a session of its own, and no child of ours any more
    f"{sys.executable} -c 'import os, time\n"
    "if os.fork(): os._exit(0)\n"
    "os.setsid()\n"
    'open("{pid}", "w").write(str(os.getpid()) + chr(10))\n'
    "time.sleep(60)'; sleep 60"
)


def test_it_says_the_code_the_output_and_the_time() -> None:
    done = commands.run("echo out; echo err >&2; exit 3", timeout=30)
    assert (done.code, done.stdout, done.stderr) == (3, "out\n", "err\n")
    assert 0 < done.seconds < 30


def test_a_list_is_run_without_a_shell() -> None:
    assert commands.run(["printf", "%s", "$HOME *"], timeout=30).stdout == "$HOME *"


def test_a_signal_is_a_negative_code() -> None:
    assert commands.run("kill -TERM $$", timeout=30).code == -signal.SIGTERM


def test_environment_directory_and_input_reach_it(tmp_path: Path) -> None:
    done = commands.run(
        'printf "%s " "$A" "$PWD"; cat', timeout=30, env={"A": "b"}, cwd=str(tmp_path), stdin="in"
    )
    assert done.stdout == f"b {tmp_path} in"


def test_without_input_it_reads_an_empty_one() -> None:
    assert commands.run("cat", timeout=30).stdout == ""


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["/no/such/program"], "cannot run /no/such/program: No such file"),
        (["/etc"], "cannot run /etc: Permission denied"),
        (["a\0b"], "null byte"),
    ],
)
def test_what_cannot_be_started_is_refused(command: list[str], said: str) -> None:
    with pytest.raises(Refused, match=said):
        commands.run(command, timeout=30)


def test_a_missing_directory_is_named() -> None:
    with pytest.raises(Refused, match="cannot run true in /no/such: No such file"):
        commands.run(["true"], timeout=30, cwd="/no/such")


def test_large_outputs_of_both_kinds_and_a_large_input_do_not_block() -> None:
    script = "head -c 3000000 /dev/zero & head -c 3000000 /dev/zero >&2 & cat > /dev/null; wait"
    done = commands.run(script, timeout=20, stdin="x" * 3_000_000)
    assert done.code == 0
    assert len(done.stdout) == len(done.stderr) == 256 * 1024


def test_input_that_nobody_reads_is_no_error() -> None:
    assert commands.run("exec <&-; exit 4", timeout=10, stdin="x" * 3_000_000).code == 4


def test_bytes_that_are_no_text_are_replaced() -> None:
    assert commands.run(r"printf 'a\377b'", timeout=30).stdout == "a\ufffdb"


@pytest.mark.parametrize("script", [GRANDCHILD, ESCAPED], ids=["grandchild", "escaped"])
def test_past_its_time_it_is_killed_with_all_it_started(tmp_path: Path, script: str) -> None:
    pid = tmp_path / "pid"
    with pytest.raises(Indeterminate, match="within 5s"):
        commands.run(script.format(pid=pid), timeout=5)
    assert not alive(pid_in(pid))


def test_one_that_ignores_signals_is_killed_too() -> None:
    began = time.monotonic()
    with pytest.raises(Indeterminate):
        commands.run("trap '' TERM INT HUP; while :; do sleep 1; done", timeout=0.2)
    assert time.monotonic() - began < 30


def test_what_it_leaves_behind_is_killed_at_its_end(tmp_path: Path) -> None:
    done = commands.run(f"sleep 60 & echo $! > {tmp_path}/pid; echo done", timeout=20)
    assert done.stdout == "done\n"
    assert done.seconds < 10, "it waited for what was left behind"
    assert eventually(lambda: not alive(pid_in(tmp_path / "pid")))


def test_with_a_mark_what_it_leaves_behind_lives_until_the_mark_is_ended(
    tmp_path: Path, mark: str
) -> None:
    commands.run(f"setsid sleep 60 & echo $! > {tmp_path}/pid", timeout=30, mark=mark)
    pid = pid_in(tmp_path / "pid")
    assert alive(pid)
    assert commands.marked()[pid] == mark
    assert commands.end_marked(mark + "x") == 0
    assert alive(pid)
    assert commands.end_marked(mark) == 1
    assert not alive(pid), "end_marked returned before it was gone"
    assert commands.end_marked(mark) == 0


def test_ending_a_mark_kills_grandchildren(tmp_path: Path, mark: str) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    script = f"({GRANDCHILD.format(pid=first)}) & ({ESCAPED.format(pid=second)}) &"
    commands.run(script, timeout=30, mark=mark)
    pids = pid_in(first), pid_in(second)
    assert commands.end_marked(mark) >= 4
    assert not any(map(alive, pids))


def cancelled_while_running(script: str) -> tuple[list[BaseException], float]:
    cancellation, raised = commands.Cancellation(), list[BaseException]()

    def effect() -> None:
        commands.current.set(cancellation)
        try:
            commands.run(script, timeout=30)
        except Indeterminate as error:
            raised.append(error)

    thread = threading.Thread(target=effect)
    thread.start()
    assert eventually(lambda: cancellation._groups)
    began = time.monotonic()
    cancellation.cancel()
    cancellation.cancel()
    took = time.monotonic() - began
    thread.join(10)
    assert not cancellation._groups
    return raised, took


def test_another_thread_ends_it_at_once(tmp_path: Path) -> None:
    raised, took = cancelled_while_running(GRANDCHILD.format(pid=tmp_path / "pid"))
    assert "cancelled" in str(raised[0])
    assert took < 10


def test_a_cancelled_effect_starts_no_command(tmp_path: Path) -> None:
    cancellation = commands.Cancellation()
    cancellation.cancel()
    token = commands.current.set(cancellation)
    try:
        with pytest.raises(Indeterminate, match="before it started"):
            commands.run(f"touch {tmp_path}/ran", timeout=30)
    finally:
        commands.current.reset(token)
    assert not (tmp_path / "ran").exists()


RUNNER = """
import sys, threading
from chaosrun import commands
run = lambda: commands.run(sys.argv[1], timeout=60, mark=sys.argv[2])
if sys.argv[3] == "thread":
    threading.Thread(target=run).start()
else:
    run()
"""


@pytest.mark.parametrize("where", ["main", "thread"])
@pytest.mark.parametrize("script", [GRANDCHILD, ESCAPED], ids=["grandchild", "escaped"])
def test_when_the_runner_is_killed_so_is_the_command(
    tmp_path: Path, mark: str, where: str, script: str
) -> None:
    pid = tmp_path / "pid"
    runner = subprocess.Popen(
        [sys.executable, "-c", RUNNER, script.format(pid=pid), mark, where], start_new_session=True
    )
    try:
        grandchild = pid_in(pid)
    finally:
        os.killpg(runner.pid, signal.SIGKILL)
        runner.wait()
    assert eventually(lambda: not alive(grandchild))
    assert eventually(lambda: not commands.marked().keys() & {grandchild})
    assert commands.end_marked(mark) == 0


def test_a_command_outlives_the_thread_that_is_not_waiting_for_it(
    tmp_path: Path, mark: str
) -> None:
    thread = threading.Thread(
        target=lambda: commands.run(f"sleep 60 & echo $! > {tmp_path}/pid", timeout=30, mark=mark)
    )
    thread.start()
    thread.join()
    assert alive(pid_in(tmp_path / "pid")), "the end of a thread is not the end of the runner"


def test_a_fork_of_the_runner_has_a_warden_of_its_own() -> None:
    script = (
        "import os, sys, time\n"
        "from chaosrun import commands\n"
        "commands.run('true', timeout=30)\n"
        "before = commands._warden.token()\n"
        "if os.fork() == 0:\n"
        "    print(commands._warden.token() != before, flush=True)\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


def test_many_at_once_do_not_mix() -> None:
    with ThreadPoolExecutor(16) as pool:
        said = pool.map(lambda n: commands.run(f"echo {n}", timeout=20).stdout, range(100))
    assert list(said) == [f"{n}\n" for n in range(100)]


def test_no_file_is_left_open() -> None:
    def open_files() -> int:
        return len(os.listdir("/proc/self/fd"))

    commands.run("true", timeout=30)
    before = open_files()
    commands.run("echo", timeout=30, stdin="x")
    with pytest.raises(Indeterminate):
        commands.run("sleep 9", timeout=0.05)
    with pytest.raises(Refused):
        commands.run(["/no/such"], timeout=30)
    assert open_files() == before


def test_it_costs_what_starting_a_process_costs() -> None:
    def once(act: Callable[[], object]) -> float:
        began = time.perf_counter()
        act()
        return time.perf_counter() - began

    def bare() -> object:
        return subprocess.run(["/bin/true"], capture_output=True, check=False)

    rounds = [
        (once(bare), once(lambda: commands.run(["/bin/true"], timeout=30))) for _ in range(60)
    ]
    ours, theirs = min(ours for _, ours in rounds), min(bare for bare, _ in rounds)
    assert ours < 1.5 * theirs, f"{ours * 1000:.2f} ms against {theirs * 1000:.2f} ms"


def test_a_pause_ends_as_soon_as_its_effect_is_cancelled() -> None:
    cancellation = commands.Cancellation()
    outer = commands.current.set(cancellation)
    threading.Timer(0.1, cancellation.cancel).start()
    began = time.monotonic()
    try:
        commands.pause(30)
        assert commands.cancelled()
    finally:
        commands.current.reset(outer)
    assert time.monotonic() - began < 10
    assert not commands.cancelled()
