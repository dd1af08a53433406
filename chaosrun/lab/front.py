"""The lab's front: balances reads over three replicas, and tells how they are.

A read that a replica did not answer is tried once more, on another replica; who did not
answer rests for a second. A replica that is slow for longer than two seconds is given up,
without a second try: that would only double the load.

`/change-window` says whether changes are allowed now; it is closed until somebody opens it
with `PUT`, and closed again with `DELETE`. A gate can ask it.
"""

from __future__ import annotations

import time
from itertools import count
from threading import Lock

from chaosrun.lab.metrics import Window
from chaosrun.lab.web import Answer, NoAnswer, Request, Routes, call
from chaosrun.lab.world import REPLICAS, World

_GIVE_UP_SECONDS = 2.0
_REST_SECONDS = 1.0


class Balancer:
    """Round robin over the replicas that are not resting."""

    def __init__(self, ports: dict[str, int]) -> None:
        self._ports = ports
        self._turn = count()
        self._rests_until = dict.fromkeys(ports, 0.0)
        self._lock = Lock()

    def health(self) -> dict[str, str]:
        now = time.monotonic()
        with self._lock:
            return {
                name: "ok" if until <= now else "resting"
                for name, until in self._rests_until.items()
            }

    def answer(self, request: Request) -> Answer:
        first, second = self._two()
        try:
            return self._ask(first, request)
        except TimeoutError:
            return 504, {"error": f"{first} did not answer within {_GIVE_UP_SECONDS:g}s"}
        except NoAnswer:
            pass
        try:
            return self._ask(second, request)
        except NoAnswer as error:
            return 502, {"error": f"{first} and {second} did not answer: {error}"}

    def _ask(self, name: str, request: Request) -> Answer:
        try:
            path, port = request.path, self._ports[name]
            return call(port, path, timeout=_GIVE_UP_SECONDS, request=request.id)
        except NoAnswer:
            with self._lock:
                self._rests_until[name] = time.monotonic() + _REST_SECONDS
            raise

    def _two(self) -> tuple[str, str]:
        """Whose turn it is, and who is next; the resting come last."""
        turn, health = next(self._turn), self.health()
        names = list(self._ports)
        names = names[turn % len(names) :] + names[: turn % len(names)]
        names.sort(key=lambda name: health[name] != "ok")  # stable: keeps the turns
        return names[0], names[1]


def routes(world: World) -> Routes:
    balancer = Balancer({name: world.port(name) for name in REPLICAS})
    window = Window()
    open_windows: list[float] = []

    def balanced(request: Request) -> Answer:
        began = window.begin()
        status, said = balancer.answer(request)
        window.end(began, request.path[1:], request.id, good=status < 500)
        return status, said

    def health(_: Request) -> Answer:
        replicas = balancer.health()
        degraded = any(state != "ok" for state in replicas.values())
        return 200, {"status": "degraded" if degraded else "ok", "replicas": replicas}

    def change_window(_: Request) -> Answer:
        return 200, {"open": bool(open_windows)}

    def open_window(request: Request) -> Answer:
        open_windows[:] = [time.time()]
        return change_window(request)

    def close_window(request: Request) -> Answer:
        open_windows.clear()
        return change_window(request)

    return {
        "GET /health": health,
        "GET /metrics": lambda _: (200, window.summary()),
        "GET /change-window": change_window,
        "PUT /change-window": open_window,
        "DELETE /change-window": close_window,
        **{f"GET /{name}": balanced for name in ("hello", "checkout", "catalog", "orders")},
    }
