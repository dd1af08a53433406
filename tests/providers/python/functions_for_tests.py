"""Functions as a person would write them, over a dictionary of this process."""

from __future__ import annotations

import time

world: dict[str, object] = {}


def plan(key: str) -> dict[str, object]:
    return {"before": world.get(key)}


def inject(key: str, undo: object = None) -> None:
    world[key] = "broken"


def revert(key: str, undo: dict[str, object] | None = None) -> None:
    world[key] = undo["before"] if undo else None


def is_broken(key: str, undo: object = None) -> str:
    return f"{key} is broken" if world.get(key) == "broken" else ""


def is_well(key: str, undo: object = None) -> bool:
    return world.get(key) != "broken"


def true(**_: object) -> bool:
    return True


def number(**_: object) -> int:
    return 7


def fails(**_: object) -> None:
    raise ValueError("no luck")


def returns_itself() -> object:
    return returns_itself


def queue_length(queue: str) -> dict[str, object]:
    return {"queue": queue, "length": 3}


def sleeps(seconds: float) -> None:
    time.sleep(seconds)
