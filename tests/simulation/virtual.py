"""Virtual time: the engine's inbox and workers without threads and without waiting.

One `Time` is shared by every engine of a simulation, so that several drivers live in the
same world. Work is done at a virtual moment after it was asked for, and its answer arrives
at another; either may come long after everybody stopped waiting.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable
from itertools import count
from queue import Empty

from chaosrun.inbox import Message
from chaosrun.workers import Lane


class Crash(BaseException):
    """The driver's process dies here."""


class Time:
    """A clock that only moves when nothing is left to do before its next event."""

    def __init__(self) -> None:
        self.now = 1_000_000.0
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = count()
        self.stall: Callable[[float, Callable[[], None]], None] = lambda delay, change: change()

    def after(self, delay: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now + delay, next(self._order), action))

    def step(self, until: float) -> bool:
        """Do the next event up to `until`; if there is none, it is `until` now."""
        if self._events and self._events[0][0] <= until:
            at, _, action = heapq.heappop(self._events)
            self.now = max(self.now, at)
            action()
            return True
        self.now = max(self.now, until)
        return False


class Inbox:
    """The engine's inbox. While `delay` is set, what is put arrives that much later."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self._messages: deque[Message] = deque()
        self.delay = 0.0
        self.crashed = False

    def put(self, message: Message, /) -> None:
        if self.delay:
            self._time.after(self.delay, lambda: self._messages.append(message))
        else:
            self._messages.append(message)

    def get(self, block: bool = True, timeout: float | None = None) -> Message:
        assert block
        assert timeout is not None, "the engine never waits without a bound"
        end = self._time.now + timeout
        while not self._messages:
            stepped = self._time.step(end)
            if self.crashed:
                raise Crash
            if not stepped and not self._messages:
                raise Empty
        return self._messages.popleft()

    def clear(self) -> None:
        self._messages.clear()
        self.crashed = False

    @property
    def waiting(self) -> bool:
        return bool(self._messages)

    def get_nowait(self) -> Message:
        if not self._messages:
            raise Empty
        return self._messages.popleft()


class Job:
    """Virtual work: once begun it runs to its end, whoever gave it up."""

    def __init__(self) -> None:
        self.begun = False
        self.given_up = False

    def give_up(self) -> None:
        self.given_up = True


class Workers:
    """Does work at virtual moments; `slow` is the share of work that hangs."""

    def __init__(self, time: Time, inbox: Inbox, rng: random.Random, slow: float = 0.0) -> None:
        self._time, self._inbox, self._rng, self._slow = time, inbox, rng, slow
        self.dead = False

    def submit(self, work: Callable[[], None], lane: Lane) -> Job:
        job = Job()
        hangs = lane in (Lane.ORDINARY, Lane.URGENT) and self._rng.random() < self._slow
        first = self._rng.random() < 0.5
        long = self._rng.uniform(0.5, 40.0)
        begin = long if hangs and first else self._rng.uniform(0.0005, 0.02)
        answer = long if hangs and not first else self._rng.uniform(0.0001, 0.002)

        def go() -> None:
            if self.dead:
                return
            self._inbox.delay = answer
            self._time.stall = self._stall
            try:
                work()
            except Crash:
                self.dead = self._inbox.crashed = True
            finally:
                self._inbox.delay = 0.0

        self._time.after(begin, go)
        return job

    def unblock(self) -> bool:
        return False

    def _stall(self, delay: float, change: Callable[[], None]) -> None:
        """The call that is being made now blocks, acts after `delay`, and answers then."""
        self._inbox.delay += delay
        self._time.after(delay, lambda: None if self.dead else change())

    def close(self) -> None:
        self.dead = True
