"""The loop: one inbox, many runs, a bounded pool of workers, a deadline on every effect.

Laws kept here: an injection starts only when its lease is durable (L1); reverts wait for
nothing, not even for the journal (L2, L5); every wait is on the inbox, and an effect that
exceeds its deadline becomes an event all the same (L5). What could not be journaled stops
its run: nothing more is injected, and what is owed is reverted.

An event is folded as soon as it is known, and written at once on the writer's thread;
`decide` sees the fold. Only `Inject` waits until the writer has caught up, so a driver that
lost its run to another (SequenceTaken) cannot inject.
"""

from __future__ import annotations

import contextlib
import gc
import heapq
import os
import socket
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from math import inf
from queue import Empty, SimpleQueue

import msgspec

import chaosrun
from chaosrun import commands
from chaosrun import events as e
from chaosrun.clock import steady_clock
from chaosrun.drive import Batch, Drive, Flight, denied
from chaosrun.errors import (
    ChaosrunError,
    JournalUnavailable,
    SequenceTaken,
    TargetLocked,
    TermExceeded,
)
from chaosrun.events import AnyEvent, Failure, Verdict
from chaosrun.inbox import (
    Asked,
    Ended,
    Heard,
    Inbox,
    LateNews,
    Left,
    Message,
    NotTaken,
    Taken,
    Written,
)
from chaosrun.journal import Journal
from chaosrun.perform import Clock, Performer, failed
from chaosrun.policed import Under
from chaosrun.policy.policies import Policies
from chaosrun.run import Run, decide, evolve, fold
from chaosrun.run.effects import (
    AnyEffect,
    Inject,
    LookRestored,
    Record,
    Revert,
    Sample,
)
from chaosrun.spec import Experiment
from chaosrun.switches import Answered, Rounds, Source, Switches
from chaosrun.units import JSON
from chaosrun.workers import Lane, Workers

Observer = Callable[[str, int, AnyEvent], None]
"""Called with (run, sequence, event) once the event is durable. Must be quick, must not raise."""

Told = Callable[[str, e.Finished], None]
"""Called with a run and how it ended, in the engine's thread. Must be quick, must not raise."""

_POLL = 0.2
_UNBLOCK = 0.06
_NO_ANSWER = 1.0
_MISSES = 2
_CANCEL_GRACE = 2.0
_LINGER = 5.0
_NO_ANSWER_FROM_DISK = 12.0
_JOURNAL_RETRY = 0.5
_GATHER = 0.02
_JOURNAL_PATIENCE = 15.0
_STOOD_STILL = 0.25
_COMES_ROUND = 0.1
"""Seconds that others get to answer when this process was not run for a while: nor were they."""


class Engine:
    """Drives runs until each has finished. One engine is one driver, known to the journal."""

    def __init__(
        self,
        journal: Journal,
        *,
        driver: str | None = None,
        observers: Sequence[Observer] = (),
        workers: Workers | None = None,
        inbox: Inbox | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.driver = driver or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._journal = journal
        self._observers = tuple(observers)
        self._clock = clock or steady_clock()
        self._switches = Switches(journal, self._clock)
        self._rounds = Rounds(self._switches)
        wall = time.time if clock is None else clock
        self._performer = Performer(journal, self._clock, switches=self._switches, wall=wall)
        self._workers = workers or Workers()
        self._inbox: Inbox = inbox or SimpleQueue()
        self._drives: dict[str, Drive] = {}
        self._dirty: dict[str, None] = {}  # in the order in which they came: who waited longest
        self._unwritten: dict[str, None] = {}
        self._late: list[tuple[str, LateNews]] = []
        self._late_until = 0.0
        self._take_up_at = 0.0
        self._taking_up: set[str] = set()
        self._astray: dict[Flight, tuple[str, float]] = {}
        """Injections of runs that another driver has now: of which, and until when to wait."""
        self._wakes: list[tuple[float, str]] = []
        self._deadlines: list[tuple[float, int, str, Flight]] = []
        self._writing = False
        self._write_by = 0.0
        self._write_at = 0.0
        self._hurry = False
        self._retry_at = 0.0
        self._results: dict[str, e.Finished] = {}
        self._listen_at = 0.0
        self._listening = False
        self._last_request = 0
        self._misses = 0
        self._halted = False
        self._registered = False
        self._told: Told | None = None
        self._left = False

    # --- what a caller does ---------------------------------------------------------------

    def start(
        self,
        experiment: Experiment,
        *,
        seed: int,
        digest: str = "",
        source: str = "",
        parameters: Mapping[str, JSON] | None = None,
        targets: Mapping[str, tuple[str, ...]] | None = None,
        mechanisms: Mapping[str, str] | None = None,
        run: str | None = None,
        under: Under | None = None,
    ) -> str:
        """Take on a new run and return its id. Its first event is durable on return.

        Raises JournalUnavailable when it cannot be journaled: then there is no such run.
        """
        self.register()
        under = under or Under()
        now = self._clock()
        name = run or new_run_id(now)
        started = e.Started(
            at=now, run=name, experiment=experiment, digest=digest, seed=seed,
            driver=self.driver, version=chaosrun.__version__, source=source,
            parameters=dict(parameters or {}), targets=dict(targets or {}),
            mechanisms=dict(mechanisms or {}),
            **under.noted(experiment.metadata.labels),
        )  # fmt: skip
        self._journal.append(name, 0, [started])
        self._performer.put_under(name, under.policies)
        self._adopt(name, fold([started]))
        self._observe(name, 0, started)
        return name

    def take_on(self, started: e.Started, policies: Policies) -> None:
        """`start` from any thread, for an engine that serves: the event says all of it.

        `policies` are those that it is put under, as the event has noted.

        Raises SequenceTaken when another driver has started that run, and JournalUnavailable
        when it is not known whether it is journaled: then the same event is to be taken on again.
        """
        self._journal.append(started.run, 0, [started])
        self._inbox.put(Taken(started.run, fold([started]), [started], policies))

    def take_up(self, run: str, reason: str, *news: AnyEvent) -> None:
        """`resume` from any thread, for an engine that turns. Raises as it does.

        `news` are events that became known since the run's driver left it.
        """
        self._inbox.put(self._resumed(run, reason, *news))

    def resume(self, run: str, reason: str) -> None:
        """Take up a run that its driver left, to revert what it owes.

        Raises SequenceTaken when another driver was quicker.
        """
        self.register()
        self._taken(self._resumed(run, reason))

    def _resumed(self, run: str, reason: str, *news: AnyEvent) -> Taken:
        state = fold(self._journal.events(run))
        at = max(self._clock(), state.at)
        events = [e.Resumed(at=at, driver=self.driver, reason=reason), *news]
        self._journal.append(run, state.sequence, events)
        for event in events:
            state = evolve(state, event)
        return Taken(run, state, events)

    def stop(self, run: str, verdict: Verdict, by: str, reason: str, signal: int = 0) -> None:
        """Ask a run to stop and revert. May be called from any thread or signal handler."""
        self._inbox.put(Asked(run, verdict, by, reason, signal))

    def stop_all(self, verdict: Verdict, by: str, reason: str, signal: int = 0) -> None:
        """Ask every run to stop and revert. May be called from any thread or signal handler."""
        self._inbox.put(Asked("", verdict, by, reason, signal))

    def run_of(self, run: str) -> Run:
        """The present fold of a run that this engine drives."""
        return self._drives[run].run

    def loop(self) -> dict[str, e.Finished]:
        """Drive until every run has finished, and return how each ended."""
        with _rare_searches_for_garbage():
            while self._drives or self._more_may_come:
                self._turn()
        results, self._results = self._results, {}
        return results

    def serve(self, told: Told) -> None:
        """Drive what comes in, until `leave` was called and every run has finished."""
        self._told = told
        with _rare_searches_for_garbage():
            while self._drives or self._more_may_come or not self._left:
                self._turn()

    def leave(self) -> None:
        """Let `serve` end once every run has finished. May be called from any thread."""
        self._inbox.put(Left())

    @property
    def _more_may_come(self) -> bool:
        """Whether an injection may still end, or has ended, whose run is not driven here."""
        late = bool(self._late or self._taking_up) and self._clock() < self._late_until
        return late or bool(self._astray)

    @property
    def running(self) -> tuple[str, ...]:
        """The runs that are driven here now. May be called from any thread."""
        return tuple(self._drives)

    @property
    def halted(self) -> bool:
        """Whether the halt switch was on, or could not be read, when it was last looked at."""
        return self._halted

    def close(self) -> None:
        """End the engine's threads and clients. The journal stays open: it is the caller's."""
        self._workers.close()
        self._performer.close()

    # --- one turn -------------------------------------------------------------------------

    def _turn(self) -> None:
        for message in self._messages():
            match message:
                case Ended():
                    self._ended(message)
                case Asked():
                    self._asked(message)
                case Heard():
                    self._heard(message)
                case Written():
                    self._written(message)
                case Taken():
                    self._taken(message)
                case NotTaken():
                    self._not_taken(message)
                case Left():
                    self._left = True
                case Answered():
                    self._answered(message)
        now = self._clock()
        self._expire(now)
        self._listen(now)
        self._go_round(now)
        self._miss_astray(now)
        self._take_up_late(now)
        self._miss_writes(now)
        while self._wakes and self._wakes[0][0] <= now:
            self._dirty[heapq.heappop(self._wakes)[1]] = None
        dirty, self._dirty = self._dirty, {}
        for name in dirty:
            if name in self._drives:
                self._act(name, self._drives[name])
        self._write()

    def _messages(self) -> Iterable[Message]:
        """Wait for the first message or the next time that matters; then take all there are."""
        times = [self._listen_at, self._rounds.next_time]
        if self._wakes:
            times.append(self._wakes[0][0])
        if self._deadlines:
            times.append(self._deadlines[0][0])
        if self._unwritten and not self._writing:
            times.append(self._next_write)
        if self._workers.unblock():
            times.append(self._clock() + _UNBLOCK)
        began = self._clock()
        wait = 0.0 if self._dirty else max(0.0, min(times) - began)
        found = self._arrived(wait)
        if (now := self._clock()) - began - wait > _STOOD_STILL:
            while (left := now + _COMES_ROUND - self._clock()) > 0:
                found += self._arrived(left)
        return found

    def _arrived(self, wait: float) -> list[Message]:
        """All there is, once there is one; nothing after `wait` seconds without any."""
        found: list[Message] = []
        with contextlib.suppress(Empty):
            found.append(self._inbox.get(timeout=wait))
            while True:
                found.append(self._inbox.get_nowait())
        return found

    def _ended(self, message: Ended) -> None:
        drive, flight, event = self._drives.get(message.run), message.flight, message.event
        if drive is not None and drive.flights.get(flight.effect) is flight:
            del drive.flights[flight.effect]
            self._happened(message.run, drive, event)
        elif isinstance(event, e.Injected | e.InjectFailed):  # nobody waited for it any more
            event = msgspec.structs.replace(event, late=True)
            self._astray.pop(flight, None)
            if drive is None:
                self._is_late(message.run, event)
            else:
                drive.given_up.discard(flight)
                self._comes_late(message.run, drive, event)

    def _comes_late(self, name: str, drive: Drive, news: LateNews) -> None:
        """A look whether its lease is restored is dropped: it may have seen what was before."""
        flight = drive.flights.pop(LookRestored(news.lease), None)
        if flight is not None:
            flight.give_up()
        self._happened(name, drive, news)

    def _is_late(self, name: str, news: LateNews) -> None:
        self._late.append((name, news))
        self._late_until = self._clock() + _JOURNAL_PATIENCE

    def _asked(self, message: Asked) -> None:
        names = [message.run] if message.run else list(self._drives)
        for name in names:
            drive = self._drives.get(name)
            if drive is None or drive.run.finished:
                continue
            verdict = message.verdict
            if message.halted and not drive.run.leases:
                verdict = Verdict.REFUSED  # nothing was injected: as its gate would have said
            event = e.StopRequested(
                at=self._clock(), verdict=verdict, by=message.by,
                reason=message.reason, signal=message.signal,
            )  # fmt: skip
            self._happened(name, drive, event)

    def _happened(self, name: str, drive: Drive, event: AnyEvent) -> None:
        """An event of this engine's clock becomes one of the run's time."""
        if drive.ahead:
            event = msgspec.structs.replace(event, at=event.at + drive.ahead)
        self._fold(name, drive, event)

    def _fold(self, name: str, drive: Drive, event: AnyEvent) -> None:
        drive.run = evolve(drive.run, event)
        drive.pending.append(event)
        self._unwritten[name] = None
        self._hurry = self._hurry or not isinstance(event, e.Sampled)
        self._dirty[name] = None

    def _miss_astray(self, now: float) -> None:
        """What does not say how it ended may have acted after the other driver had looked."""
        for flight, (name, until) in list(self._astray.items()):
            if now >= until:
                del self._astray[flight]
                event = _unanswered(flight, now)
                assert isinstance(event, e.InjectFailed)
                self._is_late(name, msgspec.structs.replace(event, late=True))

    def _take_up_late(self, now: float) -> None:
        """An injection that was given up ended after its run did: the run owes again."""
        late, self._late = self._late, []
        for name, news in late:
            if (drive := self._drives.get(name)) is not None:  # it was taken up meanwhile
                self._comes_late(name, drive, news)
            elif name in self._taking_up or now < self._take_up_at:
                self._late.append((name, news))
            else:
                self._taking_up.add(name)
                self._workers.submit(partial(self._take_up_with, name, news), Lane.URGENT)

    def _take_up_with(self, name: str, news: LateNews) -> None:
        """On a worker's thread: the journal may not answer, and others are not to wait for it."""
        try:
            self.take_up(name, "an injection ended after the run did", news)
        except Exception:  # noqa: BLE001 - top of a thread: whatever it was, it is tried again
            self._inbox.put(NotTaken(name, news))

    def _not_taken(self, message: NotTaken) -> None:
        self._taking_up.discard(message.run)
        self._late.append((message.run, message.news))
        self._take_up_at = self._clock() + _JOURNAL_RETRY

    def _expire(self, now: float) -> None:
        """Give up effects past their deadline: they may have happened, and nobody waits."""
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, name, flight = heapq.heappop(self._deadlines)
            drive = self._drives.get(name)
            if drive is None or drive.flights.get(flight.effect) is not flight:
                continue
            del drive.flights[flight.effect]
            if isinstance(flight.effect, Inject):
                drive.given_up.add(flight)
            flight.give_up()
            self._happened(name, drive, _unanswered(flight, now))

    # --- deciding and acting --------------------------------------------------------------

    def _act(self, name: str, drive: Drive) -> None:
        now = self._clock()
        decision = decide(drive.run, now + drive.ahead)
        while (record := _first_record(decision.effects)) is not None:
            self._fold(name, drive, record.event)
            decision = decide(drive.run, now + drive.ahead)
        if drive.run.finished is not None:
            self._abandon(drive)
            self._finish_if_written(name, drive)
            return
        wanted = set(decision.effects)
        for effect, flight in drive.flights.items():
            if effect not in wanted:
                self._cancel(name, flight, now)
        for effect in decision.effects:
            if effect not in drive.flights and self._may_start(drive, effect):
                self._begin(name, drive, effect, now)
        if decision.wake < inf and decision.wake != drive.wake:
            drive.wake = decision.wake
            heapq.heappush(self._wakes, (decision.wake - drive.ahead, name))

    def _may_start(self, drive: Drive, effect: AnyEffect) -> bool:
        match effect:
            case Inject(lease):
                return drive.durable.step_of(lease) is not None  # law L1: its lease is durable
            case Revert(lease) | LookRestored(lease):
                return Inject(lease) not in drive.flights
        return True

    def _begin(self, name: str, drive: Drive, effect: AnyEffect, now: float) -> None:
        flight = Flight(effect, now, now + self._performer.seconds(drive.run, effect))
        drive.flights[effect] = flight
        run, inbox, performer = drive.run, self._inbox, self._performer

        def work() -> None:
            outer = commands.current.set(flight.cancellation)
            try:
                inbox.put(Ended(name, flight, performer.perform(run, effect)))
            finally:
                commands.current.reset(outer)  # the thread's next work may be no effect at all

        urgent = isinstance(effect, Inject | Revert | LookRestored)
        lane = Lane.URGENT if urgent else Lane.ORDINARY
        flight.job = self._workers.submit(work, lane)
        heapq.heappush(self._deadlines, (flight.deadline, id(flight), name, flight))

    def _cancel(self, name: str, flight: Flight, now: float) -> None:
        """End an effect that is no longer wanted: its commands now, its wait soon."""
        if flight.cancellation.cancelled or isinstance(flight.effect, Sample):
            return  # a sample that nobody wants is let run out: it only reads
        flight.cancellation.cancel()
        if flight.deadline > now + _CANCEL_GRACE:
            flight.deadline = now + _CANCEL_GRACE
            heapq.heappush(self._deadlines, (flight.deadline, id(flight), name, flight))

    def _abandon(self, drive: Drive) -> None:
        for flight in drive.flights.values():
            flight.give_up()
        drive.flights.clear()

    # --- the journal ------------------------------------------------------------------------

    @property
    def _next_write(self) -> float:
        return self._retry_at if self._hurry else max(self._retry_at, self._write_at)

    def _write(self) -> None:
        """Write what is known now; where nothing waits for it, a moment's worth at once."""
        if self._writing or self._clock() < self._next_write:
            return
        self._hurry = False
        drives = [(name, self._drives[name]) for name in self._unwritten if name in self._drives]
        self._unwritten.clear()
        batch = [Batch(n, d, list(d.pending)) for n, d in drives if d.pending]
        if batch:
            self._writing = True
            self._write_by = self._clock() + _NO_ANSWER_FROM_DISK
            self._workers.submit(lambda: self._append(batch), Lane.WRITER)

    def _miss_writes(self, now: float) -> None:
        """A write that does not answer is a write that failed, until it answers."""
        if self._writing and now > self._write_by:
            self._write_by = now + _JOURNAL_RETRY
            for name, drive in list(self._drives.items()):
                if drive.pending:
                    silent = JournalUnavailable("the journal does not answer")
                    self._not_written(name, drive, silent)

    def _append(self, batch: list[Batch]) -> None:
        """On the writer's thread: many runs with one sync to disk."""
        errors: list[Exception | None]
        try:
            errors = self._journal.append_many([(b.run, b.sequence, b.events) for b in batch])
        except ChaosrunError as error:
            errors = [error] * len(batch)
        except Exception as error:  # noqa: BLE001 - top of a thread: its bug must stop the runs
            errors = [JournalUnavailable(f"{type(error).__name__}: {error}")] * len(batch)
        self._inbox.put(Written(list(zip(batch, errors, strict=True))))

    def _written(self, message: Written) -> None:
        self._writing = False
        self._write_at = self._clock() + _GATHER
        for batch, error in message.outcomes:
            name, drive, count = batch.run, batch.drive, len(batch.events)
            if self._drives.get(name) is not drive:
                continue  # it was dropped meanwhile
            if drive.pending:
                self._unwritten[name] = None  # there may be more, or the same again
            match error:
                case None:
                    self._made_durable(name, drive, count)
                case SequenceTaken():
                    self._lost(name, drive)
                case TargetLocked() | TermExceeded():
                    self._denied(drive, error)
                case _:
                    self._not_written(name, drive, error)
            self._dirty[name] = None

    def _made_durable(self, name: str, drive: Drive, count: int) -> None:
        drive.unwritten_since = None
        written, drive.pending = drive.pending[:count], drive.pending[count:]
        for event in written:
            sequence = drive.durable.sequence
            drive.durable = evolve(drive.durable, event)
            self._observe(name, sequence, event)
        if drive.run.finished is not None:
            self._finish_if_written(name, drive)

    def _lost(self, name: str, drive: Drive) -> None:
        """Another driver has the run: nothing here may act on it any more.

        It may have reverted and looked before an injection of ours landed; whatever ours
        has done or still does is late news, and makes the run owe again.
        """
        for event in drive.pending:
            if isinstance(event, e.Injected | e.InjectFailed):
                self._is_late(name, msgspec.structs.replace(event, late=True))
        going = [flight for flight in drive.flights.values() if isinstance(flight.effect, Inject)]
        for flight in (*going, *drive.given_up):
            self._astray[flight] = (name, self._clock() + _LINGER)
        self._abandon(drive)
        self._drop(name, drive, Verdict.ERROR, "another driver took the run over")

    def _denied(self, drive: Drive, error: TargetLocked | TermExceeded) -> None:
        """The lease was not granted: fold again with the denial in its place."""
        events, drive.pending, drive.run = drive.pending, [], drive.durable
        for event in events:
            if isinstance(event, e.Leased):
                event = denied(event, error) or event
            drive.run = evolve(drive.run, event)
            drive.pending.append(event)

    def _not_written(self, name: str, drive: Drive, error: Exception) -> None:
        """What cannot be journaled is not injected; what is owed is reverted all the same."""
        now = self._clock()
        self._retry_at = now + _JOURNAL_RETRY
        if drive.unwritten_since is None:
            drive.unwritten_since = now
        if drive.run.stop is None and drive.run.finished is None:
            event = e.StopRequested(at=now, verdict=Verdict.ERROR, by="journal", reason=str(error))
            self._happened(name, drive, event)
        given_up = now - drive.unwritten_since > _JOURNAL_PATIENCE
        if given_up and drive.run.finished is not None:
            stranded = drive.run.finished.verdict is Verdict.STRANDED
            verdict = Verdict.STRANDED if stranded else Verdict.ERROR
            self._drop(name, drive, verdict, f"the end could not be journaled: {error}")

    def _finish_if_written(self, name: str, drive: Drive) -> None:
        if drive.pending or drive.run.finished is None:
            return
        finished = drive.run.finished
        self._drop(name, drive, finished.verdict, finished.reason)

    def _drop(self, name: str, drive: Drive, verdict: Verdict, reason: str) -> None:
        at = drive.run.at
        finished = e.Finished(at=at, verdict=verdict, reason=reason)
        del self._drives[name]
        if self._told is None:
            self._results[name] = finished
        else:
            self._told(name, finished)
        self._performer.forget(name)

    def _observe(self, name: str, sequence: int, event: AnyEvent) -> None:
        for observer in self._observers:
            observer(name, sequence, event)

    def register(self) -> None:
        """Make this driver known to the journal, once."""
        if not self._registered:
            self._journal.register(self.driver)
            self._registered = True

    def _taken(self, message: Taken) -> None:
        self._taking_up.discard(message.run)
        since = message.state.sequence - len(message.events)
        if message.policies is not None:
            self._performer.put_under(message.run, message.policies)
        self._adopt(message.run, message.state)
        for sequence, event in enumerate(message.events, since):
            self._observe(message.run, sequence, event)

    def _adopt(self, name: str, run: Run) -> None:
        self._drives[name] = Drive(run, max(0.0, run.at - self._clock()))
        self._dirty[name] = None

    # --- listening --------------------------------------------------------------------------

    def _listen(self, now: float) -> None:
        """Ask now and then for aborts and for the halt switch; no answer means it is on (L10)."""
        if now < self._listen_at:
            return
        if self._listening:  # no answer to the last question
            self._unheard("it did not answer")
        else:
            self._listening = True
            self._workers.submit(self._ask, Lane.LISTENER)
        self._listen_at = now + _NO_ANSWER

    def _go_round(self, now: float) -> None:
        """Ask the halt sources outside of the journal, each in its own time."""
        for source, said in self._rounds.silent(now):
            self._switched_on(source, said)
        for source in self._rounds.due(now):

            def work(source: Source = source) -> None:
                self._inbox.put(Answered(source, source.read()))

            self._workers.submit(work, Lane.ORDINARY)

    def _answered(self, message: Answered) -> None:
        if self._rounds.answered(message.source, message.switch, self._clock()):
            self._switched_on(message.source, message.switch.seen)

    def _switched_on(self, source: Source, seen: str) -> None:
        halt = source.halt(seen, self._clock())
        self._asked(Asked("", Verdict.CANCELLED, halt.by, halt.reason, halted=True))

    def _ask(self) -> None:
        try:
            heard = Heard(self._journal.halt(), self._journal.requests(self._last_request))
        except Exception as error:  # noqa: BLE001 - top of a thread: unknown means on
            heard = Heard(None, [], str(error))
        self._inbox.put(heard)

    def _heard(self, heard: Heard) -> None:
        self._listening = False
        self._listen_at = self._clock() + _POLL
        if heard.error:
            self._misses += 1
            if self._misses == _MISSES:
                self._unheard(heard.error)
            return
        self._misses = 0
        for request in heard.requests:
            self._last_request = request.id
            self._asked(Asked(request.run, Verdict.CANCELLED, request.by, request.reason))
        if heard.halt and not self._halted:
            by = f"halt by {heard.halt.by}"
            self._asked(Asked("", Verdict.CANCELLED, by, heard.halt.reason, halted=True))
        self._halted = heard.halt is not None

    def _unheard(self, why: str) -> None:
        if not self._halted:
            self._halted = True
            reason = f"the halt switch cannot be read: {why}"
            self._asked(Asked("", Verdict.CANCELLED, "halt", reason, halted=True))


@contextlib.contextmanager
def _rare_searches_for_garbage() -> Iterator[None]:
    """Search all objects for garbage rarely: it holds up everything, aborts too (law L5).

    With 1,000 runs a full search takes a tenth of a second. What is there at the start lives as
    long as the runs do and is not searched at all.
    """
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()


def _unanswered(flight: Flight, now: float) -> AnyEvent:
    """The event of an effect that nobody waits for any longer. Pure."""
    said = f"no answer within {now - flight.started:.3g}s"
    event = failed(flight.effect, Failure.INDETERMINATE, said, flight.started)
    if isinstance(event, e.InjectFailed):
        event = msgspec.structs.replace(event, unanswered=True)
    return msgspec.structs.replace(event, at=now)


def _first_record(effects: tuple[AnyEffect, ...]) -> Record | None:
    return next((effect for effect in effects if isinstance(effect, Record)), None)


def new_run_id(now: float) -> str:
    """A new run's id: when it began, to the second in UTC, and a few random letters."""
    import time

    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return f"{stamp}-{uuid.uuid4().hex[:10]}"
