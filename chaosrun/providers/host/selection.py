"""Which processes a person means, and which may never be meant.

Law (L4): chaosrun, what it descends from, its own helpers, the first process and the kernel's
threads are never touched. Processes that match by chance are left out; one that was named
by its PID file or its port is refused with the reason.
"""

from __future__ import annotations

import pwd
import re
from collections.abc import Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.procfs import Identity, Process
from chaosrun.providers.host.client import Host
from chaosrun.targeting import Pick, Target
from chaosrun.units import JSON

_CLOCK_SLACK = 2.0


class Processes(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """Processes of this machine. A process must meet all that is given."""

    name: Annotated[str, Meta(description="The name of the program, as `ps -o comm` shows it")] = ""
    command: Annotated[
        str,
        Meta(
            description="A regular expression found anywhere in the command line",
            examples=["gunicorn .*checkout", "server\\.py --port 800[12]"],
        ),
    ] = ""
    pid_file: Annotated[str, Meta(description="The file that holds its process id")] = ""
    listening: (
        Annotated[int, Meta(ge=1, le=65535, description="The TCP port that it listens on")] | None
    ) = None
    user: Annotated[str, Meta(description="The name or number of the user it runs as")] = ""
    cgroup: Annotated[
        str,
        Meta(
            description="The control group that it is in, or in one below: a path as "
            "`cat /proc/PID/cgroup` shows it, or the last part of one, such as a systemd unit",
            examples=["nginx.service", "/system.slice/nginx.service"],
        ),
    ] = ""
    pick: Annotated[Pick, Meta(description="How many of the matching processes")] = Pick("one")

    def __post_init__(self) -> None:
        named = self.name or self.command or self.pid_file or self.listening
        if not (named or self.user or self.cgroup.strip("/")):
            raise ValueError(
                "say which processes: name, command, pidFile, listening, user or cgroup"
            )
        if not (named or self.cgroup.strip("/")) and self.user in ("root", "0"):
            raise ValueError("root runs too much: say which processes of root")
        try:
            re.compile(self.command)
        except re.error as error:
            raise ValueError(f"command is not a regular expression: {error}") from None

    def matching(self, host: Host) -> list[Process]:
        """The processes that match and may be touched, in no order. Raises Refused."""
        found = self._meant(host)
        untouchable = host.untouchable(found)
        if untouchable and (self.pid_file or self.listening or len(untouchable) == len(found)):
            pid, reason = min(untouchable.items())
            raise Refused(f"process {pid} is never touched: it is {reason}")
        return [each for each in found if each.pid not in untouchable]

    def _meant(self, host: Host) -> list[Process]:
        found = [each for each in host.processes() if self._matches(each)]
        if self.pid_file:
            pid, written = host.pid_file(self.pid_file)
            found = [each for each in found if each.pid == pid]
            if found and host.started_at(found[0].identity) > written + _CLOCK_SLACK:
                raise Refused(
                    f"process {pid} is younger than {self.pid_file}, so it is another",
                    hint="the PID file is of a process that has ended",
                )
        if self.user:
            number = _user(self.user)
            found = [each for each in found if each.user == number]
        if self.cgroup:
            found = [each for each in found if self._is_below(host.cgroups(each.pid))]
        if self.listening:
            pids = host.listeners(self.listening, [each.pid for each in found])
            found = [each for each in found if each.pid in pids]
        return found

    def _matches(self, process: Process) -> bool:
        if self.name:
            program = process.words[0].rpartition("/")[2] if process.words else ""
            if self.name not in (process.name, program):
                return False
        return not self.command or re.search(self.command, process.command) is not None

    def _is_below(self, paths: set[str]) -> bool:
        wanted = self.cgroup.strip("/")
        if self.cgroup.startswith("/"):
            return any(f"{path}/".startswith(f"/{wanted}/") for path in paths)
        return any(f"/{wanted}/" in f"{path}/" for path in paths)

    def __str__(self) -> str:
        """The selection in words."""
        given = {
            "name": self.name, "command": self.command and f"/{self.command}/",
            "PID file": self.pid_file, "port": self.listening, "user": self.user,
            "cgroup": self.cgroup,
        }  # fmt: skip
        return ", ".join(f"{what} {value}" for what, value in given.items() if value)


def as_target(process: Process, host: Host, undo: dict[str, JSON]) -> Target:
    """A process as a target; `undo` is kept with its identity."""
    place = host.place()
    return Target(
        kind="process",
        id=f"{process.identity}.{place.key}",
        name=f"{process.name} (pid {process.pid})",
        domain=place.node,
        labels={},
        groups={
            "account": "",
            "namespace": "",
            "workload": f"{place.node}/{process.name}",
            "group": "",
        },
        undo={
            "pid": process.pid,
            "started": process.identity.started,
            "user": process.user,
            **undo,
        },
    )


def identity_of(target: Target) -> Identity:
    """The process that a target is."""
    return Identity(target.undo["pid"], target.undo["started"])


PERMISSIONS = (
    Permission("linux", "CAP_KILL", "processes of other users"),
    Permission("linux", "CAP_SYS_PTRACE", "to see which process of another user listens on a port"),
)
"""What may be needed to find processes and to signal them."""


def rights(selection: Processes, targets: Sequence[Target], client: Host) -> tuple[Permission, ...]:
    """Those of `PERMISSIONS` that these targets need. Raises Refused when we lack one."""
    for target in targets:
        if not client.may_signal(identity_of(target)):
            raise Refused(
                f"not allowed to signal {target.label}",
                hint="run as its user or as root, or with CAP_KILL",
            )
    others = any(target.undo["user"] != client.user() for target in targets)
    kill, ptrace = PERMISSIONS
    return ((kill,) if others else ()) + ((ptrace,) if others and selection.listening else ())


def _user(text: str) -> int:
    if text.isdigit():
        return int(text)
    try:
        return pwd.getpwnam(text).pw_uid
    except KeyError:
        raise Refused(f"there is no user {text!r}") from None
