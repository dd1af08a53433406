"""Another process that injects or reverts: `python -m chaosrun.testing.act ACT FAULT CONNECT`.

It reads the hold as JSON, does it, says `done`, and after an injection stays until it is killed.
"""

from __future__ import annotations

import sys
import time

from chaosrun.codec import from_json
from chaosrun.fault import Hold
from chaosrun.testing.lab import client_of, load


def main(act: str, fault: str, connect: str) -> None:
    hold = from_json(sys.stdin.buffer.read(), Hold)
    getattr(load(fault), act)(hold, client_of(connect))
    print("done", flush=True)
    if act == "inject":
        time.sleep(600)


if __name__ == "__main__":
    main(*sys.argv[1:])
