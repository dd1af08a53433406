"""What should be in flight: wishes, in the imperative. Equal effects are the same effect."""

from __future__ import annotations

from typing import Final

import msgspec

from chaosrun.events import AnyEvent, Moment

HALT_GATE: Final = -1
"""The index of the gate that every experiment has: the halt switch is off (law L10)."""


class Effect(msgspec.Struct, frozen=True):
    """Something that should be in flight. Equal effects are the same effect."""


class MeasureGate(Effect, frozen=True):
    index: int
    gate: str
    step: str = ""


class MeasurePolicy(Effect, frozen=True):
    step: str = ""


class Plan(Effect, frozen=True):
    step: str
    final: bool = False


class Sample(Effect, frozen=True):
    subject: str
    name: str
    moment: Moment


class Inject(Effect, frozen=True):
    lease: str


class LookForEffect(Effect, frozen=True):
    lease: str


class Revert(Effect, frozen=True):
    lease: str


class LookRestored(Effect, frozen=True):
    lease: str


class Record(Effect, frozen=True):
    """An event that follows from what is known; it only has to become durable."""

    event: AnyEvent


AnyEffect = (
    MeasureGate | MeasurePolicy | Plan | Sample | Inject | LookForEffect | Revert | LookRestored
    | Record
)  # fmt: skip
