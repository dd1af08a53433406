"""The lab's users: a steady open loop of a few requests a second through the front.

Law: a slow system does not slow its users down. Requests start on time whatever happened
to those before; a user gives up after two seconds, and that is an error.
"""

from __future__ import annotations

import time
from itertools import cycle
from threading import Semaphore, Thread

from chaosrun.lab.metrics import Window
from chaosrun.lab.web import Answer, NoAnswer, Request, Routes, answers, call, new_id
from chaosrun.lab.world import World

EVERY_SECONDS = 0.25
_ROUTES = ("/checkout", "/catalog", "/orders", "/hello")
_GIVE_UP_SECONDS = 2.0
_MOST_AT_ONCE = 32


def routes(window: Window) -> Routes:
    def health(_: Request) -> Answer:
        """Well once users have asked for everything: from then on there is something to see."""
        everything = len(window.summary()["routes"]) == len(_ROUTES)
        return (200, {"status": "ok"}) if everything else (503, {"status": "starting"})

    return {
        "GET /health": health,
        "GET /metrics": lambda _: (200, window.summary()),
    }


def send(world: World, window: Window) -> None:
    """Send requests until the process ends, from when every other part listens."""
    front, places = world.port("front"), Semaphore(_MOST_AT_ONCE)
    while not all(answers(port, timeout=1) for port in world.ports):
        time.sleep(0.05)
    due = time.monotonic()
    for number, route in enumerate(cycle(_ROUTES)):
        time.sleep(max(0.0, due - time.monotonic()))
        due = max(due, time.monotonic() - 1)  # after a pause, no flood
        if number >= len(_ROUTES):  # the first of each at once
            due += EVERY_SECONDS
        began = window.begin()
        if places.acquire(blocking=False):
            Thread(target=_one, args=(front, route, window, began, places), daemon=True).start()
        else:
            window.end(began, route[1:], new_id(), good=False)


def _one(front: int, route: str, window: Window, began: float, places: Semaphore) -> None:
    request, good = new_id(), False
    try:
        status, _ = call(front, route, timeout=_GIVE_UP_SECONDS, request=request)
        good = status < 400
    except NoAnswer:
        pass
    finally:
        window.end(began, route[1:], request, good=good)
        places.release()
