"""Tiny worlds to harm: a process to pause, one to kill, a proxy, and a file; each its own journal.

`harm()` says what a fault left on the targets, as the machine itself shows it and not as any
journal remembers it; `remains()` adds what chaosrun left of itself.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from chaosrun import procfs
from chaosrun.journal import Journal, open_journal
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.proxy.messages import Request

HOLD = 0.3
VARIANTS = ("pause", "proxy", "command", "crash", "all at once", "one after another")
ENDED_BY_TARGET = ("pause", "proxy")


class World:
    """One tiny system with one journal, and the experiments that may be run on it."""

    def __init__(self, directory: Path, number: int) -> None:
        self.directory = directory
        self._number = number
        directory.mkdir()
        self.control = directory / "proxy.sock"
        self.flag = directory / "flag"
        # GNU and busybox take any such number: the arguments tell a world's own from all others.
        self.paused = f"sleep 8640{number}.{os.getpid()}"
        self.crashed = f"sleep 8650{number}.{os.getpid()}"
        self.environment = {
            **os.environ,
            "CHAOSRUN_JOURNAL": f"sqlite:///{directory}/journal.db",
            "CHAOSRUN_RUNTIME_DIR": str(directory / "runtime"),
        }
        self._upstream = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()
        self._proxy = self._start_proxy()
        self._sleepers = [
            subprocess.Popen(command.split(), env=self.environment)
            for command in (self.paused, self.crashed)
        ]
        self._known = {self._proxy.pid}

    # --- its experiments -----------------------------------------------------------------

    def experiment(self, variant: str, *, timeout: float = 5.0) -> Path:
        """An experiment of that variant, as a file."""
        steps = {"pause": self._pause(), "proxy": self._slow(), "command": self._command()}
        steps["crash"] = self._crash()
        match variant:
            case "all at once":
                method = [{**step, "after": []} for step in steps.values()]
            case "one after another":
                method = [steps["command"], steps["pause"]]
            case _:
                method = [steps[variant]]
        for step in method:
            step |= {"hold": f"{HOLD}s", "timeout": f"{timeout}s"}
        document = {
            "apiVersion": "chaosrun.dev/v1",
            "kind": "Experiment",
            "metadata": {"name": f"kill-{variant.replace(' ', '-')}"},
            "spec": {
                "title": "Nothing is left, whenever the runner is killed",
                "steadyState": [
                    {
                        "name": "the proxy takes connections",
                        "probe": "tcp",
                        "with": {"address": self.listen},
                        "every": "100ms",
                        "expect": "open",
                    }
                ],
                "method": method,
                "limits": {"share": "100%"},
                "recoverWithin": "5s",
            },
        }
        path = self.directory / f"{variant.replace(' ', '-')}.json"
        path.write_text(json.dumps(document))
        return path

    def _pause(self) -> dict[str, Any]:
        target = {"command": f"^{self.paused}$"}
        return {"name": "pause", "fault": "host.process-pause", "target": target}

    def _slow(self) -> dict[str, Any]:
        target = {"listen": self.listen, "control": str(self.control)}
        arguments = {"latency": "20ms"}
        return {"name": "slow", "fault": "host.tcp-proxy", "target": target, "with": arguments}

    def _command(self) -> dict[str, Any]:
        """Injecting and reverting take their time, and something in the background comes late."""
        arguments = {
            "inject": f"(sleep 0.2; touch {self.flag}.late) & sleep 0.05; touch {self.flag}",
            "revert": f"sleep 0.05; rm -f {self.flag} {self.flag}.late",
            "tookEffect": f"test -e {self.flag}",
            "restored": f"test ! -e {self.flag} && test ! -e {self.flag}.late",
        }
        return {"name": "touch", "fault": "host.command", "with": arguments}

    def _crash(self) -> dict[str, Any]:
        target = {"command": f"^{self.crashed}$"}
        arguments = {"restart": self.crashed.split()}
        return {
            "name": "crash", "fault": "host.process-kill", "target": target, "with": arguments,
        }  # fmt: skip

    # --- what is left --------------------------------------------------------------------

    def harm(self) -> list[str]:
        """What faults have left on the targets."""
        found = []
        processes = procfs.processes()
        states = [each.state for each in processes if each.command == self.paused]
        if states != ["S"]:
            found.append(f"the process to pause is {states}")
        if (count := sum(each.command == self.crashed for each in processes)) != 1:
            found.append(f"{count} of the process to kill run")
        status = Host().proxy(str(self.control), Request(do="status"))
        if status is None or status.toxics:
            found.append(f"the proxy has {status and status.toxics}")
        found += [f"{path.name} exists" for path in self.directory.glob("flag*")]
        for sleeper in self._sleepers:
            sleeper.poll()  # reap the one that was killed
        return found

    def remains(self) -> list[str]:
        """Harm, and whatever else of chaosrun is left: processes, notes."""
        found = self.harm()
        found += [f"note {path.name}" for path in self.directory.glob("runtime/pause-*")]
        for each in procfs.processes():
            own = each.pid in self._known or each.command in (self.paused, self.crashed)
            if not own and self._belongs(each):
                found.append(f"process {each.pid}: {each.command[:200]}")
        return found

    def _belongs(self, process: procfs.Process) -> bool:
        runtime = self.environment["CHAOSRUN_RUNTIME_DIR"]
        return (
            procfs.variable(process.pid, "CHAOSRUN_RUNTIME_DIR") == runtime
            or runtime in process.command  # a watchdog has no environment, but a note
        )

    def journal(self) -> Journal:
        return open_journal(self.environment["CHAOSRUN_JOURNAL"])

    # --- its parts -----------------------------------------------------------------------

    def _start_proxy(self) -> subprocess.Popen[str]:
        upstream = f"127.0.0.1:{self._upstream.getsockname()[1]}"
        words = ["--listen", "127.0.0.1:0", "--upstream", upstream, "--control", str(self.control)]
        proxy = subprocess.Popen(
            [sys.executable, "-m", "chaosrun.providers.host.proxy", *words],
            env=self.environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert proxy.stdout is not None
        self.listen = proxy.stdout.readline().split()[0]
        return proxy

    def _accept(self) -> None:
        with suppress(OSError):  # closed: the world ends
            while True:
                self._upstream.accept()[0].close()

    def renewed(self) -> World:
        """A new world in place of this one, which is ended whatever is left in it."""
        self.close()
        return World(self.directory.with_name(f"{self.directory.name}+"), self._number)

    def close(self) -> None:
        for each in procfs.processes():
            if each.command in (self.paused, self.crashed) or self._belongs(each):
                with suppress(ProcessLookupError):
                    os.kill(each.pid, signal.SIGKILL)
        self._upstream.shutdown(socket.SHUT_RDWR)
        self._upstream.close()
        self._proxy.wait()
        for sleeper in self._sleepers:
            sleeper.wait()
        assert self._proxy.stdout is not None
        self._proxy.stdout.close()


def owed(world: World) -> list[str]:
    """What the world's journal says is not over: leases, and runs without a verdict."""
    from chaosrun.run import fold

    with closing(world.journal()) as journal:
        return [
            f"run {row.run} owes {[lease.step for lease in fold(journal.events(row.run)).owed]}"
            for row in journal.runs(unfinished=True)
        ]
