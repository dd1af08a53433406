"""The contract of a halt source: a switch outside of chaosrun that halts everything.

Law (L10): a source that cannot be read is on. It is read while runs are active, before each
injection, and when a run asks to start.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, TypeVar

import msgspec
from msgspec import Meta

from chaosrun.units import JSON, Duration

ClientT = TypeVar("ClientT")


class Switch(msgspec.Struct, frozen=True):
    """What a source says: whether it is on, and what was seen there.

    `unreadable` when it did not say so itself, and is on because nobody could look.
    """

    on: bool
    seen: str
    unreadable: bool = False


class HaltSource(
    msgspec.Struct,
    Generic[ClientT],
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    rename="camel",
):
    """A switch somewhere else. Its fields are what a person writes under its name."""

    name: ClassVar[str]
    example: ClassVar[dict[str, JSON]] = {}

    every: Annotated[Duration, Meta(description="How often it is read while runs are active")] = (
        Duration(1)
    )
    timeout: Annotated[
        Duration, Meta(description="After this long without an answer it counts as on")
    ] = Duration(2)

    def read(self, client: ClientT) -> Switch:
        """Look once. Whatever it raises means that the switch is on."""
        raise NotImplementedError


AnyHaltSource = HaltSource[Any]
