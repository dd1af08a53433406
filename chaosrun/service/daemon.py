"""One process of the service: its threads, its signals, and how it ends.

Law (L2): a graceful stop reverts what is in place, or hands it over: what has not begun is given
back to the agenda, and what a `kill -9` leaves is taken up by another worker. A thread that ends
by a bug ends the process, so that whoever watches it starts it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from chaosrun import events as e
from chaosrun.asking import Asker, Endings
from chaosrun.clock import steady_clock
from chaosrun.engine import Engine
from chaosrun.errors import ChaosrunError, JournalUnavailable
from chaosrun.events import Verdict
from chaosrun.journal import Store
from chaosrun.journal.agenda import FireRow
from chaosrun.policed import Under
from chaosrun.service import logs
from chaosrun.service.metrics import Metrics
from chaosrun.service.queues import Queue
from chaosrun.service.scheduler import Scheduler
from chaosrun.service.worker import Worker

SWEEP: Final = 1.0
"""Seconds between two looks for what others left behind."""
_OFFER_AGAIN: Final = 1.0
_CLOCK_EVERY: Final = 5.0
_RETRY: Final = 1.0
_STALE: Final = 15.0
_GLANCE: Final = 0.1
_SIGTERM: Final = 15


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What one process is to do."""

    schedules: tuple[str, ...] = ()
    """Files and directories; none for a process that only works."""
    works: bool = True
    most: int = 32
    drain: float = 0.0
    """Seconds for which runs may go on to their own end once the process is asked to stop."""


class SharedClock:
    """The journal's time, carried on by this process's own steady clock between two looks."""

    def __init__(self, journal: Store) -> None:
        self._journal = journal
        self._steady = steady_clock()
        self._ahead = 0.0
        self._look_at = 0.0
        self._looked = False

    def __call__(self) -> float:
        """The journal's time; raises JournalUnavailable only before it was ever read."""
        mine = self._steady()
        if mine >= self._look_at:
            try:
                self._ahead = self._journal.now() - self._steady()
                self._looked = True
                self._look_at = mine + _CLOCK_EVERY
            except JournalUnavailable:
                if not self._looked:
                    raise
                self._look_at = mine + _RETRY
        return self._steady() + self._ahead


class Daemon:
    """A scheduler, a worker, or both, on one journal."""

    def __init__(
        self,
        journal: Store,
        queue: Queue,
        options: Options,
        metrics: Metrics,
        under: Callable[[], Under],
    ) -> None:
        self._journal = journal
        self._queue = queue
        self._options = options
        self._metrics = metrics
        self._clock = SharedClock(journal)
        self._endings = Endings()
        self._engine = Engine(journal, observers=[logs.observe])
        self._worker = Worker(
            journal, self._engine, Asker(self._engine, self._endings), self._clock, metrics, under
        )
        self._scheduler = Scheduler(
            journal, options.schedules, self._offer, self._engine.driver, metrics
        )
        self._stop = threading.Event()
        self._failed = ""
        self._ticked_at = self._swept_at = time.monotonic()
        self._threads: list[threading.Thread] = []
        self._troubles: dict[str, str] = {}

    @property
    def driver(self) -> str:
        return self._engine.driver

    def ask_to_stop(self, why: str) -> None:
        """Stop gracefully. May be called from any thread or signal handler, and again.

        It takes no lock: a signal may have interrupted the thread that holds it.
        """
        self._worker.stopping = self._worker.stopping or why

    def run(self) -> int:
        """Serve until asked to stop; the exit code: 0, or 6 when a part of it failed."""
        self._engine.register()
        logs.say("daemon started", driver=self.driver)
        if self._options.works:
            self._start("engine", lambda: self._engine.serve(self._ended))
            self._start("queue", lambda: self._queue.serve(self._worker.work, self._options.most))
            self._start("sweep", self._sweep)
        if self._options.schedules:
            self._start("scheduler", self._schedule)
        while not self._worker.stopping:
            time.sleep(_GLANCE)
        self._stop.set()
        logs.say("daemon stopping", reason=self._worker.stopping or self._failed)
        self._wind_down()
        logs.say("daemon stopped", driver=self.driver)
        return 6 if self._failed else 0

    def alive(self) -> list[str]:
        """What of this process is broken for good."""
        dead = [f"{t.name} has ended" for t in self._threads if not t.is_alive()]
        return ([self._failed] if self._failed else []) + dead

    def ready(self) -> list[str]:
        """Why this process does no work now."""
        found = self.alive() + [f"{who}: {what}" for who, what in self._troubles.items()]
        now = time.monotonic()
        if self._worker.stopping:
            found.append("stopping")
        if self._options.schedules and now - self._ticked_at > _STALE:
            found.append("the scheduler does not answer")
        if self._options.works and now - self._swept_at > _STALE:
            found.append("the worker does not answer")
        return found

    # --- its threads --------------------------------------------------------------------

    def _start(self, name: str, work: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                work()
            except Exception as error:  # noqa: BLE001 - the top of a daemon's thread
                self._failed = f"{name} failed: {type(error).__name__}: {error}"
                logs.wrong("failed", part=name, error=self._failed)
                self.ask_to_stop(self._failed)

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _schedule(self) -> None:
        while not self._stop.is_set():
            try:
                wait = self._scheduler.tick(self._clock())
                self._well("scheduler")
            except JournalUnavailable as error:
                self._trouble("scheduler", error)
                wait = _RETRY
            self._ticked_at = time.monotonic()
            self._stop.wait(wait)

    def _sweep(self) -> None:
        while not self._stop.is_set():
            try:
                due = self._worker.sweep()
                now = self._clock()
                self._offer([fire for fire in due if now - fire.changed_at > _OFFER_AGAIN])
                self._well("worker")
            except JournalUnavailable as error:
                self._trouble("worker", error)
            self._swept_at = time.monotonic()
            self._metrics.running.set(len(self._engine.running))
            self._metrics.halted.set(self._engine.halted)
            self._stop.wait(SWEEP)

    def _offer(self, fires: Sequence[FireRow]) -> None:
        if fires and not self._stop.is_set():
            self._queue.offer(fires)

    def _ended(self, run: str, finished: e.Finished) -> None:
        self._metrics.runs.labels(finished.verdict.value).inc()
        self._endings(run, finished)

    def _trouble(self, who: str, error: ChaosrunError) -> None:
        if who not in self._troubles:
            logs.warn("journal unavailable", part=who, reason=str(error))
        self._troubles[who] = "the journal is not available"
        self._metrics.journal.set(0)

    def _well(self, who: str) -> None:
        if self._troubles.pop(who, None):
            logs.say("journal available again", part=who)
        self._metrics.journal.set(not self._troubles)

    # --- its end ------------------------------------------------------------------------

    def _wind_down(self) -> None:
        """Let runs go on for the time allowed, then revert them; nothing new starts."""
        until = time.monotonic() + self._options.drain
        self._queue.stop()
        stopped: set[str] = set()
        while self._options.works and (self._engine.running or self._worker.busy):
            if time.monotonic() >= until:
                for run in set(self._engine.running) - stopped:
                    self._engine.stop(
                        run, Verdict.CANCELLED, "SIGTERM", self._worker.stopping, _SIGTERM
                    )
                    stopped.add(run)
            if "engine" in self._failed:
                break
            time.sleep(0.05)
        self._engine.leave()
        for thread in self._threads:
            thread.join(10)
        self._engine.close()
        self._queue.close()
