"""Stops processes and continues them at a deadline, whoever is gone by then (laws L3 and L5).

A program of its own, with nothing but the standard library, so that it is small and starts
quickly:  python -S -I watchdog.py chaosrun-watchdog MARK DEADLINE NOTE PID@STARTED...

It is the only one that stops them, so none is ever stopped without it. It lives in a session of
its own as a child of init. It prints `paused` when all are stopped, or why not, and then waits
for the deadline: by the wall clock or the boot clock, whichever comes first, so setting a clock
back prolongs nothing. A signal that asks it to end makes it continue them at once.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time

SIGN = "chaosrun-watchdog"
_LOOK_AT_CLOCK = 1.0
_STOPPED_WITHIN = 2.0
_CAN_BE_REAPED = "ZXx"


def _state(pid: int, started: int) -> str:
    """The state letter of exactly that process; empty when it has ended."""
    try:
        with open(f"/proc/{pid}/stat", errors="replace") as file:
            fields = file.read().rpartition(")")[2].split()
    except OSError:
        return ""
    return fields[0] if int(fields[19]) == started and fields[0] not in _CAN_BE_REAPED else ""


def _send(pid: int, started: int, number: int) -> None:
    """Signal exactly that process: the handle is taken before the look."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _state(pid, started):
            signal.pidfd_send_signal(handle, number)
    except ProcessLookupError:
        pass
    finally:
        os.close(handle)


def _say(text: str) -> None:
    """Tell who started us, if it still listens; then be silent."""
    with contextlib.suppress(OSError):
        os.write(1, text.encode() + b"\n")
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 1)
    os.dup2(nothing, 2)


class _AskedToEnd(Exception):
    pass


def _asked_to_end(*_: object) -> None:
    for number in _ENDING:
        signal.signal(number, signal.SIG_IGN)
    raise _AskedToEnd


_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


def _hold(targets: list[tuple[int, int]], deadline: float) -> None:
    """Stop them, and return at the deadline. Raises OSError when one may not be stopped."""
    ends = time.clock_gettime(time.CLOCK_BOOTTIME) + deadline - time.time()

    def left() -> float:
        return min(deadline - time.time(), ends - time.clock_gettime(time.CLOCK_BOOTTIME))

    if left() <= 0:
        _say("the deadline has passed")
        return
    for pid, started in targets:
        _send(pid, started, signal.SIGSTOP)
    until = time.monotonic() + _STOPPED_WITHIN
    while any(_state(*target) not in ("T", "") for target in targets):
        if time.monotonic() > until:
            raise OSError("not all of them stopped")
        time.sleep(0.001)
    _say("paused")
    while (rest := left()) > 0:
        time.sleep(min(rest, _LOOK_AT_CLOCK))


def main(deadline: float, note: str, targets: list[tuple[int, int]]) -> None:
    """Hold them; whatever happens, continue them and remove the note."""
    for number in _ENDING:
        signal.signal(number, _asked_to_end)
    try:
        _hold(targets, deadline)
    except _AskedToEnd:
        pass
    except OSError as error:
        _say(error.strerror or str(error))
    finally:
        for number in _ENDING:
            signal.signal(number, signal.SIG_IGN)
        for target in targets:
            with contextlib.suppress(OSError):
                _send(*target, signal.SIGCONT)
        with contextlib.suppress(OSError):
            os.unlink(note)


if __name__ == "__main__":
    if os.fork():  # so that it is a child of init, and nobody waits for it
        os._exit(0)
    os.setsid()
    pairs = [tuple(map(int, word.split("@"))) for word in sys.argv[5:]]
    main(float(sys.argv[3]), sys.argv[4], [(pid, started) for pid, started in pairs])
