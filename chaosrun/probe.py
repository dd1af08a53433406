"""The contract of a probe: one observation, with a typed result.

Law (L6): a probe says what it saw or raises; it never makes up a result.
"""

from __future__ import annotations

from typing import Any, ClassVar, Generic, TypeVar

import msgspec

from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration

ClientT = TypeVar("ClientT")
ResultT = TypeVar("ResultT", bound=msgspec.Struct)


class Probe(
    msgspec.Struct,
    Generic[ClientT, ResultT],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """A way to observe the system. Its fields are what a person writes under `with:`.

    `Result` is a frozen struct whose fields are the names an expectation may use; fields of
    type Duration are CEL durations. The class's docstring is its help.

    A harmed system is a result wherever the result type can say so (status 0, an exit code).
    What cannot be observed raises Transient or Refused: the sample is then unknown.
    """

    name: ClassVar[str]
    Result: ClassVar[type[msgspec.Struct]]
    permissions: ClassVar[tuple[Permission, ...]] = ()
    example: ClassVar[dict[str, JSON]] = {}
    """A check as a person would write it: {"with": {...}, "expect": "..."}."""

    def observe(self, client: ClientT) -> ResultT:
        """Look once. Must end within `time_needed`."""
        raise NotImplementedError

    def needs(self) -> tuple[Permission, ...]:
        """The rights that this probe needs with exactly these arguments."""
        return self.permissions

    @property
    def time_needed(self) -> Duration:
        """The longest that one observation may take; past it the sample is unknown.

        A probe with a field `timeout` needs that long, and a little to answer.
        """
        timeout = getattr(self, "timeout", None)
        seconds = timeout.seconds if isinstance(timeout, Duration) else 10.0
        return Duration(seconds + 0.25)


AnyProbe = Probe[Any, Any]
