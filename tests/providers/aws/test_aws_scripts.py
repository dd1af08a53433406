"""The scripts that instances are given do what they say, end by themselves, and clean up.

They are run in shells of this machine, and in network namespaces that the tests make.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Refused, Transient
from chaosrun.providers.aws import scripts
from chaosrun.providers.aws.ssm import OnInstances, Script
from chaosrun.providers.aws.ssm_command import SsmCommand
from chaosrun.providers.aws.ssm_network import SsmNetwork
from chaosrun.providers.aws.ssm_stress import SsmStress
from chaosrun.units import JSON
from tests.contract.labs.aws_ssm import (
    SHELLS,
    CommandByAnAdapterLab,
    NetworkByAnAdapterLab,
    enter_namespace,
    processes,
)

MARK = "0123456789abcdef0123456789abcdef"
IDS = {"target": {"ids": ["i-1"]}}


class Machine:
    """A shell, its directory, and what goes before its commands."""

    def __init__(self, root: Path, inside: list[str], shell: list[str]) -> None:
        self.root, self.inside, self.shell = root, inside, shell
        self.ended = Path(f"{root}-ended")
        self.environment = {
            "PATH": os.environ["PATH"], "CHAOSRUN_DIR": f"{root}/run",
            "CHAOSRUN_ENDED": str(self.ended),
        }  # fmt: skip

    def run(self, text: str, **more: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.inside, *self.shell, "-c", text], env=self.environment, capture_output=True,
            text=True, timeout=30, **more,
        )  # fmt: skip

    def start(self, script: Script, seconds: float = 60) -> subprocess.CompletedProcess[str]:
        deadline = time.time() + seconds
        return self.run(scripts.starting(MARK, deadline, script.run, script.undo, script.seen))

    def look(self) -> str:
        return self.run(scripts.looking(MARK)).stdout.strip()

    def stop(self, undo: str = "true") -> subprocess.CompletedProcess[str]:
        """Stop it; `undo` is what is run where nothing is known of it."""
        return self.run(scripts.stopping(MARK, undo))

    def reboot(self) -> None:
        """Take all that runs and what is in memory, as a reboot would."""
        self.end()
        until(lambda: processes(str(self.root)) == [])
        shutil.rmtree(self.root / "run")

    def end(self) -> None:
        for pid in processes(str(self.root)):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(params=["sh", "bash", "busybox sh"])
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    shell = request.param.split()
    if shutil.which(shell[0]) is None:
        pytest.skip(f"there is no {shell[0]}: apt-get install busybox-static")
    made = Machine(tmp_path, [], shell)
    yield made
    made.end()


@pytest.fixture
def sh(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path, [], ["sh"])
    yield made
    made.end()


@pytest.fixture
def apart(tmp_path: Path) -> Iterator[Machine]:
    """A machine with a network of its own."""
    with contextlib.ExitStack() as cleanup:
        made = Machine(tmp_path, enter_namespace(cleanup), ["sh"])
        cleanup.callback(made.end)
        yield made


def until(true: Callable[[], bool], seconds: float = 30.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def flag(machine: Machine) -> Script:
    file = machine.root / "flag"
    return Script(run=f"echo off >{file}; sleep 60", undo=f"rm {file}", seen=f"grep off {file}")


def test_it_is_held_and_ended_in_any_shell(machine: Machine) -> None:
    assert machine.look() == "chaosrun: gone"
    for _ in range(2):  # twice is once
        assert machine.start(flag(machine)).returncode == 0
    assert machine.look() == "chaosrun: held off"
    for _ in range(2):
        stopped = machine.stop("echo it was undone before")
        assert (stopped.returncode, stopped.stdout, stopped.stderr) == (0, "", "")
    assert machine.look() == "chaosrun: gone"
    assert list(machine.root.iterdir()) == []
    until(lambda: processes(str(machine.root)) == [])


def test_it_ends_by_itself_though_all_that_started_it_was_killed(machine: Machine) -> None:
    text = scripts.starting(MARK, time.time() + 10, *msgspec_tuple(flag(machine)))
    words = [*machine.shell, "-c", text + "\nsleep 60"]
    with subprocess.Popen(words, env=machine.environment, start_new_session=True) as agent:
        until(lambda: (machine.root / "flag").exists())
        os.killpg(agent.pid, signal.SIGKILL)
    assert machine.look().startswith("chaosrun: held")
    until(lambda: list(machine.root.iterdir()) == [])
    until(lambda: processes(str(machine.root)) == [])


def msgspec_tuple(script: Script) -> tuple[str, str, str]:
    return script.run, script.undo, script.seen


def test_what_fails_at_once_is_undone_and_told(sh: Machine) -> None:
    file = sh.root / "flag"
    broken = Script(run=f"echo off >{file}; echo no such thing; exit 3", undo=f"rm {file}")
    started = sh.start(broken)
    assert started.returncode == 1
    assert "no such thing\nit ended with exit code 3, and is undone" in started.stderr
    assert list(sh.root.iterdir()) == []


def test_what_comes_after_its_deadline_does_nothing(sh: Machine) -> None:
    started = sh.start(flag(sh), seconds=-2)
    assert (started.returncode, started.stderr) == (1, "its deadline has passed\n")
    assert list(sh.root.iterdir()) == []


def test_a_killed_keeper_is_told_and_stopping_still_undoes(sh: Machine) -> None:
    sh.start(flag(sh))
    os.kill(int((sh.root / "run" / MARK / "keeper").read_text()), signal.SIGKILL)
    until(lambda: sh.look() == "chaosrun: orphaned")
    sh.stop()
    assert list(sh.root.iterdir()) == []
    until(lambda: processes(str(sh.root)) == [])


def test_another_fault_on_the_same_machine_is_left_alone(sh: Machine) -> None:
    other = scripts.starting("other", time.time() + 60, "sleep 60", "true", "true")
    sh.run(other)
    sh.start(flag(sh))
    sh.stop()
    assert [path.name for path in (sh.root / "run").iterdir()] == ["other"]
    assert sh.run(scripts.looking("other")).stdout == "chaosrun: held \n"


def stubborn(machine: Machine) -> Script:
    """A flag that can be taken away only once `may` is there."""
    made = flag(machine)
    undo = f"test -e {machine.root}/may || {{ echo the flag; echo is stuck; exit 7; }}\n{made.undo}"
    return Script(run=made.run, undo=undo, seen=made.seen)


def test_what_could_not_be_undone_is_told_and_tried_again_in_any_shell(machine: Machine) -> None:
    machine.start(stubborn(machine))
    for _ in range(2):
        stopped = machine.stop()
        assert stopped.returncode == 1
        assert stopped.stderr == "its undo failed: exit code 7: the flag is stuck \n"
        assert machine.look() == "chaosrun: stuck exit code 7: the flag is stuck"
    assert (machine.root / "flag").exists()
    (machine.root / "may").touch()
    assert machine.stop().returncode == 0
    assert machine.look() == "chaosrun: gone"
    assert not (machine.root / "flag").exists()


def test_what_could_not_be_undone_at_its_deadline_is_told(sh: Machine) -> None:
    sh.start(stubborn(sh), seconds=2)
    until(lambda: sh.look() == "chaosrun: stuck exit code 7: the flag is stuck")
    (sh.root / "may").touch()
    assert sh.stop().returncode == 0
    assert sh.look() == "chaosrun: gone"


def test_trying_again_kills_nothing_whose_number_was_used_again(sh: Machine) -> None:
    sh.start(stubborn(sh))
    assert sh.stop().returncode == 1
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as other:
        try:
            (sh.root / "run" / MARK / "run.pid").write_text(f"{other.pid}\n")
            assert sh.stop().returncode == 1
            assert other.poll() is None
        finally:
            other.kill()


def test_what_fails_at_once_and_cannot_be_undone_is_not_called_undone(sh: Machine) -> None:
    broken = Script(run="exit 3", undo="echo no; exit 4")
    started = sh.start(broken)
    assert started.returncode == 1
    assert "it ended with exit code 3, and is not undone" in started.stderr
    assert sh.look() == "chaosrun: stuck exit code 4: no"


def test_an_undo_that_hangs_is_ended_and_tried_anew(sh: Machine) -> None:
    script = flag(sh)
    first = f"mkdir {sh.root}/tried 2>/dev/null && sleep 300"
    sh.start(Script(run=script.run, undo=f"{first}\n{script.undo}", seen=script.seen))
    text = scripts.stopping(MARK, "true").replace("+ 30", "+ 1")
    assert sh.run(text).returncode == 0
    assert sh.look() == "chaosrun: gone"
    until(lambda: processes(str(sh.root)) == [])


def test_what_outlives_a_reboot_is_undone_in_any_shell(machine: Machine) -> None:
    script = stubborn(machine)
    machine.start(script)
    machine.reboot()
    stopped = machine.stop(script.undo)
    assert (stopped.returncode, stopped.stderr) == (
        1, "its undo failed: exit code 7: the flag is stuck \n",
    )  # fmt: skip
    assert machine.look() == "chaosrun: stuck exit code 7: the flag is stuck"
    machine.reboot()
    (machine.root / "may").touch()
    assert machine.stop(script.undo).returncode == 0
    assert [path.name for path in machine.root.iterdir()] == ["may"]
    # Now it is known to have ended there, and is left alone.
    assert machine.stop("exit 9").returncode == 0


def test_what_ended_by_itself_is_not_undone_again_after_a_reboot(sh: Machine) -> None:
    sh.start(flag(sh), seconds=2)
    until(lambda: sh.look() == "chaosrun: gone")
    assert sh.stop("exit 9").returncode == 0


def test_what_was_cut_off_before_it_began_is_ended(sh: Machine) -> None:
    (sh.root / "run" / MARK).mkdir(parents=True)
    (sh.root / "run" / MARK / "undo").write_text("half of 'it")
    assert sh.look() == "chaosrun: orphaned"
    assert sh.stop("true").returncode == 0
    assert sh.look() == "chaosrun: gone"


def test_receipts_are_kept_for_a_month(sh: Machine) -> None:
    sh.ended.mkdir()
    for name, days in (("old", 32), ("new", 28)):
        (sh.ended / name).touch()
        os.utime(sh.ended / name, (time.time() - days * 86400,) * 2)
    sh.start(flag(sh))
    assert [path.name for path in sh.ended.iterdir()] == ["new"]


def test_stress_uses_up_what_it_says(sh: Machine) -> None:
    given = {"cpu": 1, "memory": "64Mi", "disk": "2Mi", "path": str(sh.root)}
    fault = from_plain({**IDS, **given}, SsmStress)
    assert fault.effect().startswith("1 processors are busy and 64Mi of memory are held and 2Mi of")
    assert sh.start(fault.script()).stderr == ""
    said = sh.look()
    assert said.startswith("chaosrun: held")
    assert int(said.split()[-2]) >= 58
    (file,) = sh.root.glob("chaosrun-*")
    assert file.stat().st_size == 2 << 20
    sh.stop()
    assert list(sh.root.iterdir()) == []
    until(lambda: processes(str(sh.root)) == [])


def test_a_disk_is_not_filled_to_the_brim(sh: Machine) -> None:
    fault = from_plain({**IDS, "disk": "100Ti", "path": str(sh.root)}, SsmStress)
    started = sh.start(fault.script())
    assert "may be filled: 5 % of what is free stays so" in started.stderr
    assert list(sh.root.iterdir()) == []


def network(**given: Any) -> Script:
    return from_plain({**IDS, **given}, SsmNetwork).script()


def arrived(machine: Machine, port: int, count: int = 1) -> int:
    """How many of these datagrams arrive inside the machine's network."""
    code = (
        "import socket\n"
        f"s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(('127.0.0.1', {port}))\n"
        "o = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); n = 0\n"
        "s.setblocking(False)\n"
        f"for _ in range({count}):\n"
        f"  try: o.sendto(b'x', ('127.0.0.1', {port}))\n"
        "  except PermissionError: pass\n"  # so the kernel tells of a dropped packet
        "  try: s.recv(9); n += 1\n"
        "  except BlockingIOError: pass\n"
        "print(n)"
    )
    words = [*machine.inside, "python3", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=30)
    return int(done.stdout)


def test_packets_to_a_port_are_dropped_and_others_are_not(apart: Machine) -> None:
    assert arrived(apart, 5432) == 1
    script = network(blackhole=True, to=["127.0.0.0/8"], ports=[5432])
    assert apart.start(script).stderr == ""
    assert (arrived(apart, 5432), arrived(apart, 5433)) == (0, 1)
    assert apart.look() == "chaosrun: held 1 packets dropped"
    apart.stop()
    assert arrived(apart, 5432) == 1
    assert apart.run("nft list ruleset").stdout == ""


@pytest.mark.parametrize("program", ["nft", "iptables"])
def test_rules_that_cannot_be_taken_away_are_not_called_gone(apart: Machine, program: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"there is no {program}: apt-get install {program}")
    hidden = [] if program == "nft" else ["nft"]
    without(apart, *hidden)
    script = network(blackhole=True, to=["127.0.0.1"], ports=[5432])
    assert apart.start(script).stderr == ""
    real, fake = shutil.which(program), Path(apart.environment["PATH"]) / program
    fake.unlink()
    fake.write_text(f'#!/bin/sh\ncase "$*" in *delete*|*-[DFX]*) exit 4 ;; esac\n{real} "$@"\n')
    fake.chmod(0o755)
    stopped = apart.stop(script.undo)
    assert stopped.returncode == 1
    assert "still ha" in stopped.stderr
    assert apart.look().startswith("chaosrun: stuck exit code 1:")
    assert arrived(apart, 5432) == 0
    fake.unlink()
    fake.symlink_to(str(real))
    assert apart.stop(script.undo).returncode == 0
    assert arrived(apart, 5432) == 1


def test_a_share_of_packets_is_lost(apart: Machine) -> None:
    assert apart.start(network(loss="30%", ports=[5432])).stderr == ""
    assert 500 < arrived(apart, 5432, 1000) < 900
    apart.stop()
    assert arrived(apart, 5432, 100) == 100


def test_rules_of_others_stay(apart: Machine) -> None:
    apart.run("nft add table inet theirs; nft add chain inet theirs mine")
    before = apart.run("nft list ruleset").stdout
    apart.start(network(blackhole=True, ports=[5432]))
    assert apart.run("nft list ruleset").stdout != before
    apart.stop()
    assert apart.run("nft list ruleset").stdout == before


def without(apart: Machine, *hidden: str) -> None:
    """Let the machine have no such programs."""
    bin_ = apart.root.parent / f"{apart.root.name}-bin"
    bin_.mkdir()
    for directory in os.environ["PATH"].split(":"):
        for program in Path(directory).glob("*"):
            link = bin_ / program.name
            if program.name not in hidden and not link.exists() and not link.is_symlink():
                link.symlink_to(program)
    apart.environment["PATH"] = str(bin_)


def test_without_nft_iptables_does_it(apart: Machine) -> None:
    if shutil.which("iptables") is None:
        pytest.skip("there is no iptables: apt-get install iptables")
    before = apart.run("iptables-save").stdout
    without(apart, "nft")
    assert apart.start(network(blackhole=True, to=["127.0.0.1"], ports=[5432])).stderr == ""
    assert (arrived(apart, 5432), arrived(apart, 5433)) == (0, 1)
    apart.stop()
    assert arrived(apart, 5432) == 1
    assert "chaosrun" not in apart.run("iptables-save").stdout
    assert before.count("-A") == apart.run("iptables-save").stdout.count("-A")


def test_without_either_it_says_so(apart: Machine) -> None:
    without(apart, "nft", "iptables", "ip6tables")
    started = apart.start(network(blackhole=True, ports=[5432]))
    assert "there is neither nft nor iptables" in started.stderr
    assert not (apart.root / "run").exists()


def trip(machine: Machine) -> float:
    """The seconds of a round trip to a port inside the machine's network."""
    code = (
        "import socket, time\n"
        "s = socket.create_server(('127.0.0.1', 5432)); began = time.monotonic()\n"
        "socket.create_connection(('127.0.0.1', 5432)); print(time.monotonic() - began)"
    )
    words = [*machine.inside, "python3", "-c", code]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)


def test_packets_are_late_or_the_kernel_cannot_and_nothing_is_left(apart: Machine) -> None:
    before = apart.run("tc qdisc show").stdout
    started = apart.start(network(delay="150ms", to=["127.0.0.0/8"], ports=[5432], device="lo"))
    if started.returncode == 0:
        assert trip(apart) > 0.14
        assert "delay 150ms" in apart.look()
        apart.stop()
    else:
        assert "this kernel cannot delay packets (sch_netem)" in started.stderr
    assert apart.run("tc qdisc show").stdout == before
    assert trip(apart) < 0.14


def test_a_qdisc_of_somebody_else_is_left_alone(apart: Machine) -> None:
    apart.run("tc qdisc add dev lo root handle 7: tbf rate 9mbit burst 9k latency 9ms")
    before = apart.run("tc qdisc show dev lo").stdout
    assert "tbf 7:" in before
    started = apart.start(network(delay="150ms", to=["127.0.0.0/8"], device="lo"))
    assert "lo has a qdisc of somebody's" in started.stderr
    assert apart.run("tc qdisc show dev lo").stdout == before


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (SsmNetwork, {"ports": [1]}, "one of delay"),
        (SsmNetwork, {"delay": "1s", "loss": "1%", "ports": [1]}, "one of delay"),
        (SsmNetwork, {"blackhole": True}, "say to where"),
        (SsmNetwork, {"blackhole": True, "ports": [443]}, "Systems Manager"),
        (SsmNetwork, {"loss": "0%", "ports": [1]}, "more than 0%"),
        (SsmNetwork, {"delay": "0s", "ports": [1]}, "longer than 0s"),
        (SsmNetwork, {"loss": "1%", "jitter": "1s", "ports": [1]}, "of a delay"),
        (SsmNetwork, {"blackhole": True, "to": ["db; reboot"]}, "IPv4 or IPv6"),
        (SsmNetwork, {"delay": "1s", "ports": [1], "device": "a b"}, "regex"),
        (SsmStress, {}, "say what to use up"),
        (SsmStress, {"cpu": 1, "allCpus": True}, "either"),
        (SsmStress, {"disk": "1Mi", "path": "tmp"}, "regex"),
        (SsmCommand, {"run": ""}, "length"),
    ],
)
def test_what_makes_no_sense_is_refused(
    kind: type[OnInstances], given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        from_plain({**IDS, **given}, kind)


def test_an_instance_that_systems_manager_does_not_reach_is_refused_by_an_adapter() -> None:
    with CommandByAnAdapterLab() as lab:
        SHELLS.deaf = {target.id for target in lab.plan().targets}
        with pytest.raises(Refused, match="Systems Manager does not reach i-"):
            lab.plan()


def test_a_command_that_still_runs_is_cancelled_before_the_revert_by_an_adapter() -> None:
    with CommandByAnAdapterLab() as lab:
        hold = lab.lease()
        comment = f"chaosrun {hold.mark}/{lab.fault}"
        sent = lab.service("ssm").send_command(
            InstanceIds=[hold.targets[0].id], DocumentName="AWS-RunShellScript", Comment=comment,
            Parameters={"commands": ["sleep 60"]},
        )["Command"]["CommandId"]  # fmt: skip
        lab.kind().revert(hold, lab.client)
        (one,) = lab.service("ssm").list_command_invocations(CommandId=sent)["CommandInvocations"]
        assert one["Status"] == "Cancelled"
        assert lab.restored(hold).seen


class StubbornLab(CommandByAnAdapterLab):
    """An undo that fails until the flag may be taken away."""

    def arguments(self) -> dict[str, JSON]:
        found: Any = super().arguments()
        may = f"test -e {SHELLS.root}/may || {{ echo not yet; exit 7; }}"
        undo = f"{may}\n{found['with']['undo']}"
        return {**found, "with": {**found["with"], "undo": undo}}


def test_a_fault_whose_undo_fails_is_owed_and_says_why_by_an_adapter() -> None:
    with StubbornLab() as lab:
        before, hold = lab.snapshot(), lab.lease()
        lab.kind().inject(hold, lab.client)
        with pytest.raises(Transient, match="exit code 7: not yet"):
            lab.kind().revert(hold, lab.client)
        seen = lab.restored(hold)
        assert not seen.seen
        assert "it could not be undone: exit code 7: not yet" in seen.detail
        (Path(SHELLS.root) / "may").touch()
        lab.kind().revert(hold, lab.client)
        assert lab.restored(hold).seen
        assert lab.snapshot() == before


def test_a_reverted_fault_is_undone_though_the_instance_was_rebooted_by_an_adapter() -> None:
    with CommandByAnAdapterLab() as lab:
        before, hold = lab.snapshot(), lab.lease()
        lab.kind().inject(hold, lab.client)
        for pid in processes(SHELLS.root):
            os.kill(pid, signal.SIGKILL)
        until(lambda: processes(SHELLS.root) == [])
        shutil.rmtree(Path(SHELLS.root) / hold.targets[0].id)
        assert lab.snapshot() != before
        lab.kind().revert(hold, lab.client)
        assert lab.restored(hold).seen
        assert lab.snapshot() == before


def test_the_tag_is_taken_away_with_the_fault_by_an_adapter() -> None:
    with NetworkByAnAdapterLab() as lab:
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        assert "still tagged" in lab.restored(hold).detail
        lab.kind().revert(hold, lab.client)
        assert "tagged" not in lab.restored(hold).detail
