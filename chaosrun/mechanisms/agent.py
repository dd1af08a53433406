"""The agent: does one harm in a pod, from a container beside it or from its node.

    python -m chaosrun.mechanisms agent MARK ERRAND     waits to be told, then as `run`
    python -m chaosrun.mechanisms go MARK SECONDS       tells it; answers what it saw
    python -m chaosrun.mechanisms undo MARK ERRAND      takes away what a killed one left

What was asked becomes a harm only here, since what a kernel can do, and how much memory there is,
is known on the node alone. Law (L3): an agent that nobody tells to go does nothing, and ends. One
that is told is told for how many seconds, since the runner's clock and the node's may differ.
"""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import msgspec

from chaosrun import procfs
from chaosrun.codec import from_json, from_plain
from chaosrun.errors import ChaosrunError, Indeterminate, Refused, Transient
from chaosrun.mechanisms import supervisor
from chaosrun.mechanisms.asked.lookups import Lookups
from chaosrun.mechanisms.asked.pressure import Busy, Taken, Writing
from chaosrun.mechanisms.asked.requests import HarmedRequests, Side
from chaosrun.mechanisms.choosing import NAMES, Mechanism, choose, harm_by
from chaosrun.mechanisms.directory import runtime_directory
from chaosrun.mechanisms.harm import Harm, Order, Seen, order
from chaosrun.mechanisms.impairment import Impairment
from chaosrun.mechanisms.inside import Gone, Inside
from chaosrun.mechanisms.kernel import Offers
from chaosrun.mechanisms.networks import Networks
from chaosrun.mechanisms.notes import note_path, read_note
from chaosrun.mechanisms.partition import Partition
from chaosrun.mechanisms.resources import Resources
from chaosrun.mechanisms.supervisor import ENDING, Say
from chaosrun.mechanisms.traffic import Traffic

_TOLD_WITHIN = 60.0
_DONE_WITHIN = 5.0
_LOOK_AGAIN = 0.05
_CGROUPS = 0x02000000  # CLONE_NEWCGROUP, sched.h


class Impair(msgspec.Struct, frozen=True, kw_only=True, tag="impair", omit_defaults=True):
    """Packets of an interface are impaired; without one, of that which leads to the peers."""

    impairment: Impairment
    traffic: Traffic
    interface: str = ""
    mechanism: Mechanism = "auto"


class Cut(msgspec.Struct, frozen=True, kw_only=True, tag="cut", omit_defaults=True):
    """Packets do not pass."""

    traffic: Traffic
    refuse: bool = False


class Names(msgspec.Struct, frozen=True, kw_only=True, tag="names", omit_defaults=True):
    """Lookups are answered wrongly; at the name servers of the pod, unless others are given."""

    lookups: Lookups


class Calls(msgspec.Struct, frozen=True, kw_only=True, tag="calls", omit_defaults=True):
    """HTTP requests are harmed."""

    requests: HarmedRequests
    ports: tuple[int, ...]
    direction: Side
    addresses: tuple[str, ...] = ()


class Press(msgspec.Struct, frozen=True, kw_only=True, tag="press", omit_defaults=True):
    """A resource runs short: just one of these."""

    cpu: Busy | None = None
    memory: Taken | None = None
    io: Writing | None = None


Wish = Impair | Cut | Names | Calls | Press
"""What is asked, before the place is known."""


class Errand(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an agent is sent to do.

    From its node it acts in the pod with that UID, and where a container is named (by its id)
    with that one's control group and files. Without these it acts where it is itself.
    """

    mark: str
    deadline: float
    wish: Wish
    pod: str = ""
    container: str = ""


class Machine(Networks, Resources):
    """What an agent sees of where it is."""


def run(errand: Errand, say: Say) -> None:
    """Wait to be told, do it, hold it as long as was told or until a signal.

    Returns when it is gone.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    until = time.monotonic() + _TOLD_WITHIN
    while (told := _told_until(errand.mark)) is None:
        if signal.sigtimedwait(ENDING, _LOOK_AGAIN) is not None:
            say(Seen(False, "it was told to end before it began"))
            return
        if time.monotonic() > until:
            say(Seen(False, "nobody told it to begin"))
            return
    try:
        found = resolved(msgspec.structs.replace(errand, deadline=told), Machine())
    except ChaosrunError as error:
        say(error)
        return
    supervisor.hold(found, say)


def go(mark: str, seconds: float) -> Seen:
    """Tell the agent of this container to begin, and to end after so many seconds; what is there
    then. Twice is once: the first end counts.

    Raises Transient while it is not there yet.
    """
    ends = time.time() + seconds
    runtime_directory(create=True)
    if mark not in supervisor.holders():
        raise Transient("the agent has not started yet, or has ended")
    _tell(mark, ends)
    until = time.monotonic() + _DONE_WITHIN
    said = "the agent has not begun yet"
    while time.monotonic() < until and mark in supervisor.holders():
        if (found := read_note(mark)) is not None:
            seen = _looked(found)
            if seen.there:
                return seen
            said = seen.detail
        time.sleep(_LOOK_AGAIN)
    raise Transient(said)


def _looked(found: Order) -> Seen:
    """Look, in a process of its own: namespaces are joined for good."""
    from chaosrun.mechanisms import asking

    return asking.look(found)


def undo(errand: Errand) -> Seen:
    """Take away all that an agent with that errand could have left when it was killed."""
    seen = Seen(False, "nothing is left")
    try:
        inside = place_of(errand)
    except Gone as gone:
        return Seen(False, str(gone))
    for harm in candidates(errand, Machine()):
        found = order(errand.mark, errand.deadline, harm, inside)
        seen = _alone(lambda given=found: supervisor.end(errand.mark, given))  # type: ignore[misc]
        note_path(errand.mark).unlink(missing_ok=True)
    return seen


def _alone(act: Callable[[], Seen]) -> Seen:
    """Do it in a child, which may join namespaces. Raises Indeterminate when it fails."""
    child = os.fork()
    if not child:
        with suppress(ChaosrunError, OSError):
            act()
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    if status:
        raise Indeterminate("what a killed agent left could not be taken away")
    return Seen(False, "nothing is left")


def _told(mark: str) -> Path:
    return note_path(mark).with_suffix(".go")


def _told_until(mark: str) -> float | None:
    """The deadline that it was told, by the clock of this node; None while it was not told."""
    try:
        return float(_told(mark).read_text())
    except FileNotFoundError:
        return None


def _tell(mark: str, ends: float) -> None:
    """Tell it in one step: half a number is never read."""
    draft = _told(mark).with_suffix(f".go-{os.getpid()}")
    draft.write_text(str(ends))
    with suppress(FileExistsError):
        os.link(draft, _told(mark))
    draft.unlink()


def read_errand(text: bytes | str) -> Errand:
    """The errand of its JSON. Raises Refused."""
    try:
        return from_json(text, Errand)
    except msgspec.MsgspecError as error:
        raise Refused(f"this is not an errand: {error}") from None


# What was asked becomes a harm, where the agent is.


def resolved(errand: Errand, machine: Machine) -> Order:
    """The order to do it here. Raises Refused."""
    inside = place_of(errand)
    return order(errand.mark, errand.deadline, harm_of(errand.wish, inside, machine), inside)


def harm_of(wish: Wish, inside: Inside, machine: Machine) -> Harm:
    """The harm that a wish is, in that place. Raises Refused."""
    match wish:
        case Impair():
            return _impairing(wish, inside, machine)
        case Cut():
            return Partition(traffic=wish.traffic, how="reject" if wish.refuse else "drop")
        case Names():
            return wish.lookups.harm(_servers(wish.lookups, inside, machine))
        case Calls():
            return wish.requests.harm(machine.envoy(), wish.ports, wish.direction, wish.addresses)
        case Press():
            return _pressing(wish, inside, machine)


def _impairing(wish: Impair, inside: Inside, machine: Machine) -> Harm:
    interface = wish.interface or machine.usual_interface(inside, wish.traffic.peers)
    if interface not in (there := machine.interfaces(inside)):
        raise Refused(f"the pod has no interface {interface}", hint=f"it has {', '.join(there)}")
    offers = machine.offers()
    mechanism = choose(wish.mechanism, offers, interface, wish.impairment, wish.traffic)
    if mechanism in ("netem", "tbf") and wish.traffic.direction != "in":
        root = machine.root_qdisc(interface, inside)
        if root and wish.mechanism == "auto" and not _stands_in_the_way("tun", offers, wish):
            mechanism = "tun"
        elif root:
            raise Refused(
                f"{interface} of the pod has the root qdisc {root}, which is somebody's",
                hint="choose another interface, or mechanism: tun",
            )
    return harm_by(
        mechanism, offers, interface, wish.impairment, wish.traffic,
        ingress_was=machine.has_ingress(interface, inside),
        filtered=machine.filters_coming_in(interface, inside),
    )  # fmt: skip


def _stands_in_the_way(mechanism: Mechanism, offers: Offers, wish: Impair) -> bool:
    try:
        choose(mechanism, offers, wish.interface, wish.impairment, wish.traffic)
    except Refused:
        return True
    return False


def _servers(lookups: Lookups, inside: Inside, machine: Machine) -> tuple[str, ...]:
    root = f"/proc/{inside.pid}/root" if inside.pid else ""
    servers = lookups.servers or tuple(machine.name_servers(f"{root}/etc/resolv.conf"))
    if not servers and inside.pid:  # what holds a pod together has no such file; we have the same
        servers = tuple(machine.name_servers("/etc/resolv.conf"))
    if not servers:
        raise Refused(
            "the pod's /etc/resolv.conf names no name server",
            hint="say which ones: servers: [10.96.0.10]",
        )
    return servers


def _pressing(wish: Press, inside: Inside, machine: Machine) -> Harm:
    asked = wish.cpu or wish.memory or wish.io
    if asked is None:
        raise Refused("an errand presses on one resource")
    by = shutil.which("stress-ng") or ""
    if asked.mechanism == "worker":
        by = ""
    if asked.mechanism == "stress-ng" and not by:
        raise Refused("the agent's image has no stress-ng", hint="mechanism: worker needs none")
    if isinstance(asked, Busy):
        return asked.harm(machine.processors(), by)
    if isinstance(asked, Taken):
        return asked.harm(machine.memory(inside.pid), by)
    space = machine.space(asked.directory, inside.pid)
    return asked.harm(asked.directory, space, by)


def candidates(errand: Errand, machine: Machine) -> list[Harm]:
    """Every harm that this errand could have become here."""
    wish, inside = errand.wish, place_of(errand)
    if not isinstance(wish, Impair):
        return [harm_of(wish, inside, machine)]
    offers, found = machine.offers(), []
    interface = wish.interface or machine.usual_interface(inside, wish.traffic.peers)
    for mechanism in NAMES:
        with suppress(Refused):
            choose(mechanism, offers, interface, wish.impairment, wish.traffic)  # type: ignore[arg-type]
            found.append(harm_by(mechanism, offers, interface, wish.impairment, wish.traffic))
    return found


# Where a pod is on its node


def place_of(errand: Errand) -> Inside:
    """Where to act, found among the processes of the node. Raises Gone."""
    if not errand.pod:
        return Inside()
    if errand.container:
        see_all_cgroups()
        pid = first_process(errand.pod, errand.container)
        return Inside(pid=pid, joins=("cgroup",), ends_with_it=True).found()
    return Inside(pid=first_process(errand.pod), ends_with_it=True).found()


def first_process(pod: str, container: str = "") -> int:
    """The process of a pod, or of one of its containers, that started first.

    Of a pod that is what holds its network: it stays when a container is started again.
    """
    marks = {pod, pod.replace("-", "_")}
    found = [
        each.identity
        for each in procfs.processes()
        if not each.kernel
        and any(mark in (group := _cgroup(each.pid)) for mark in marks)
        and container in group
    ]
    if not found:
        what = f"container {container[:12]}" if container else f"pod {pod}"
        raise Gone(f"no process of {what} is on this node")
    return min(found, key=lambda identity: (identity.started, identity.pid)).pid


def _cgroup(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:  # it ended
        return ""


def see_all_cgroups() -> None:
    """Join the cgroup namespace of the node: paths of groups are as its file system has them."""
    with suppress(OSError):
        own, first = (os.stat(f"/proc/{each}/ns/cgroup").st_ino for each in ("self", 1))
        if own == first:
            return
        handle = os.open("/proc/1/ns/cgroup", os.O_RDONLY | os.O_CLOEXEC)
        ctypes.CDLL(None, use_errno=True).setns(handle, _CGROUPS)
        os.close(handle)


def errand_of(plain: object) -> Errand:
    """The typed errand of plain data."""
    return from_plain(plain, Errand)


_ID = re.compile(r"[a-z0-9.-]+://(?P<id>[0-9a-zA-Z]+)")


def container_id(text: str) -> str:
    """The id in `containerd://ID`, as a pod's status has it; empty for none."""
    match = _ID.fullmatch(text)
    return match["id"] if match else ""
