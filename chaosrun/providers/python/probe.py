"""An observation by a Python function of a person's own."""

from __future__ import annotations

import time
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.probe import Probe
from chaosrun.providers.python.client import Python, checked
from chaosrun.providers.python.fault import Path, Reference
from chaosrun.units import JSON, Duration


class PythonResult(msgspec.Struct, frozen=True):
    """What the function returned, and how long it took."""

    value: JSON
    seconds: float


class PythonProbe(Probe[Python, PythonResult], frozen=True, kw_only=True):
    """Call a Python function of your own; it returns plain data to hold an expectation against.

    What it raises means that nothing is known. Past `timeout` the sample is unknown, but the
    function itself cannot be cut off: give its own calls time limits.
    """

    name: ClassVar[str] = "python"
    Result = PythonResult
    example: ClassVar[dict[str, JSON]] = {
        "with": {"function": "shop.probes:queue_length", "arguments": {"queue": "orders"}},
        "expect": "value < 100",
    }

    function: Reference
    arguments: Annotated[
        dict[str, JSON], Meta(description="Keyword arguments that it is given")
    ] = {}
    path: Path = ()
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(10)

    def __post_init__(self) -> None:
        checked("function", self.function)
        if not self.timeout:
            raise ValueError("timeout must be longer than 0s")

    def observe(self, client: Python) -> PythonResult:
        path, began = client.path(self.path), time.monotonic()
        value = client.plain(client.call(self.function, self.arguments, path), self.function)
        seconds = time.monotonic() - began
        if seconds > self.timeout.seconds:
            raise Refused(f"{self.function} took {seconds:.3g}s, longer than {self.timeout}")
        return PythonResult(value, seconds)
