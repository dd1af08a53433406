"""One process of the lab: `python -m chaosrun.lab.part TITLE PORT DIRECTORY`.

Law: a part ends with its supervisor (Linux), and at the lab's end whatever became of that.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from threading import Thread

from chaosrun.lab import web
from chaosrun.lab.world import Part, World, read_world

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15


def command(part: Part, world: World) -> list[str]:
    """The command line of a part; its title and port tell it from every other process."""
    module = "chaosrun.lab.part"
    return [sys.executable, "-m", module, part.title, str(part.port), world.directory]


def main(title: str, port: str, directory: str) -> None:
    world = read_world(Path(directory))
    if world is None:
        raise SystemExit(f"no lab was started in {directory}")
    if sys.platform == "linux":
        _end_with_parent()
        _show_name(title)
    Thread(target=_end_at, args=(world.ends_at,), daemon=True).start()
    name = title.removeprefix("chaosrun-lab-")
    if name == "proxy":
        # The proxy of the fault host.tcp-proxy, as anybody would run it in a real system.
        from chaosrun.providers.host.proxy.__main__ import main as run_proxy

        upstream = f"{web.HOST}:{world.port('backend')}"
        sys.exit(run_proxy(["--listen", world.proxied, "--upstream", upstream]))
    web.serve(int(port), _routes(name, world))


def _routes(name: str, world: World) -> web.Routes:
    # Imported here: each process needs only its own part.
    if name == "front":
        from chaosrun.lab import front

        return front.routes(world)
    if name == "backend":
        from chaosrun.lab import backend

        return backend.routes(world)
    if name == "traffic":
        from chaosrun.lab import traffic
        from chaosrun.lab.metrics import Window

        window = Window()
        Thread(target=traffic.send, args=(world, window), daemon=True).start()
        return traffic.routes(window)
    from chaosrun.lab import replica

    return replica.routes(world, name)


def _end_with_parent() -> None:
    """Have the kernel kill this process when its supervisor ends, even while it is stopped."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() == 1:  # it ended before we asked
        os._exit(0)


def _show_name(title: str) -> None:
    """Be `lab-replica-1` in ps(1) and in reports, not `python`; 15 letters at most."""
    name = title.removeprefix("chaosrun-").encode()
    ctypes.CDLL(None).prctl(_PR_SET_NAME, ctypes.c_char_p(name))


def _end_at(when: float) -> None:
    time.sleep(max(0.0, when + 2 - time.time()))  # the supervisor comes first
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
