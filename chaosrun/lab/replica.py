"""One of three replicas of the lab's shop. Its routes call the backend each in its own way.

/checkout   300 ms timeout and a fallback price: survives a slow backend
/catalog    no timeout: a slow backend makes it slow, a hung one hangs it
/orders     five retries at once, without a pause: a slow backend gets six times the load
/hello      no backend at all
"""

from __future__ import annotations

from contextlib import suppress

from chaosrun.lab.metrics import Window
from chaosrun.lab.web import Answer, NoAnswer, Request, Route, Routes, call, healthy
from chaosrun.lab.world import World

_CHECKOUT_TIMEOUT = 0.3
_ORDER_TIMEOUT = 0.25
_ORDER_RETRIES = 5


def routes(world: World, name: str) -> Routes:
    backend = world.port("proxy")
    window = Window()

    def checkout(request: Request) -> Answer:
        try:
            _, said = call(backend, "/price", timeout=_CHECKOUT_TIMEOUT, request=request.id)
        except NoAnswer:
            return 200, {"price": 40, "fallback": True}
        return 200, {**said, "fallback": False}

    def catalog(request: Request) -> Answer:
        try:
            return call(backend, "/products", timeout=None, request=request.id)
        except NoAnswer as error:
            return 502, {"error": f"backend: {error}"}

    def orders(request: Request) -> Answer:
        for _ in range(1 + _ORDER_RETRIES):
            with suppress(*NoAnswer):
                return call(backend, "/reserve", timeout=_ORDER_TIMEOUT, request=request.id)
        return 503, {"error": f"backend: no answer in {1 + _ORDER_RETRIES} attempts"}

    def hello(_: Request) -> Answer:
        return 200, {"hello": "from " + name}

    def measured(route: Route) -> Route:
        def answer(request: Request) -> Answer:
            began = window.begin()
            status, said = route(request)
            window.end(began, request.path[1:], request.id, good=status < 500)
            return status, {**said, "replica": name}

        return answer

    return {
        "GET /health": healthy,
        "GET /metrics": lambda _: (200, window.summary()),
        "GET /hello": measured(hello),
        "GET /checkout": measured(checkout),
        "GET /catalog": measured(catalog),
        "GET /orders": measured(orders),
    }
