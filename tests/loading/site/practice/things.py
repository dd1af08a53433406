"""A fault, a probe and a gate with one argument of each sort."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from chaosrun.fault import Fault, Reversal
from chaosrun.gate import Gate
from chaosrun.probe import Probe
from chaosrun.targeting import Pick
from chaosrun.units import JSON, Duration, Share, Size


def connect() -> None:
    raise AssertionError("loading a file must not connect to anything")


class Port(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: Annotated[int, Meta(ge=1, le=65535)]
    direction: Literal["in", "out"] = "in"


class Place(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(min_length=1)]
    pick: Pick = Pick("one")


class Mode(StrEnum):
    HARD = "hard"
    SOFT = "soft"


class Push(Fault[None], frozen=True, kw_only=True):
    """Push something over."""

    name: ClassVar[str] = "practice.push"

    target: Place
    force: Annotated[int, Meta(ge=1, le=10)]
    delay: Duration = Duration(0)
    share: Share | None = None
    size: Size = Size(1)
    mode: Mode = Mode.HARD
    to: tuple[Port, ...] = ()
    note: Annotated[str, Meta(pattern="^[a-z]+$")] = "none"
    dry_run: bool = False
    tags: dict[str, str] = {}
    factor: float = 1.0

    def __post_init__(self) -> None:
        if self.mode is Mode.SOFT and self.force > 5:
            raise ValueError("a soft push has a force of at most 5")


class Drop(Fault[None], frozen=True, kw_only=True):
    """Drop something for good."""

    name: ClassVar[str] = "practice.drop"
    reversal: ClassVar[Reversal] = Reversal.IRREVERSIBLE


class Maybe(Fault[None], frozen=True, kw_only=True):
    """Something that can be undone with the right argument only."""

    name: ClassVar[str] = "practice.maybe"
    restart: bool = True

    @property
    def reversal(self) -> Reversal:  # type: ignore[override]
        return Reversal.REVERTED if self.restart else Reversal.IRREVERSIBLE


class Load(msgspec.Struct, frozen=True):
    p99: Duration
    errors: float


class Seen(msgspec.Struct, frozen=True):
    status: int
    latency: Duration
    value: float
    ok: bool
    text: str
    headers: dict[str, str]
    load: Load
    json: Any = None
    items: tuple[int, ...] = ()
    days: float | None = None


class Look(Probe[None, Seen], frozen=True, kw_only=True):
    """Look at something."""

    name: ClassVar[str] = "practice.look"
    Result = Seen

    url: Annotated[str, Meta(pattern="^https?://")]
    timeout: Duration = Duration(2)
    headers: dict[str, str] = {}
    extra: JSON = None


class Open(Gate[None], frozen=True, kw_only=True):
    """Open or not."""

    name: ClassVar[str] = "practice.open"
    at_least: Annotated[int, Meta(ge=0)] = 1
