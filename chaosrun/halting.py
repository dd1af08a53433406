"""The contract of a halt source: a switch outside of chaosrun that halts everything.

Law (L10): a source that cannot be read is on. It is read while runs are active, before each
injection, and when a run asks to start.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Generic, TypeVar

import msgspec
from msgspec import Meta

from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration

ClientT = TypeVar("ClientT")


Every = Annotated[Duration, Meta(description="How often it is read while runs are active")]
Timeout = Annotated[Duration, Meta(description="After this long without an answer it counts as on")]


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
    """A switch somewhere else. Its fields are what a person writes under its name.

    Among them are `every: Every`, how often it is read, and `timeout`, how long one look may take;
    a second and two where there are none.
    """

    name: ClassVar[str]
    permissions: ClassVar[tuple[Permission, ...]] = ()
    example: ClassVar[dict[str, JSON]] = {}

    def read(self, client: ClientT) -> Switch:
        """Look once. Whatever it raises means that the switch is on."""
        raise NotImplementedError

    def needs(self) -> tuple[Permission, ...]:
        """The rights that reading it needs with exactly these arguments."""
        return self.permissions

    @property
    def period(self) -> float:
        """Seconds between two looks."""
        every = getattr(self, "every", None)
        return every.seconds if isinstance(every, Duration) else 1.0

    @property
    def patience(self) -> float:
        """Seconds after which a look that has not ended means that the switch is on."""
        timeout = getattr(self, "timeout", None)
        return timeout.seconds if isinstance(timeout, Duration) else 2.0


AnyHaltSource = HaltSource[Any]


def said(text: str, where: str) -> Switch:
    """What a text says: `off`, or `on` and why. Anything else is on."""
    word, _, why = text.strip().partition(" ")
    if word.lower() == "off":
        return Switch(False, f"{where} says off")
    if word.lower() == "on":
        return Switch(True, why.strip() or f"{where} says on")
    return Switch(True, f"{where} says neither off nor on: {' '.join(text.split())[:200]!r}")
