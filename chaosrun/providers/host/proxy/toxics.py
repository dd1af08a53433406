"""What is on in a proxy, and what it comes to for bytes in one direction. No I/O.

Law: toxics are told apart by their mark and stack: delays add up, the lowest bandwidth
counts, one blackhole is enough. A toxic is gone at its deadline by the wall clock or by the
boot clock, whichever says so first, so setting a clock back prolongs nothing.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

Way = Literal["upstream", "downstream"]
WAYS: tuple[Way, Way] = ("upstream", "downstream")


class Toxic(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One set of harms under one mark; seconds and bytes per second. Zero is off."""

    mark: str
    deadline: float
    ways: tuple[Way, ...]
    latency: float = 0.0
    jitter: float = 0.0
    bandwidth: float = 0.0
    reset_share: float = 0.0
    reset_after: float = 0.0
    blackhole: bool = False
    slow_close: float = 0.0


class Seen(msgspec.Struct, kw_only=True):
    """What a toxic was seen to do, since it was set."""

    chunks: int = 0
    bytes: int = 0
    delay_total: float = 0.0
    delay_most: float = 0.0
    resets: int = 0


class Active:
    """A toxic that is on."""

    def __init__(self, toxic: Toxic) -> None:
        self.toxic = toxic
        self.since = time.time()
        self.seen = Seen()
        self.rng = random.Random(toxic.mark)
        self._ends = boot_time() + (toxic.deadline - self.since)

    @property
    def left(self) -> float:
        """Seconds to the deadline; not above zero when it has passed."""
        return min(self.toxic.deadline - time.time(), self._ends - boot_time())

    def strikes(self) -> bool:
        """Whether the next connection is one of those to reset."""
        return self.rng.random() < self.toxic.reset_share


class Link:
    """What the toxics come to for one direction; the lines of that direction read it."""

    def __init__(self) -> None:
        self.clear = True
        self.blackhole = False
        self.latency = 0.0
        self.rate = 0.0
        self.slow_close = 0.0
        self._jitters: tuple[float, ...] = ()
        self._active: tuple[Active, ...] = ()

    def become(self, active: Iterable[Active]) -> None:
        """Take these toxics, and no others, into account."""
        self._active = tuple(active)
        toxics = [each.toxic for each in self._active]
        self.latency = sum(toxic.latency for toxic in toxics)
        self.rate = min((t.bandwidth for t in toxics if t.bandwidth), default=0.0)
        self.slow_close = sum(toxic.slow_close for toxic in toxics)
        self.blackhole = any(toxic.blackhole for toxic in toxics)
        self._jitters = tuple(toxic.jitter for toxic in toxics if toxic.jitter)
        self.clear = not (
            self.latency or self.rate or self.slow_close or self.blackhole or self._jitters
        )

    def delay(self) -> float:
        """How long the next bytes are held: the latencies, each give or take its jitter."""
        if not self._jitters:
            return self.latency
        spread = sum(random.uniform(-jitter, jitter) for jitter in self._jitters)
        return max(0.0, self.latency + spread)

    def passed(self, size: int, delay: float) -> None:
        """Bytes were let through that had been held that long."""
        for each in self._active:
            seen = each.seen
            seen.chunks += 1
            seen.bytes += size
            seen.delay_total += delay
            seen.delay_most = max(seen.delay_most, delay)


class Toxics:
    """The toxics of one proxy, by mark, and the two links that they make."""

    def __init__(self) -> None:
        self.links: dict[Way, Link] = {way: Link() for way in WAYS}
        self._active: dict[str, Active] = {}

    def __iter__(self) -> Iterator[Active]:
        return iter(tuple(self._active.values()))

    def __contains__(self, active: Active) -> bool:
        return self._active.get(active.toxic.mark) is active

    def set(self, toxic: Toxic) -> Active | None:
        """Turn it on. None when just that was on already: twice is once."""
        present = self._active.get(toxic.mark)
        if present is not None and present.toxic == toxic:
            return None
        self._active[toxic.mark] = Active(toxic)
        self._relink()
        return self._active[toxic.mark]

    def clear(self, mark: str) -> bool:
        """Turn off what has that mark. False when nothing had."""
        known = self._active.pop(mark, None) is not None
        self._relink()
        return known

    def expire(self) -> bool:
        """Turn off what is past its deadline; whether there was any."""
        late = [mark for mark, active in self._active.items() if active.left <= 0]
        for mark in late:
            self.clear(mark)
        return bool(late)

    @property
    def left(self) -> float | None:
        """Seconds to the next deadline."""
        return min((active.left for active in self), default=None)

    def _relink(self) -> None:
        for way, link in self.links.items():
            link.become(active for active in self if way in active.toxic.ways)


def boot_time() -> float:
    """Seconds since the boot, suspended ones too; nobody can set this clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)
