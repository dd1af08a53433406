"""Claims fires, asks them on the process's one engine, and takes up what the dead left behind.

Law (L10, L4): halt, pause and lateness are looked at again when a fire is claimed; the run's own
gates follow. Law (L2): a run whose driver is gone is taken up by any worker that is alive.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from chaosrun.asking import Asker, Outcome, Question
from chaosrun.codec import from_json
from chaosrun.engine import Engine
from chaosrun.errors import JournalUnavailable, Refused, Rejected, SequenceTaken
from chaosrun.events import Verdict
from chaosrun.journal import RunRow, Store
from chaosrun.journal.agenda import FireRow, FireState, paused
from chaosrun.policed import Under
from chaosrun.service import logs
from chaosrun.service.fire_runs import run_of, seed_of
from chaosrun.service.metrics import Metrics

_LOOKS = 2
"""A driver must be found dead so often in a row: a journal that restarts forgets the living."""
_REPLACE_PAUSE = 0.3
_RETRY = 0.5

Key = tuple[str, int]


class Worker:
    """What one process does about fires. `work` may be called from many threads at once."""

    def __init__(
        self,
        journal: Store,
        engine: Engine,
        asker: Asker,
        now: Callable[[], float],
        metrics: Metrics,
        under: Callable[[], Under],
    ) -> None:
        self._journal = journal
        self._engine = engine
        self._asker = asker
        self._now = now
        self._metrics = metrics
        self._under = under
        self._lock = Lock()
        self._busy: set[Key] = set()
        self._dead: dict[str, int] = {}
        self._dead_claims: dict[Key, int] = {}
        self.stopping = ""
        """Why nothing more may start; empty while it may."""

    @property
    def busy(self) -> int:
        """How many fires are being worked on."""
        return len(self._busy)

    def work(self, schedule: str, due: int) -> None:
        """Do what a fire asks, to the end of its run, unless it is over or somebody else's."""
        key = (schedule, due)
        with self._lock:
            if self.stopping or key in self._busy:
                return
            self._busy.add(key)
        try:
            self._work(schedule, due)
        except JournalUnavailable as error:  # it is due still, or will be found abandoned
            logs.warn("fire put off", schedule=schedule, reason=str(error))
        finally:
            with self._lock:
                self._busy.discard(key)

    def _work(self, schedule: str, due: int) -> None:
        fire = self._claimed(schedule, due)
        if fire is None:
            self._metrics.claims.labels("not ours").inc()
            return
        if why := self._not_now(fire):
            self._settle(fire, FireState.SKIPPED, why)
            return
        try:
            under = self._under()  # as the policies are now
        except (Refused, Rejected) as error:  # law L4: what a broken policy forbids is not known
            self._settle(fire, FireState.SKIPPED, f"a policy is wrong: {error}")
            return
        question = from_json(fire.body, Question)
        run, now = run_of(fire), self._now()
        self._metrics.lateness.observe(max(0.0, now - fire.at))
        late = f"{max(0.0, now - fire.at):.3f}s"
        logs.say("fire claimed", schedule=schedule, run=run, late=late)
        try:
            outcomes = self._asker.ask(
                question, run=run, seed=seed_of(fire), schedule=schedule,
                under=under,
                stopped=lambda: self.stopping,
            )  # fmt: skip
        except SequenceTaken:  # we were taken for dead, and somebody else has started it
            self._metrics.claims.labels("not ours").inc()
            return
        if all(not outcome.run for outcome in outcomes) and self.stopping:
            self._journal.agenda.give_back(schedule, due, self._engine.driver, self._now())
            return
        self._settle(fire, FireState.ENDED, _said(outcomes))

    def _claimed(self, schedule: str, due: int) -> FireRow | None:
        """The fire, once it is ours; None when it is over or somebody else's."""
        asked = ""
        driver = self._engine.driver
        while not self.stopping:
            row = FireRow(
                schedule=schedule, due=due, at=0, start_by=0, concurrency=""
            )  # only its name counts here
            claim = self._journal.agenda.claim(schedule, due, run_of(row), driver, self._now())
            if not claim.busy:
                return claim.fire
            if claim.busy != asked:
                asked = claim.busy
                self._abort(asked, schedule)
            time.sleep(_REPLACE_PAUSE)
        return None

    def _abort(self, run: str, schedule: str) -> None:
        reason = f"the next fire of {schedule} replaces it"
        for row in self._journal.runs(unfinished=True):
            if row.run == run or row.run.startswith(f"{run}-"):
                self._journal.request_abort(row.run, "schedule", reason, self._now())

    def _not_now(self, fire: FireRow) -> str:
        """Why the fire must not start now, of what may have changed since it was computed."""
        if halt := self._journal.halt():
            return f"halted by {halt.by}: {halt.reason}"
        pause = paused(self._journal.agenda.facts(schedule=fire.schedule)).get(fire.schedule)
        return f"paused by {pause.by}: {pause.reason}" if pause else ""

    def _settle(self, fire: FireRow, state: FireState, reason: str) -> None:
        self._metrics.claims.labels(state.value).inc()
        logs.say(f"fire {state}", schedule=fire.schedule, reason=reason)
        until = time.monotonic() + 20
        while True:
            try:
                return self._journal.agenda.settle(
                    fire.schedule, fire.due, state, reason, self._now()
                )
            except JournalUnavailable:
                if time.monotonic() > until:
                    raise
                time.sleep(_RETRY)

    # --- what others left behind --------------------------------------------------------

    def sweep(self) -> list[FireRow]:
        """Take up dead runs, give back dead claims; the fires that nobody has claimed yet."""
        rows = self._journal.runs(unfinished=True)
        self._metrics.owing.set(sum(row.verdict is Verdict.STRANDED for row in rows))
        unfinished = [row for row in rows if row.verdict is None]
        self._take_up(unfinished)
        self._free(unfinished)
        return self._journal.agenda.due()

    def _take_up(self, unfinished: list[RunRow]) -> None:
        ours, driven = self._engine.driver, set(self._engine.running)
        left = {
            row.run: row.driver
            for row in unfinished
            if not row.driver_alive or (row.driver == ours and row.run not in driven)
        }
        self._dead = {run: self._dead.get(run, 0) + 1 for run in left}
        for run, looks in list(self._dead.items()):
            if looks < _LOOKS:
                continue
            try:
                self._engine.take_up(run, "its driver is gone")
            except SequenceTaken:  # another worker was quicker
                continue
            finally:
                self._dead.pop(run)
            self._metrics.recovered.inc()
            logs.warn("run taken up", run=run, driver=left[run])

    def _free(self, unfinished: list[RunRow]) -> None:
        """Claims of the dead: given back where nothing began, settled where all has ended."""
        now, going = self._now(), [row.run for row in unfinished]
        ours = self._engine.driver
        with self._lock:
            busy = set(self._busy)
        abandoned = [
            fire
            for fire, alive in self._journal.agenda.claimed()
            if not alive or (fire.driver == ours and (fire.schedule, fire.due) not in busy)
        ]
        keys = [(fire.schedule, fire.due) for fire in abandoned]
        self._dead_claims = {key: self._dead_claims.get(key, 0) + 1 for key in keys}
        for fire in abandoned:
            if self._dead_claims[fire.schedule, fire.due] < _LOOKS:
                continue
            if any(run == fire.run or run.startswith(f"{fire.run}-") for run in going):
                continue
            if self._journal.agenda.give_back(fire.schedule, fire.due, fire.driver, now):
                logs.warn("fire given back", schedule=fire.schedule, driver=fire.driver)
                continue
            said = "its worker died; its run was reverted by another"
            if fire.driver == ours:
                said = "the journal failed as its run began; what began was reverted"
            self._journal.agenda.settle(fire.schedule, fire.due, FireState.ENDED, said, now)


def _said(outcomes: tuple[Outcome, ...]) -> str:
    if len(outcomes) == 1:
        (only,) = outcomes
        return f"{only.verdict}: {only.reason}" if only.verdict else only.reason
    return "; ".join(f"{each.name}: {each.verdict or 'not started'}" for each in outcomes)
