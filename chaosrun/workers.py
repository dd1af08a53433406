"""A bounded pool of worker threads, in lanes that do not wait for one another.

Law (L5): an effect of the urgent lane never waits for one of the ordinary lane, however
many of those hang. A thread that is given up is replaced; the given-up one ends when its
work does, and never holds up the process.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from enum import Enum
from queue import SimpleQueue

URGENT_THREADS = 256
_GIVEN_UP_AT_MOST = 512
_FEW = 8
"""Threads that short reads are shared by: more would only fight for the interpreter's lock."""
_STALLED = 0.05
"""Seconds that work may wait before one more thread helps."""


class Lane(Enum):
    """Reads; injections and reverts; writing the journal; listening to it."""

    ORDINARY = "ordinary"
    URGENT = "urgent"
    WRITER = "writer"
    LISTENER = "listener"


class Job:
    """One piece of work. `give_up()` when nobody waits for it any longer."""

    __slots__ = ("_lane", "_lock", "_state", "since", "work")

    def __init__(self, work: Callable[[], None], lane: _Lane) -> None:
        self.work = work
        self._lane = lane
        self._state = "waiting"
        self.since = time.monotonic()
        self._lock = threading.Lock()

    def begin(self) -> bool:
        """Whether the work is still wanted; if so it is running now."""
        with self._lock:
            if self._state == "given up":
                return False
            self._state = "running"
            return True

    def end(self) -> bool:
        """Whether the thread that did the work still belongs to its lane."""
        with self._lock:
            kept = self._state == "running"
            self._state = "ended"
            return kept

    def give_up(self) -> None:
        """Stop waiting. Work that has not begun never will; a running one loses its thread."""
        with self._lock:
            was, self._state = self._state, "given up"
        if was == "running":
            self._lane.lose_thread()
        elif was == "ended":
            self._state = "ended"


class _Lane:
    """Starts `few` threads at once when there is work, and up to `most` when those hang."""

    def __init__(self, name: str, most: int, few: int | None = None) -> None:
        self._name = name
        self._most = most
        self._few = most if few is None else few
        self._taken_at = 0.0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._threads = 0
        self._busy = 0
        self._lost = 0

    def submit(self, work: Callable[[], None]) -> Job:
        job = Job(work, self)
        with self._lock:
            self._busy += 1
            if self._busy > self._threads and self._threads < self._few:
                self._spawn()
        self._jobs.put(job)
        return job

    def unblock(self) -> bool:
        """Where work waits and no thread has taken any for a moment, add threads for all of it.

        Whether to ask again soon: more can be added, or the system gave none.
        """
        with self._lock:
            waiting = self._busy - self._threads
            if waiting <= 0:
                return False
            if time.monotonic() - self._taken_at > _STALLED:
                for _ in range(min(waiting, self._most - self._threads)):
                    self._spawn()
            return self._busy > self._threads and self._threads < self._most

    def lose_thread(self) -> None:
        with self._lock:
            self._threads -= 1
            self._busy -= 1
            self._lost += 1
            if self._lost <= _GIVEN_UP_AT_MOST and self._busy > self._threads:
                self._spawn()

    def _take(self, job: Job) -> None:
        """Note that work goes on; when it had to wait for long, let one more thread help."""
        self._taken_at = time.monotonic()
        if self._taken_at - job.since > _STALLED:
            with self._lock:
                if self._busy > self._threads and self._threads < self._most:
                    self._spawn()

    def close(self) -> None:
        with self._lock:
            for _ in range(self._threads):
                self._jobs.put(None)

    def _spawn(self) -> None:
        """One thread more. Where the system gives none now, `unblock` tries again."""
        name = f"chaosrun-{self._name}-{self._threads + 1}"
        with contextlib.suppress(RuntimeError):
            threading.Thread(target=self._serve, name=name, daemon=True).start()
            self._threads += 1

    def _serve(self) -> None:
        while (job := self._jobs.get()) is not None:
            self._take(job)
            if job.begin():
                job.work()
                if not job.end():
                    return  # given up meanwhile: another thread has taken this one's place
            with self._lock:
                self._busy -= 1


class Workers:
    """Runs work on threads that are made when needed. Work must not raise."""

    def __init__(self, ordinary: int = 64) -> None:
        self._lanes = {
            Lane.ORDINARY: _Lane("worker", ordinary, few=min(ordinary, _FEW)),
            Lane.URGENT: _Lane("urgent", URGENT_THREADS),
            Lane.WRITER: _Lane("writer", 1),
            Lane.LISTENER: _Lane("listener", 1),
        }

    def submit(self, work: Callable[[], None], lane: Lane) -> Job:
        """Start the work as soon as a thread of its lane is free."""
        return self._lanes[lane].submit(work)

    def unblock(self) -> bool:
        """Add threads where work waits for others that hang; whether to ask again soon."""
        again = [lane.unblock() for lane in self._lanes.values()]
        return any(again)

    def close(self) -> None:
        """Let idle threads end. Running work is not waited for."""
        for lane in self._lanes.values():
            lane.close()
