"""What can be done in one place: a harm, where it is done, and the order to do it.

Law (L2): `apply`, `look` and `remove` may each be repeated, and work in another process from the
order alone. What is put in place bears the mark, and exactly that is removed.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import ClassVar, Literal

import msgspec

from chaosrun import procfs
from chaosrun.codec import from_json, from_plain, to_json
from chaosrun.errors import Refused
from chaosrun.mechanisms.inside import Inside
from chaosrun.place import Place, here
from chaosrun.procfs import Identity
from chaosrun.units import JSON

WORKER = "CHAOSRUN_HARM"
"""In the environment of a worker, and of all that it starts: the mark of its harm."""

HARMS: dict[str, str] = {
    "docker": "chaosrun.providers.docker.switch:Held",
    "partition": "chaosrun.mechanisms.partition:Partition",
    "queue": "chaosrun.mechanisms.queue:Queue",
    "tun": "chaosrun.mechanisms.tun:Tun",
    "cpu": "chaosrun.mechanisms.pressure:Cpu",
    "memory": "chaosrun.mechanisms.pressure:Memory",
    "io": "chaosrun.mechanisms.pressure:Io",
    "disk": "chaosrun.mechanisms.pressure:Disk",
    "files": "chaosrun.mechanisms.pressure:Files",
    "tasks": "chaosrun.mechanisms.pressure:Tasks",
    "open-limit": "chaosrun.mechanisms.open_limit:OpenLimit",
    "dns": "chaosrun.mechanisms.dns:Dns",
    "http": "chaosrun.mechanisms.http:Http",
    "http-proxy": "chaosrun.mechanisms.http_proxy:HttpProxy",
    "clock": "chaosrun.mechanisms.clock:Clock",
}
"""Where each kind of harm is: its tag as `module:Class`. Imported when an order names it."""

_PR_SET_PDEATHSIG = 1
_ENDS_WITHIN = 2.0


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a look showed: whether the harm is there, in words, and what was measured.

    `left` is for what harms no more and is still to be removed, as an empty table of ours.
    """

    there: bool
    detail: str
    measured: dict[str, JSON] = {}
    left: bool = False

    @property
    def any(self) -> bool:
        """Whether anything of it is there."""
        return self.there or self.left


class Here:
    """Where a harm is done and for how long, and the worker processes that do it.

    A worker belongs to the process that holds the harm: it dies with it (PR_SET_PDEATHSIG),
    and it is found by its environment when that was killed.
    """

    def __init__(self, mark: str, deadline: float, directory: str, inside: Inside) -> None:
        self.mark = mark
        self.deadline = deadline
        self.directory = directory
        """The runtime directory, as it is called outside of any mount namespace."""
        self.inside = inside
        self._started: list[subprocess.Popen[bytes]] = []
        self._left: list[Identity] = []
        self._cgroups: list[int] = []
        self._not_confined = "nobody looked for them"

    @property
    def short(self) -> str:
        """Ten letters of the mark, for names that must be short; the same mark, the same."""
        return hashlib.sha256(self.mark.encode()).hexdigest()[:10]

    def number(self, low: int, high: int) -> int:
        """A number of the mark between two, both included; the same mark, the same."""
        return low + int(self.short, 16) % (high - low + 1)

    def start(
        self,
        words: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        stdout: int = subprocess.DEVNULL,
        pass_fds: Sequence[int] = (),
        dies_of: int = signal.SIGKILL,
    ) -> subprocess.Popen[bytes]:
        """Start a worker; it is in the cgroups of `inside` where those were asked for.

        Without them none is started: it would press on the whole machine. `dies_of` is the signal
        that it gets when its parent was killed. Raises Refused. To be called by the process that
        holds the harm only.
        """
        if "cgroup" in self.inside.joins and not self._cgroups:
            raise Refused(f"a worker would not be in its control groups: {self._not_confined}")
        environment = {"PATH": os.environ.get("PATH", os.defpath), **(env or {}), WORKER: self.mark}
        try:
            worker = subprocess.Popen(
                list(words), env=environment, cwd=cwd, stdin=subprocess.DEVNULL, stdout=stdout,
                stderr=subprocess.DEVNULL, start_new_session=True, pass_fds=pass_fds,
                preexec_fn=partial(_as_worker, os.getpid(), dies_of, tuple(self._cgroups)),
            )  # fmt: skip
        except (OSError, subprocess.SubprocessError) as error:
            raise Refused(f"cannot start {words[0]}: {error}") from None
        self._started.append(worker)
        return worker

    def workers(self) -> list[Identity]:
        """The workers that run now."""
        own = [procfs.process(each.pid) for each in self._started if each.poll() is None]
        return [each.identity for each in own if each is not None] + [
            each for each in self._left if procfs.runs(each)
        ]

    def lost_worker(self) -> bool:
        """Whether a worker that this process started has ended by itself."""
        return any(each.poll() is not None for each in self._started)

    # What follows is for who holds the harm, not for the harm.

    def prepare(self) -> None:
        """Find what another process of this mark left, before any namespace is joined."""
        self._left = [
            each.identity
            for each in procfs.processes()
            if not each.kernel
            and each.pid != os.getpid()
            and procfs.variable(each.pid, WORKER) == self.mark
        ]
        try:
            self._cgroups = self.inside.open_cgroups()
        except Refused as refused:  # a look and an end go on without: only `start` needs them
            self._not_confined = str(refused)

    def end_workers(self) -> None:
        """Kill the workers, and wait until they are gone."""
        for worker in self._started:
            if worker.poll() is None:
                _kill(worker.pid, os.killpg)
            worker.wait(_ENDS_WITHIN)
            if worker.stdout is not None:
                worker.stdout.close()
        for identity in self._left:
            if procfs.runs(identity):
                _kill(identity.pid, os.kill)
        self._started, self._left = [], []


def _as_worker(parent: int, dies_of: int, cgroups: tuple[int, ...]) -> None:
    """Between fork and exec."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, dies_of, 0, 0, 0)
    if os.getppid() not in (parent, 0):  # 0: it is in another namespace of process ids
        os._exit(127)  # the parent died before the kernel knew
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    for file in cgroups:
        os.write(file, b"0")


def _kill(pid: int, how: Callable[[int, int], None]) -> None:
    with contextlib.suppress(ProcessLookupError):
        how(pid, signal.SIGKILL)


class Harm(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag_field="harm",
):
    """One kind of harm: plain data. A subclass gives its tag, and names itself in `HARMS`.

    The three methods run inside of the namespaces that the order names, in a process with one
    thread. They raise Transient, Refused or Indeterminate.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """The Linux capabilities that it takes."""
    survives_restart: ClassVar[bool] = False
    """Whether it is still there after the machine was started anew, as files are."""
    held_in: ClassVar[Literal["processes", "network", "engine"]] = "processes"
    """Where it is: in processes and files as this container shows them; in the kernel, in a network
    namespace; or in an engine. The last two are seen from other containers of that boot as well."""
    ends_with_workers: ClassVar[bool] = False
    """Whether it is over, and is to be removed at once, when one of its workers has ended."""

    def apply(self, here: Here) -> None:
        """Put it in place. Twice is once."""
        raise NotImplementedError

    def look(self, here: Here) -> Seen:
        """Whether it is there now. Reads only."""
        raise NotImplementedError

    def release(self, here: Here) -> None:
        """Let go of what still needs the workers, which are killed right after this. Optional."""

    def remove(self, here: Here) -> None:
        """Take it away. Twice is once; harmless when it was never there. Workers are dead."""
        raise NotImplementedError


class Order(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to do, where, and until when: all that any process needs, as JSON.

    `deadline` is in UTC seconds. `about` is what the one who asked wants to read again in a
    sweep; nobody here looks into it.
    """

    mark: str
    deadline: float
    harm: dict[str, JSON]
    inside: Inside = Inside()
    place: Place = Place(node="")
    about: JSON = None

    def typed(self) -> Harm:
        """The harm. Raises Refused when this version does not know it."""
        return harm_of(self.harm)


def order(
    mark: str, deadline: float, harm: Harm, inside: Inside | None = None, about: JSON = None
) -> Order:
    """An order to harm this machine."""
    plain = from_json(to_json(harm), dict)  # as it comes back from JSON: lists, not tuples
    return Order(
        mark=mark, deadline=deadline, harm=plain, inside=inside or Inside(), place=here(),
        about=about,
    )  # fmt: skip


def harm_of(plain: dict[str, JSON]) -> Harm:
    """The typed harm of its plain form. Raises Refused."""
    reference = HARMS.get(str(plain.get("harm")))
    if reference is None:
        raise Refused(f"this chaosrun does not know the harm {plain.get('harm')!r}")
    module, _, name = reference.partition(":")
    kind: type[Harm] = getattr(importlib.import_module(module), name)
    try:
        return from_plain(plain, kind)
    except msgspec.ValidationError as error:
        raise Refused(f"the harm {plain['harm']} is not whole: {error}") from None


def read_order(text: bytes | str) -> Order:
    """The order of its JSON. Raises Refused."""
    try:
        return from_json(text, Order)
    except msgspec.MsgspecError as error:
        raise Refused(f"this is not an order: {error}") from None


def write_order(given: Order) -> bytes:
    """One line of JSON."""
    return to_json(given)
