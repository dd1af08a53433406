"""Ports and waiting, for tests with a lab."""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable

from chaosrun.lab.world import World


def free_first_port() -> int:
    """A first port of which a lab can have all its ports; below those the kernel gives away."""
    while True:
        first = random.SystemRandom().randrange(1100, 3200) * 10
        world = World(directory="", first_port=first, ends_at=0.0)
        if all(_is_free(port) for port in world.ports):
            return first


def _is_free(port: int) -> bool:
    with socket.socket() as trial:
        try:
            trial.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def wait_until(true: Callable[[], object], *, seconds: float = 60.0) -> None:
    """Return as soon as it is true; fail when it does not become so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not true within {seconds:g}s"
        time.sleep(0.02)
