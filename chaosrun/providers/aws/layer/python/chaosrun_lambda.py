"""Calls a Lambda function's handler, later or not at all while a fault is switched on.

Law (L3): the switch is the environment variable CHAOSRUN_FAULT, and holds its own deadline: past it
the handler is called as ever. A switch that cannot be read switches nothing on.
Standard library only, for every Python that Lambda runs (3.9 and later).
"""

from __future__ import annotations

import importlib
import json
import os
import random
import time
from typing import Any, Callable  # noqa: UP035 - as in the oldest of them


class ChaosrunInjectedError(Exception):
    """An error that an experiment asked for."""


def _handler(name: str) -> Callable[[Any, Any], Any]:
    module, _, function = name.rpartition(".")
    found: Callable[[Any, Any], Any] = getattr(
        importlib.import_module(module.replace("/", ".")), function
    )
    return found


def _switch(text: str) -> dict[str, Any]:
    """What is switched on; nothing unless all of it makes sense."""
    try:
        read = json.loads(text)
        return {
            "until": float(read["until"]),
            "latency": max(0.0, float(read.get("latency", 0))),
            "error": str(read.get("error", "")),
            "share": float(read.get("share", 1)),
        }
    except (ValueError, TypeError, KeyError, AttributeError):
        return {}


def handle(event: Any, context: Any) -> Any:
    """The function's own answer, unless a fault is on."""
    left = _FAULT["until"] - time.time() if _FAULT else 0.0
    if left > 0 and random.random() < _FAULT["share"]:
        time.sleep(min(_FAULT["latency"], left))
        if _FAULT["error"]:
            raise ChaosrunInjectedError(_FAULT["error"])
    return _OWN(event, context)


_FAULT = _switch(os.environ.get("CHAOSRUN_FAULT", ""))
_OWN = _handler(os.environ["CHAOSRUN_HANDLER"])  # now, as Lambda would: in the init phase
