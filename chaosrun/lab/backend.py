"""The lab's backend: prices, products and reservations, answered at once.

It counts calls, and how many distinct requests they were for, so that a retry storm shows.
Its settings are read when it starts and never again, as many real programs do: `PUT
/settings` changes what is wanted, and what is applied changes only with a restart.
"""

from __future__ import annotations

import time

import msgspec

from chaosrun.codec import from_json
from chaosrun.lab.metrics import Window
from chaosrun.lab.web import Answer, Request, Route, Routes, healthy
from chaosrun.lab.world import World
from chaosrun.units import JSON


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """How long each answer takes."""

    delay_ms: float = 0.0


def routes(world: World) -> Routes:
    file = world.file("backend-settings.json")
    calls = Window()

    def wanted() -> Settings:
        try:
            return from_json(file.read_bytes(), Settings)
        except FileNotFoundError:
            return Settings()

    applied = wanted()

    def operation(name: str, said: JSON) -> Route:
        def answer(request: Request) -> Answer:
            began = calls.begin()
            time.sleep(applied.delay_ms / 1000)
            calls.end(began, name, request.id, good=True)
            return 200, said

        return answer

    def show_settings(_: Request) -> Answer:
        return 200, {
            "wanted": msgspec.to_builtins(wanted()),
            "applied": msgspec.to_builtins(applied),
        }

    def put_settings(request: Request) -> Answer:
        try:
            settings = from_json(request.body, Settings)
        except msgspec.DecodeError as error:
            return 400, {"error": str(error)}
        file.write_bytes(msgspec.json.encode(settings))
        return show_settings(request)

    def delete_settings(request: Request) -> Answer:
        file.unlink(missing_ok=True)
        return show_settings(request)

    return {
        "GET /health": healthy,
        "GET /metrics": lambda _: (200, calls.summary()),
        "GET /price": operation("price", {"price": 42}),
        "GET /products": operation("products", {"products": ["anvil", "rocket skates"]}),
        "GET /reserve": operation("reserve", {"reserved": True}),
        "GET /settings": show_settings,
        "PUT /settings": put_settings,
        "DELETE /settings": delete_settings,
    }
