"""The dead man's switch: holds one harm until its deadline, whoever is gone by then (law L3).

    python -m chaosrun.mechanisms hold MARK ORDER     detached, as a child of init
    python -m chaosrun.mechanisms run MARK ORDER      the same in the foreground, as in a container
    python -m chaosrun.mechanisms look|end MARK [ORDER]
    python -m chaosrun.mechanisms sweep
    python -m chaosrun.mechanisms offers              what the kernel here can do to packets

ORDER is JSON, or `-` for standard input. One line of JSON is answered. The deadline is kept by the
wall clock or the boot clock, whichever comes first, so setting a clock back prolongs nothing.
`look`, `end` and `sweep` work from the note alone, also when the one that held it was killed.
"""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from chaosrun import procfs
from chaosrun.errors import ChaosrunError, Indeterminate, Refused
from chaosrun.mechanisms import systemd
from chaosrun.mechanisms.directory import runtime_directory
from chaosrun.mechanisms.harm import Harm, Here, Order, Seen
from chaosrun.mechanisms.inside import Gone
from chaosrun.mechanisms.notes import Held, held, read_note
from chaosrun.place import same_boot, still_here
from chaosrun.procfs import Identity

SIGN = ("-m", "chaosrun.mechanisms")
"""What the command line of one that holds a harm has, then a word of `HOLDING`, then the mark."""
HOLDING = ("hold", "run", "agent")

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)
_LOOK_AT_CLOCK = 0.5
_LOOK_AT_PROCESS = 0.1
_ENDS_WITHIN = 10.0
_GONE_WITHIN = 2.0
_HELD_WITHIN = 0.1
_TAKEN_WITHIN = 5.0
_LONGEST_PAUSE = 5.0
Say = Callable[[Seen | ChaosrunError], None]


def hold(order: Order, say: Say) -> None:
    """Do it, tell, and undo it at the deadline or when a signal asks to. Returns when it is gone.

    Signals are waited for, never handled in the middle of something. `say` is called once.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    ends = time.clock_gettime(time.CLOCK_BOOTTIME) + order.deadline - time.time()

    def left() -> float:
        return min(order.deadline - time.time(), ends - time.clock_gettime(time.CLOCK_BOOTTIME))

    try:
        if left() <= 0:
            raise Refused("the deadline has passed")
        harm = order.typed()
        with _taken(order, say) as note:
            if note is not None:
                _hold(order, harm, note, left, say)
    except ChaosrunError as error:
        say(error)


def _hold(order: Order, harm: Harm, note: Held, left: Callable[[], float], say: Say) -> None:
    here = Here(order.mark, order.deadline, str(runtime_directory()), order.inside)
    note.write(order)
    armed = systemd.arm(order)
    try:
        here.prepare()
        order.inside.join()
    except ChaosrunError:
        systemd.disarm(armed)
        note.remove()
        raise
    answer: Seen | ChaosrunError
    try:
        harm.apply(here)
        answer = harm.look(here)
        if not answer.there:
            answer = Indeterminate(f"it was done and is not to be seen: {answer.detail}")
    except ChaosrunError as error:
        answer = error
    except Exception as error:  # noqa: BLE001 - the top of a daemon: what it did must be undone
        answer = Indeterminate(f"{type(error).__name__}: {error}")
    if isinstance(answer, Seen):
        say(answer)
        while (rest := left()) > 0:
            look_again = _LOOK_AT_PROCESS if order.inside.ends_with_it else _LOOK_AT_CLOCK
            if signal.sigtimedwait(ENDING, min(rest, look_again)) is not None:
                break
            if order.inside.over():
                break
            if harm.ends_with_workers and here.lost_worker():
                break
    _remove_until_gone(harm, here)
    systemd.disarm(armed)
    note.remove()
    if isinstance(answer, ChaosrunError):
        say(answer)


def _remove_until_gone(harm: Harm, here: Here) -> None:
    """It is owed for as long as this process lives."""
    pause = 0.05
    while not _removed(harm, here):
        time.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE)


def _removed(harm: Harm, here: Here) -> bool:
    try:
        with suppress(ChaosrunError):  # removing will tell
            harm.release(here)
        here.end_workers()
        harm.remove(here)
        return not harm.look(here).any
    except Exception:  # noqa: BLE001 - the top of a daemon: it tries again
        return False


@contextmanager
def _taken(order: Order, say: Say) -> Iterator[Held | None]:
    """The note with its lock; None when another process holds this very order, which was told."""
    until = time.monotonic() + _TAKEN_WITHIN
    while True:
        try:
            with held(order.mark, within=_HELD_WITHIN) as note:
                yield note
                return
        except Indeterminate:
            if time.monotonic() > until:
                raise
        with suppress(ChaosrunError):
            seen = look(order)
            if seen.there and read_note(order.mark) == order:
                say(seen)
                yield None
                return


def holders() -> dict[str, list[Identity]]:
    """The processes that hold harms, also those that only begin to, by mark."""
    found: dict[str, list[Identity]] = {}
    for each in procfs.processes():
        if mark := held_by(each.words):
            found.setdefault(mark, []).append(each.identity)
    return found


def held_by(words: tuple[str, ...]) -> str:
    """The mark that a process with this command line holds, if it is one of ours."""
    for at in range(1, len(words) - 3):
        if words[at : at + 2] == SIGN and words[at + 2] in HOLDING:
            return words[at + 3]
    return ""


def look(order: Order) -> Seen:
    """Whether the harm is there now. Joins its namespaces: for a process of its own, or here."""
    if not _still_there(order):
        return Seen(False, "the machine was restarted since")
    here = Here(order.mark, order.deadline, str(runtime_directory()), order.inside)
    here.prepare()
    try:
        order.inside.join()
    except Gone as gone:
        return Seen(False, str(gone))
    return order.typed().look(here)


def end(mark: str, order: Order | None = None) -> Seen:
    """Undo it whoever holds it, see that it is gone, and remove the word of it.

    Raises Indeterminate when it is still there.
    """
    order = order or read_note(mark)
    if order is not None and not _still_there(order) and not order.typed().survives_restart:
        return Seen(False, "the machine was restarted since")
    _end_holders(mark)
    order = order or read_note(mark)
    if order is None:
        return Seen(False, "there is no word of it")
    here = Here(mark, order.deadline, str(runtime_directory()), order.inside)
    with held(mark, within=_ENDS_WITHIN) as note:
        harm = order.typed()
        here.prepare()
        try:
            order.inside.join()
        except Gone as gone:
            here.end_workers()
            seen = Seen(False, str(gone))
        else:
            with suppress(ChaosrunError):
                harm.release(here)
            here.end_workers()
            harm.remove(here)
            seen = harm.look(here)
        if seen.any:
            raise Indeterminate(f"it is still there: {seen.detail}")
        systemd.disarm(systemd.unit(mark))
        note.remove()
    return seen


def _still_there(order: Order) -> bool:
    """Whether what it did can be there, and be seen. False when the machine was restarted since.

    Raises Refused on another machine, and in another container that does not see it.
    """
    try:
        return still_here(order.place)
    except Refused:
        held_in = order.typed().held_in if same_boot(order.place) else "processes"
        if held_in == "engine" or (held_in == "network" and order.inside.is_seen):
            return True
        raise


def _end_holders(mark: str) -> None:
    """Ask who holds it to end; what does not is killed, and what it did is ours to undo."""
    while found := holders().get(mark, []):  # one may start while we look for it
        for identity in found:
            for number, within in ((signal.SIGTERM, _ENDS_WITHIN), (signal.SIGKILL, _GONE_WITHIN)):
                if _signalled(identity, number, within):
                    break
            else:
                raise Indeterminate(f"process {identity.pid}, which holds it, does not end")


def _signalled(identity: Identity, number: int, within: float) -> bool:
    """Signal exactly that process, and wait; whether it is gone."""
    try:
        handle = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return True
    try:
        if procfs.runs(identity):  # looked at after the handle was taken: no mistake
            signal.pidfd_send_signal(handle, number)
            select.select([handle], [], [], within)
    except ProcessLookupError:
        return True
    except PermissionError:
        raise Refused(f"not allowed to end process {identity.pid}", hint="run as root") from None
    finally:
        os.close(handle)
    return not procfs.runs(identity)
