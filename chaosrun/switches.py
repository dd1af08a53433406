"""The halt switches: the journal's own, and the sources that policies name.

Law (L10): what cannot be read is on. While runs are active one unreadable answer of a source is
borne (the next one decides), as a lost packet should not stop every run; before an
injection, and when a run asks to start, none is.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Any

import msgspec

from chaosrun import arguments, discovery
from chaosrun.errors import ChaosrunError
from chaosrun.halting import AnyHaltSource, Switch
from chaosrun.journal import Halt, Journal
from chaosrun.policy.policies import Demanded
from chaosrun.secrets import Secrets, scrub, substitute
from chaosrun.units import format_seconds

MISSES = 2
"""Answers in a row that a source may owe while runs are active, before it counts as on."""
_SLACK = 0.25


class Source:
    """One halt source, with its client, its last answer and its secrets."""

    def __init__(self, demanded: Demanded, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.demanded = demanded
        ((self.name, self._given),) = demanded.written.items()
        self._secrets = Secrets(demanded.secrets)
        self._lock = Lock()
        self._kind: AnyHaltSource | None = None
        self._times = (1.0, 2.0)
        with contextlib.suppress(ChaosrunError):  # it will say so when it is read
            shape = arguments.halt_source_of(self.name, self._given)  # references are text, too
            self._times = (shape.period, shape.patience)
        self._client: Any = None
        self._answer: tuple[float, Switch] | None = None
        self.due = 0.0
        self.asked_at: float | None = None
        self.misses = 0
        self.on = False

    @property
    def every(self) -> float:
        return self._times[0]

    @property
    def timeout(self) -> float:
        return self._times[1] + _SLACK

    def read(self) -> Switch:
        """Look now. Never raises: a source that cannot be read is on."""
        try:
            with self._lock:
                kind = self._known()
                client = self._connected()
            found = kind.read(client)
            self._answer = (self._clock(), found)
        except ChaosrunError as error:
            found = Switch(True, f"it cannot be read: {error}", True)
        except Exception as error:  # noqa: BLE001 - a provider's bug: the switch counts as on
            found = Switch(True, f"it cannot be read: {type(error).__name__}: {error}", True)
        return msgspec.structs.replace(found, seen=str(scrub(found.seen, self._secrets)))

    def fresh(self) -> Switch:
        """The last answer where it is as young as those of the rounds are, else a new one."""
        answer = self._answer
        if answer is not None and self._clock() - answer[0] <= self.every + self.timeout:
            return answer[1]
        return self.read()

    def halt(self, seen: str, at: float) -> Halt:
        """What runs are told while it is on."""
        return Halt(by=f"halt source {self.name} ({self.demanded.source})", reason=seen, at=at)

    def close(self) -> None:
        if hasattr(self._client, "close"):
            self._client.close()

    def _known(self) -> AnyHaltSource:
        if self._kind is None:
            given = substitute(self._given, self._secrets)
            self._kind = arguments.halt_source_of(self.name, given)
        return self._kind

    def _connected(self) -> Any:
        if self._client is None:
            self._client = discovery.provider_of("halts", self.name).client()
        return self._client


class Switches:
    """The journal's switch and every source; asked by any thread."""

    def __init__(self, journal: Journal | None, clock: Callable[[], float]) -> None:
        self._journal = journal
        self._clock = clock
        self._lock = Lock()
        self._wanted: dict[str, Sequence[Demanded]] = {}
        self.sources: list[Source] = []

    def watch(self, run: str, demanded: Sequence[Demanded]) -> None:
        """Read these sources, too, for as long as the run goes on; they halt every run."""
        with self._lock:
            self._wanted[run] = demanded
            known = [source.demanded for source in self.sources]
            new = [one for one in demanded if one not in known]
            self.sources += [Source(one, self._clock) for one in new]

    def forget(self, run: str) -> None:
        """The run has ended: sources that no other one is under are not read any longer."""
        with self._lock:
            self._wanted.pop(run, None)
            wanted = [one for demanded in self._wanted.values() for one in demanded]
            gone = [source for source in self.sources if source.demanded not in wanted]
            self.sources = [source for source in self.sources if source not in gone]
        for source in gone:
            source.close()

    def on(self) -> Halt | None:
        """The first switch that is on, looked at now. Raises JournalUnavailable."""
        return self._first(Source.read)

    def still_on(self) -> Halt | None:
        """The same, with answers of sources as young as they are asked anyway."""
        return self._first(Source.fresh)

    @property
    def patience(self) -> float:
        """Seconds that asking all sources, one after the other, may take."""
        return sum(source.timeout for source in self.sources)

    def close(self) -> None:
        for source in self.sources:
            source.close()

    def _first(self, look: Callable[[Source], Switch]) -> Halt | None:
        halt = self._journal.halt() if self._journal is not None else None
        for source in self.sources if halt is None else ():
            found = look(source)
            if found.on:
                return source.halt(found.seen, self._clock())
        return halt


class Answered(msgspec.Struct, frozen=True):
    """What a source said when the engine asked it."""

    source: Source
    switch: Switch


class Rounds:
    """When each source is asked while runs are active, and what follows from its answers.

    Used by the engine's own thread only; the asking itself is done elsewhere.
    """

    def __init__(self, switches: Switches) -> None:
        self._switches = switches

    @property
    def next_time(self) -> float:
        return min((source.due for source in self._switches.sources), default=float("inf"))

    def due(self, now: float) -> list[Source]:
        """The sources to ask now."""
        wanted = [s for s in self._switches.sources if s.due <= now and s.asked_at is None]
        for source in wanted:
            source.asked_at = now
            source.due = now + source.timeout
        return wanted

    def silent(self, now: float) -> list[tuple[Source, str]]:
        """The sources that have come to count as on because they did not answer in time."""
        found = []
        for source in self._switches.sources:
            if source.asked_at is not None and source.due <= now:
                said = f"it did not answer within {format_seconds(round(now - source.asked_at, 1))}"
                source.due = now + source.timeout
                if self._missed(source):
                    found.append((source, said))
        return found

    def answered(self, source: Source, switch: Switch, now: float) -> bool:
        """Whether the source has been turned on since it was asked before."""
        source.asked_at, source.due = None, now + source.every
        if switch.unreadable:
            return self._missed(source)
        source.misses, turned_on = 0, switch.on and not source.on
        source.on = switch.on
        return turned_on

    @staticmethod
    def _missed(source: Source) -> bool:
        source.misses += 1
        turned_on = source.misses >= MISSES and not source.on
        source.on = source.on or turned_on
        return turned_on
