"""What an engine waits for: every message comes to one inbox (law L5)."""

from __future__ import annotations

from typing import Protocol

import msgspec

from chaosrun.drive import Batch, Flight
from chaosrun.events import AnyEvent, Injected, InjectFailed, Verdict
from chaosrun.journal import Halt, Request
from chaosrun.policy.policies import Policies
from chaosrun.run import Run
from chaosrun.switches import Answered


class Ended(msgspec.Struct, frozen=True):
    """A message: an effect's event."""

    run: str
    flight: Flight
    event: AnyEvent


class Asked(msgspec.Struct, frozen=True):
    """A message: stop this run, or every run with `run` empty."""

    run: str
    verdict: Verdict
    by: str
    reason: str
    signal: int = 0
    halted: bool = False


class Heard(msgspec.Struct, frozen=True):
    """A message: the halt switch and new requests, or why they could not be read."""

    halt: Halt | None
    requests: list[Request]
    error: str = ""


class Written(msgspec.Struct, frozen=True):
    """A message: what became of the batches handed to the writer."""

    outcomes: list[tuple[Batch, Exception | None]]


class Taken(msgspec.Struct, frozen=True):
    """A message: a run that another thread has journaled is this engine's to drive."""

    run: str
    state: Run
    events: list[AnyEvent]
    """The newest of its events, which nobody has observed yet."""
    policies: Policies | None = None
    """What it is put under; None for a run that is resumed, which injects nothing any more."""


LateNews = Injected | InjectFailed
"""How an injection ended that was given up, or whose run this engine does not drive any more."""


class NotTaken(msgspec.Struct, frozen=True):
    """A message: a run that owes again by this news could not be taken up yet."""

    run: str
    news: LateNews


class Left(msgspec.Struct, frozen=True):
    """A message: nothing more will come in."""


Message = Ended | Asked | Heard | Written | Taken | NotTaken | Left | Answered


class Inbox(Protocol):
    """Where every message arrives; a SimpleQueue, or a simulated one."""

    def put(self, message: Message, /) -> None: ...

    def get(self, block: bool = True, timeout: float | None = None) -> Message: ...

    def get_nowait(self) -> Message: ...
