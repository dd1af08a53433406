"""Runs one program, and tells the kernel twice a second that it lives (see redirect.py).

A program of its own with nothing but the standard library: `python -S -I keeper.py ARGUMENTS`,
one JSON object: `words` to run, and `ports`, which it keeps in the nftables `set` until `deadline`
by `nft`. Law (L3): it dies with its parent, the program dies with it, and what it said holds
for two seconds only.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import subprocess
import sys
import time

_HOLDS_FOR = 2000
_AGAIN = 0.5
_WITHIN = 5.0


def left(deadline: float) -> int:
    """For how many milliseconds an element may be there: never beyond the deadline."""
    return max(1, min(_HOLDS_FOR, int((deadline - time.time()) * 1000)))


def die_with_parent() -> None:
    """Let the kernel kill this process when its parent ends (prctl(2))."""
    ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGKILL, 0, 0, 0)


def main(deadline: float, name: str, ports: list[int], words: list[str], nft: str) -> None:
    """Keep on until the program ends or the deadline passes."""
    die_with_parent()
    ends = time.clock_gettime(time.CLOCK_BOOTTIME) + deadline - time.time()
    program = subprocess.Popen(words, stdin=subprocess.DEVNULL, preexec_fn=die_with_parent)
    os.close(1)  # what it says goes to who reads us
    plain = ", ".join(map(str, ports))
    while min(deadline - time.time(), ends - time.clock_gettime(time.CLOCK_BOOTTIME)) > 0:
        timed = ", ".join(f"{port} timeout {left(deadline)}ms" for port in ports)
        # One transaction. Adding first makes the removal valid whether it was there or not.
        text = (
            f"add element {name} {{ {plain} }}\n"
            f"delete element {name} {{ {plain} }}\n"
            f"add element {name} {{ {timed} }}\n"
        )
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):  # it is said again soon
            subprocess.run(
                [nft, "-f", "-"], input=text.encode(), timeout=_WITHIN, check=False,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        try:
            program.wait(_AGAIN)
            break
        except subprocess.TimeoutExpired:
            continue
    program.kill()
    program.wait()


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    main(given["deadline"], given["set"], given["ports"], given["words"], given["nft"])
