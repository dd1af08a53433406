"""Each experiment in experiments/host/ from 10 on is run by the command line, and ends as told."""

from __future__ import annotations

import os
import pwd
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from chaosrun import discovery
from chaosrun.events import Verdict
from chaosrun.verdicts import exit_code
from tests import control_groups, two_hosts
from tests.contract.labs.press import FAKETIME, need, small_file_system

FILES = sorted(Path("experiments/host").glob("[1-9][0-9]-*.yaml"))
SHOP = Path(__file__).with_name("shop.py")
OURS = ("cpu", "memory", "io", "disk-fill", "fd", "pids", "clock", "dns", "http",
        "http-proxy", "process-kill", "process-pause")  # fmt: skip
_NAME = "far.payments.example"
"""What the name server of the far host gives that host's address for."""

_TRIES = 3
_NOTICED = [exit_code(each) for each in (Verdict.DEVIATED, Verdict.REFUSED, Verdict.INCONCLUSIVE)]
Ended = tuple[int, str, list[str]]


def verdict_of(file: Path) -> str:
    found = re.search(r"^# verdict: (\S+)$", file.read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


class World:
    """A shop on the near host, which is started again when it ends, and payments on the far one."""

    def __init__(self, file: Path, cleanup: ExitStack) -> None:
        self.hosts = cleanup.enter_context(two_hosts.made())
        self.group = cleanup.enter_context(control_groups.made())
        self.group.write("pids.max", "60")
        self.directory = Path(cleanup.enter_context(tempfile.TemporaryDirectory(prefix="cr-")))
        self.directory.chmod(0o700)
        # In memory where no disk is meant: that one may be busy with what else goes on here.
        where = "/var/tmp" if "disk" in file.name else "/dev/shm"
        self.disk = Path(cleanup.enter_context(tempfile.TemporaryDirectory(dir=where)))
        self._is_small = "full-disk" in file.name
        if self._is_small:
            self.disk = small_file_system(cleanup, "64m")
        configured = Path("/etc/netns", self.hosts.near)
        configured.mkdir(parents=True)
        cleanup.callback(configured.rmdir)
        (configured / "resolv.conf").write_text("nameserver 10.77.0.2\n")
        cleanup.callback((configured / "resolv.conf").unlink)
        cleanup.enter_context(self.hosts.program(self.hosts.far, two_hosts.NAME_SERVER))
        self._start(cleanup, self.hosts.far, "payments", {})
        clock = {
            "LD_PRELOAD": str(FAKETIME), "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_TIMESTAMP_FILE": str(self.directory / "clock"),
        }  # fmt: skip
        self._start(cleanup, self.hosts.near, "shop", clock if "clock" in file.name else {})

        if "host.http-proxy" in file.read_text():
            self._start_proxy(cleanup)

    def _start_proxy(self, cleanup: ExitStack) -> None:
        words = ["nsenter", f"--net=/run/netns/{self.hosts.near}", sys.executable, "-m"]
        words += ["chaosrun.mechanisms.http_proxy", "--listen", "127.0.0.1:9191"]
        process = cleanup.enter_context(
            subprocess.Popen(
                [*words, "--upstream", "10.77.0.2:9090"], stdout=subprocess.PIPE, text=True,
                env={**os.environ, "CHAOSRUN_RUNTIME_DIR": str(self._runtime())},
            )
        )  # fmt: skip
        cleanup.callback(process.terminate)
        assert process.stdout is not None
        assert "127.0.0.1:9191 -> 10.77.0.2:9090" in process.stdout.readline()

    def _start(self, cleanup: ExitStack, host: str, what: str, env: dict[str, str]) -> None:
        """In a loop that starts it again, in the control group."""
        shop = f"{sys.executable} {SHOP} {what} {self.disk}"
        words = ["nsenter", f"--net=/run/netns/{host}", "sh", "-c", f"while :; do {shop}; done"]
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env={**os.environ, **env}, start_new_session=True,
        )  # fmt: skip
        assert process.stdout is not None
        cleanup.callback(process.stdout.close)
        cleanup.callback(process.wait)
        cleanup.callback(os.killpg, process.pid, 9)
        assert process.stdout.readline() == "ready\n"
        if what == "shop":
            for entry in Path("/proc").glob("[0-9]*/stat"):
                fields = entry.read_text().rpartition(")")[2].split()
                if int(fields[3]) == process.pid:
                    self.group.take(int(entry.parent.name))

    def run(self, file: Path) -> Ended:
        """Run it on the near host; how it ended, what it said, and what differs from before."""
        given = {
            "directory": str(self.disk), "size": "4Mi", "memory": "64Mi", "leave": "16k",
            # What would else depend on chance, or on how fast this machine is now.
            "share": "100%", "latest": "1900ms", "tolerated": "90%",
            "cgroup": self.group.name,
            "user": pwd.getpwuid(os.geteuid()).pw_name, "name": _NAME, "hold": "2s",
        }  # fmt: skip
        text = file.read_text()
        given = {k: v for k, v in given.items() if f"    {k}: {{type" in text}
        if "a-name" in file.name:  # with the name server that is configured for that namespace
            words = ["ip", "netns", "exec", self.hosts.near]
        else:
            words = ["nsenter", f"--net=/run/netns/{self.hosts.near}"]
        words += [sys.executable, "-m", "chaosrun", "run", str(file)]
        words += [word for name, value in given.items() for word in ("--set", f"{name}={value}")]
        before = self._state()
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=120,
            env={
                **os.environ, "XDG_STATE_HOME": str(self.directory / "state"),
                "CHAOSRUN_RUNTIME_DIR": str(self._runtime()),
            },
        )  # fmt: skip
        after = self._state()
        different = [f"{name}: {before[name]} -> {after[name]}" for name in before
                     if before[name] != after[name]]  # fmt: skip
        return done.returncode, done.stdout[-3000:] + done.stderr[-1000:], different

    def _runtime(self) -> Path:
        directory = self.directory / "rt"
        directory.mkdir(mode=0o700, exist_ok=True)
        return directory

    def _state(self) -> dict[str, object]:
        return {
            "rules": self.hosts.rules(self.hosts.near),
            "free": os.statvfs(self.disk).f_bavail if self._is_small else 0,
            "left": sorted(path.name for path in self._runtime().iterdir()),
            "clock": (self.directory / "clock").exists(),
            "ours": [
                each.name for each in self.disk.iterdir() if not each.name.startswith("order")
            ],
        }


def ended(file: Path) -> Ended:
    """Where a machine that stood still was noticed, it is asked again in another world.

    What a fault does it does each time.
    """
    for _ in range(_TRIES):
        with ExitStack() as cleanup:
            found = World(file, cleanup).run(file)
        if found[0] == exit_code(Verdict(verdict_of(file))) or found[0] not in _NOTICED:
            break
    return found


@pytest.fixture(scope="module")
def outcomes() -> Iterator[dict[Path, Future[Ended]]]:
    """All of them at work at once, each in a world of its own."""
    need(str(FAKETIME), "libfaketime")
    with two_hosts.made(), control_groups.made():  # skipped where there can be none
        pass
    with ThreadPoolExecutor(3) as pool:
        yield {file: pool.submit(ended, file) for file in FILES}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_it_ends_as_it_says_and_leaves_nothing(
    outcomes: dict[Path, Future[Ended]], file: Path
) -> None:
    code, said, different = outcomes[file].result(400)
    assert code == exit_code(Verdict(verdict_of(file))), said
    assert different == []


def test_every_fault_under_pressure_is_in_an_experiment() -> None:
    text = "\n".join(file.read_text() for file in FILES)
    assert [name for name in OURS if f"fault: host.{name}\n" not in text] == []
    assert {f"host.{name}" for name in OURS} <= set(
        discovery.provider_of("faults", "host.cpu").faults
    )
