"""The way to this machine: every look at it and every change of it is a method here.

Law: a signal reaches exactly the process that was meant, never another that was given its id.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from chaosrun import commands, procfs
from chaosrun.codec import from_json, to_json
from chaosrun.errors import Indeterminate, Refused, Transient
from chaosrun.fault import Hold
from chaosrun.mechanisms import asking, http_proxy
from chaosrun.mechanisms.harm import WORKER, Order, Seen
from chaosrun.mechanisms.networks import Networks
from chaosrun.mechanisms.resources import Resources
from chaosrun.mechanisms.supervisor import held_by
from chaosrun.place import Place, here
from chaosrun.procfs import Identity, Process
from chaosrun.providers.host import runtime, watchdog
from chaosrun.providers.host.proxy.messages import Answer, Request, Status

RESTARTED = "CHAOSRUN_RESTARTED"
"""In the environment of what a revert started: the mark of its hold."""

_ARMED_WITHIN = 20.0
_GONE_WITHIN = 2.0
_PROXY_ANSWERS_WITHIN = 3.0
_SCRIPT = "CHAOSRUN_SCRIPT"
_EVALUATE = f'set -- "${_SCRIPT}"; unset {_SCRIPT}; eval "$1"'
_DETACH = """
import os, sys
words = sys.stdin.buffer.read().split(b"\\0")
if os.fork():
    os._exit(0)
os.setsid()
os.dup2(1, 0)
os.execvp(words[0], words)
"""
"""Takes the words from its input, as the shell its script from the environment: in their own
command lines a selection would find them, and take them for what they start."""


_CAPABILITIES = {
    "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_NET_ADMIN": 12,
}  # fmt: skip
"""Their numbers in capability.h."""


class Host(Networks, Resources):
    """This machine."""

    def place(self) -> Place:
        """Where we are."""
        return here()

    def user(self) -> int:
        """The user we run as."""
        return os.geteuid()

    def capabilities(self) -> set[str]:
        """The Linux capabilities of this process, of those that faults here ask for."""
        lines = Path("/proc/self/status").read_text().splitlines()
        mask = int(next(line for line in lines if line.startswith("CapEff")).split()[1], 16)
        return {name for name, bit in _CAPABILITIES.items() if mask >> bit & 1}

    def own_devices(self) -> set[int]:
        """The numbers of the devices that the system and chaosrun itself write to."""
        state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~")
        places = ("/", "/tmp", "/var", "/run", str(runtime.runtime_directory().parent), state)
        return {os.stat(place).st_dev for place in places if os.path.exists(place)}

    def directory(self, path: str) -> str:
        """A directory whole; the current one for an empty path."""
        return os.path.abspath(path)

    # Looking at processes

    def processes(self) -> list[Process]:
        """All that run."""
        return procfs.processes()

    def identity(self, pid: int) -> Identity:
        """The process that has this id now. Raises Transient when none has."""
        seen = procfs.process(pid)
        if seen is None:
            raise Transient(f"process {pid} has ended")
        return seen.identity

    def listeners(self, port: int, pids: Sequence[int]) -> list[int]:
        """Those of `pids` that listen on a TCP port."""
        return procfs.listeners(port, pids)

    def cgroups(self, pid: int) -> set[str]:
        """The paths of the control groups that a process is in."""
        return procfs.cgroups(pid)

    def untouchable(self, found: Sequence[Process]) -> dict[int, str]:
        """Those of the processes that may never be touched, with the reason."""
        line = procfs.ancestors()
        reasons = {each.pid: _reason(each, line) for each in found}
        return {pid: reason for pid, reason in reasons.items() if reason}

    def state(self, identity: Identity) -> str:
        """The state letter of that process; empty when it has ended."""
        seen = procfs.process(identity.pid)
        if seen is None or seen.identity != identity or seen.ended:
            return ""
        return seen.state

    def may_still_end(self, identity: Identity, number: int) -> bool:
        """Whether a signal that was sent may be ending that process: it is pending or caught."""
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{identity.pid}/status").read_text().splitlines()
            masks = {key: value for key, _, value in (line.partition(":") for line in lines)}
            pending = int(masks["SigPnd"], 16) | int(masks["ShdPnd"], 16)
            ends = 1 << number - 1 | 1 << signal.SIGKILL - 1  # a deadly one becomes SIGKILL
            return bool(pending & ends or int(masks["SigCgt"], 16) >> number - 1 & 1)
        return False

    def pid_file(self, path: str) -> tuple[int, float]:
        """The id in a PID file, and when it was written. Raises Refused."""
        try:
            with open(path) as file:
                return int(file.read(32).split()[0]), os.fstat(file.fileno()).st_mtime
        except OSError as error:
            raise Refused(f"cannot read {path}: {error.strerror}") from None
        except (ValueError, IndexError):
            raise Refused(f"{path} does not hold a process id") from None

    def started_at(self, identity: Identity) -> float:
        """When that process started, in UTC seconds."""
        uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
        return procfs.started_at(identity, time.time(), uptime)

    def environments(self, names: Sequence[str]) -> dict[int, dict[str, str]]:
        """Those variables of each process that has one of them, as it was started."""
        found: dict[int, dict[str, str]] = {}
        for each in procfs.processes():
            values = {name: procfs.variable(each.pid, name) for name in names}
            given = {name: value for name, value in values.items() if value is not None}
            if given:
                found[each.pid] = given
        return found

    def text_of(self, path: str) -> str | None:
        """What a small file says; None when there is none. Raises Refused."""
        try:
            return Path(path).read_text()
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"cannot read {path}: {error}") from None

    # Signals

    def may_signal(self, identity: Identity) -> bool:
        """Whether we are allowed to signal that process; it is not."""
        try:
            self.send_signal(identity, 0)
        except Refused:
            return False
        return True

    def send_signal(self, identity: Identity, number: int) -> bool:
        """Signal exactly that process. False when it has ended. Raises Refused."""
        try:
            handle = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return False
        try:
            if not self.state(identity):  # looked at after the handle was taken: no mistake
                return False
            signal.pidfd_send_signal(handle, number)
        except ProcessLookupError:
            return False
        except PermissionError:
            raise Refused(
                f"not allowed to signal process {identity.pid}",
                hint="run as its user or as root, or with CAP_KILL",
            ) from None
        finally:
            os.close(handle)
        return True

    def wait_gone(self, identity: Identity, seconds: float) -> bool:
        """Wait for that process to end; whether it has."""
        try:
            handle = os.pidfd_open(identity.pid)
        except ProcessLookupError:
            return True
        try:
            if self.state(identity):
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                poll.poll(max(0.0, seconds) * 1000)
        finally:
            os.close(handle)
        return not self.state(identity)

    # Commands

    def run(
        self,
        command: str | Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str],
        cwd: str,
        mark: str = "",
    ) -> commands.Completed:
        """Run a person's command; see `chaosrun.commands.run`."""
        return commands.run(command, timeout=timeout, env=env, cwd=cwd, mark=mark)

    def end_marked(self, mark: str) -> int:
        """Kill what is left of commands with that mark."""
        return commands.end_marked(mark)

    def commands(self) -> dict[int, str]:
        """The mark of every process that a command with a mark left running."""
        return commands.marked()

    def start_detached(self, command: str | Sequence[str], mark: str, cwd: str) -> None:
        """Start something that outlives us, and that `restarted` finds again."""
        own = (commands.MARK, commands.TOKEN)
        environment = {k: v for k, v in os.environ.items() if k not in own} | {RESTARTED: mark}
        words = list(command)
        if isinstance(command, str):
            words = ["/bin/sh", "-c", _EVALUATE]
            environment[_SCRIPT] = command
        _start(
            [sys.executable, "-S", "-I", "-c", _DETACH],
            env=environment, cwd=cwd, stdin="\0".join(words),
        )  # fmt: skip

    def restarted(self, mark: str) -> list[Process]:
        """The processes that run because of `start_detached` with that mark."""
        found = (each for each in self.processes() if not each.kernel)
        return [each for each in found if procfs.variable(each.pid, RESTARTED) == mark]

    # Pauses

    def pause(self, hold: Hold, identities: Sequence[Identity]) -> None:
        """Let a watchdog stop these processes until the hold's deadline.

        Word of it is left first. Raises Refused, and Indeterminate when it does not answer.
        """
        runtime.write_note(hold)
        words = [
            *(sys.executable, "-S", "-I", watchdog.__file__, watchdog.SIGN),
            *(hold.mark, repr(hold.deadline), str(runtime.note_path(hold.mark))),
            *map(str, identities),
        ]
        said = _start(words, env={"PATH": os.defpath}, cwd="/", answers_within=_ARMED_WITHIN)
        if not said:
            raise Indeterminate("the watchdog of the pause did not answer")
        if said != "paused":
            raise Refused(f"cannot pause: {said.lower()}")

    def watchdogs(self) -> dict[str, list[Identity]]:
        """The running watchdogs of pauses, by mark."""
        found: dict[str, list[Identity]] = {}
        for each in self.processes():
            if watchdog.SIGN in each.words:
                mark = each.words[each.words.index(watchdog.SIGN) + 1]
                found.setdefault(mark, []).append(each.identity)
        return found

    def end_pause(self, mark: str) -> None:
        """Make the watchdog continue its processes and end, and remove the word of it."""
        while found := self.watchdogs().get(mark, []):  # one may start while we look for it
            for identity in found:
                self.send_signal(identity, signal.SIGTERM)
                if not self.wait_gone(identity, _GONE_WITHIN):
                    self.send_signal(identity, signal.SIGKILL)
                    if not self.wait_gone(identity, _GONE_WITHIN):
                        raise Indeterminate("the watchdog of the pause does not end")
        runtime.remove_note(mark)

    def pauses(self) -> list[Hold]:
        """The pauses of which word was left."""
        return list(runtime.notes())

    # Harms that a process of their own holds

    def hold(self, order: Order) -> Seen:
        """Have it done and held until its deadline; see `chaosrun.mechanisms.asking`."""
        return asking.hold(order)

    def look(self, order: Order) -> Seen:
        """Whether it is there now."""
        return asking.look(order)

    def end(self, order: Order) -> Seen:
        """Undo it, and see that it is gone."""
        return asking.end(order)

    def harms(self) -> list[Order]:
        """The harms of which word was left."""
        return asking.notes()

    # Proxies

    def http_proxy_runs(self, listen: str) -> bool:
        """Whether an HTTP proxy of ours listens there."""
        return http_proxy.runs(listen)

    def proxies(self) -> list[str]:
        """The control sockets of this user's proxies, of dead ones too."""
        return [str(path) for path in runtime.control_paths()]

    def proxy(self, control: str, request: Request) -> Status | None:
        """How a proxy is after it did what was asked. None when no proxy runs there.

        Raises Refused when it says no, and Transient when it does not answer.
        """
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_PROXY_ANSWERS_WITHIN)
                connection.connect(control)
                connection.sendall(to_json(request) + b"\n")
                line = b""
                while not line.endswith(b"\n"):
                    part = connection.recv(65536)
                    if not part:
                        break
                    line += part
            answer = from_json(line, Answer)
        except (FileNotFoundError, ConnectionRefusedError):
            return None
        except PermissionError:
            raise Refused(
                f"not allowed to control the proxy at {control}", hint="run as its user"
            ) from None
        except OSError as error:
            raise Transient(f"the proxy at {control} does not answer: {error}") from None
        except msgspec.DecodeError:
            raise Transient(f"the proxy at {control} answered nothing sensible") from None
        if answer.error:
            raise Refused(f"the proxy at {control} says: {answer.error}")
        return answer.status


def _reason(process: Process, line: set[int]) -> str:
    """Why a process may never be touched; empty when it may."""
    if process.pid == 1:
        return "the first process of this machine"
    if process.kernel:
        return "a thread of the kernel"
    if process.pid in line:
        return "chaosrun itself, or what started it"
    if watchdog.SIGN in process.words:
        return "the watchdog of a pause"
    if held_by(process.words) or procfs.variable(process.pid, WORKER):
        return "what holds a fault of chaosrun"
    return "a command of chaosrun" if procfs.variable(process.pid, commands.TOKEN) else ""


def _start(
    words: list[str],
    *,
    env: Mapping[str, str],
    cwd: str,
    stdin: str = "",
    answers_within: float = 0.0,
) -> str:
    """Start a program that detaches itself, and return the first line it says, if it must."""
    try:
        process = subprocess.Popen(
            words, env=env, cwd=cwd, start_new_session=True,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=subprocess.PIPE if answers_within else subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
    except OSError as error:
        raise Refused(f"cannot start {words[0]}: {error.strerror}") from None
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(stdin.encode())
    said = ""
    if process.stdout is not None:
        with process.stdout:
            if select.select([process.stdout], [], [], answers_within)[0]:
                said = process.stdout.readline().decode().strip()
    try:
        process.wait(_ARMED_WITHIN)  # what goes on is a child of it, which we do not wait for
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(_GONE_WITHIN)
    return said
