"""Instances whose shell is real: an adapter in moto runs what Systems Manager would, as it would.

Moto's own `send_command` runs nothing and always says Success. Here each command is a process in a
group of its own, which a cancellation kills; an instance has a directory for its notes, and a
network namespace where a lab gives it one.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import json
import os
import signal
import subprocess
import tempfile
import uuid
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import pytest

from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.contract.labs.aws_instances import InstancesLab

DIRECTORY, ENDED = "CHAOSRUN_DIR", "CHAOSRUN_ENDED"


class Sent:
    """One command on one instance."""

    def __init__(self, words: list[str], environment: dict[str, str]) -> None:
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this
        self.cancelled = False
        self.process = subprocess.Popen(
            words, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT,
            env=environment, start_new_session=True,
        )  # fmt: skip

    @property
    def status(self) -> str:
        code = self.process.poll()
        if code is None:
            return "InProgress"
        if self.cancelled and code < 0:
            return "Cancelled"
        return "Success" if code == 0 else "Failed"

    @property
    def output(self) -> str:
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def cancel(self) -> None:
        self.cancelled = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)

    def close(self) -> None:
        self.cancel()
        self.process.wait()
        self._output.close()


class Shells:
    """The shells of all instances, and what was sent to them."""

    def __init__(self) -> None:
        self._lock = Lock()
        self.commands: dict[str, tuple[dict[str, Any], dict[str, Sent]]] = {}
        self.root = ""
        self.ended = ""
        self.inside: list[str] = []
        """What goes before a command, such as the way into a namespace."""
        self.deaf: set[str] = set()
        """Instances whose agent does not answer."""

    def send(self, asked: dict[str, Any]) -> dict[str, Any]:
        command = {
            "CommandId": str(uuid.uuid4()), "Comment": asked.get("Comment", ""),
            "DocumentName": asked["DocumentName"], "InstanceIds": asked["InstanceIds"],
        }  # fmt: skip
        words = [*self.inside, "sh", "-c", "\n".join(asked["Parameters"]["commands"])]
        with self._lock:
            sent = {
                name: Sent(
                    words,
                    {
                        "PATH": os.environ["PATH"],
                        DIRECTORY: f"{self.root}/{name}",
                        ENDED: f"{self.ended}/{name}",
                    },
                )
                for name in asked["InstanceIds"]
            }
            self.commands[str(command["CommandId"])] = command, sent
        return command

    def listed(self, status: str) -> list[dict[str, Any]]:
        return [
            command
            for command, sent in self.commands.values()
            if any(one.status == status for one in sent.values())
        ]

    def invocations(self, name: str) -> list[dict[str, Any]]:
        command, sent = self.commands[name]
        return [
            {
                "CommandId": name, "InstanceId": instance, "Comment": command["Comment"],
                "Status": one.status,
                "CommandPlugins": [{"Name": "aws:runShellScript", "Output": one.output}],
            }
            for instance, one in sent.items()
        ]  # fmt: skip

    def cancel(self, name: str) -> None:
        for one in self.commands[name][1].values():
            one.cancel()

    def forget(self) -> None:
        for _, sent in self.commands.values():
            for one in sent.values():
                one.close()
        self.commands.clear()
        self.deaf.clear()
        self.inside = []


SHELLS = Shells()


@functools.cache
def fill() -> None:
    """Let moto's Systems Manager use the shells."""
    answers: Any = importlib.import_module("moto.ssm.responses").SimpleSystemManagerResponse
    result: Any = importlib.import_module("moto.core.responses").ActionResult
    backends: Any = importlib.import_module("moto.ec2.models").ec2_backends

    def asked(self: Any) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    def describe_instance_information(self: Any) -> Any:
        wanted = asked(self)["Filters"][0]["Values"]
        backend = backends[self.current_account][self.region]
        running = {one.id for one in backend.all_running_instances()}
        found = [
            {"InstanceId": name, "PingStatus": "Online", "PlatformType": "Linux"}
            for name in wanted
            if name in running - SHELLS.deaf
        ]
        return result({"InstanceInformationList": found})

    def list_commands(self: Any) -> Any:
        return result({"Commands": SHELLS.listed(asked(self)["Filters"][0]["value"])})

    def cancel_command(self: Any) -> Any:
        SHELLS.cancel(asked(self)["CommandId"])
        return result({})

    answers.describe_instance_information = describe_instance_information
    answers.send_command = lambda self: result({"Command": SHELLS.send(asked(self))})
    answers.list_commands = list_commands
    answers.list_command_invocations = lambda self: result(
        {"CommandInvocations": SHELLS.invocations(asked(self)["CommandId"])}
    )
    answers.cancel_command = cancel_command


def with_shells(cleanup: contextlib.ExitStack) -> None:
    """Give instances shells, until `cleanup`; what they hold then is ended."""
    fill()
    SHELLS.root = cleanup.enter_context(tempfile.TemporaryDirectory())
    SHELLS.ended = cleanup.enter_context(tempfile.TemporaryDirectory())
    cleanup.callback(_end_keepers, SHELLS.root)
    cleanup.callback(SHELLS.forget)


def processes(root: str) -> list[int]:
    """All that was started on an instance and still runs."""
    found = []
    mark = f"{DIRECTORY}={root}/".encode()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return sorted(found)


def _end_keepers(root: str) -> None:
    for pid in processes(root):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


class ShellsLab(InstancesLab):
    """Two of three instances. The tag is not in the snapshot: at a deadline only it is left."""

    slow: ClassVar[tuple[str, ...]] = (
        "a_failure_at_any_call_can_be_reverted",
        "a_sweep_finds_it",
        "another_process_can_revert",
        "injecting_twice_is_once",
        "reverting_twice_is_once",
    )
    """What calls is the same for all and takes its time: the default run tries one of them."""

    def build(self, cleanup: contextlib.ExitStack) -> None:
        with_shells(cleanup)
        super().build(cleanup)

    def target(self) -> JSON:
        return {"tags": {"app": self.app}, "vpc": self.vpc, "pick": self.pick}

    def notes(self) -> list[str]:
        """What is noted on instances, but for when."""
        root = Path(SHELLS.root)
        return sorted(path.parent.name for path in root.glob("*/*") if path.is_dir())


class CommandByAnAdapterLab(ShellsLab):
    """A flag that says on, and the processes that a command started."""

    fault = "aws.ssm-command"
    pick: JSON = 1
    slow = ()

    def made(self) -> None:
        super().made()
        (Path(SHELLS.root) / "flags").mkdir()

    def arguments(self) -> dict[str, JSON]:
        flag = f'"{SHELLS.root}/flags/$(basename "$(dirname "$(dirname "$0")")")"'
        return {
            "target": self.target(),
            "with": {
                "run": f"echo off >{flag}; sleep 60",
                "undo": f"rm -f {flag}",
                "seen": f"grep off {flag}",
            },
        }

    def snapshot(self) -> JSON:
        flags = sorted(path.name for path in (Path(SHELLS.root) / "flags").iterdir())
        return {"notes": self.notes(), "flags": flags}


class StressByAnAdapterLab(ShellsLab):
    """Processes that are busy, memory that is held, and a file that fills a disk."""

    fault = "aws.ssm-stress"
    pick: JSON = 1

    def arguments(self) -> dict[str, JSON]:
        given = {"cpu": 1, "memory": "8Mi", "disk": "1Mi", "path": SHELLS.root}
        return {"target": self.target(), "with": given}

    def snapshot(self) -> JSON:
        files = [path.stat().st_size for path in Path(SHELLS.root).glob("chaosrun-*")]
        return {"notes": self.notes(), "files": files, "busy": len(processes(SHELLS.root)) > 0}


class NetworkByAnAdapterLab(ShellsLab):
    """An instance with a network namespace of its own."""

    fault = "aws.ssm-network"
    pick: JSON = 1

    def build(self, cleanup: contextlib.ExitStack) -> None:
        super().build(cleanup)
        SHELLS.inside = enter_namespace(cleanup)

    def arguments(self) -> dict[str, JSON]:
        given = {"blackhole": True, "to": ["127.0.0.0/8", "::1"], "ports": [5432]}
        return {"target": self.target(), "with": given}

    def snapshot(self) -> JSON:
        words = [*SHELLS.inside, "nft", "list", "ruleset"]
        rules = subprocess.run(words, capture_output=True, text=True, check=True, timeout=10)
        return {"notes": self.notes(), "tables": rules.stdout.count("table ")}


def enter_namespace(cleanup: contextlib.ExitStack) -> list[str]:
    """A network namespace of this lab's own: what goes before a command that runs in it."""
    if os.geteuid() != 0:
        pytest.skip("only root makes network namespaces: sudo make test")
    name = f"chaosrun-{uuid.uuid4().hex[:8]}"
    subprocess.run(["ip", "netns", "add", name], check=True, timeout=10)
    cleanup.callback(subprocess.run, ["ip", "netns", "delete", name], check=True, timeout=10)
    inside = ["ip", "netns", "exec", name]
    subprocess.run([*inside, "ip", "link", "set", "lo", "up"], check=True, timeout=10)
    return inside


LABS: list[type[Lab]] = [CommandByAnAdapterLab, StressByAnAdapterLab, NetworkByAnAdapterLab]
