"""Asking a question on an engine that serves: one experiment, or a suite of them.

Law: a suite has no record of its own. Its runs name it, and which of them may start follows from
how the others ended (`chaosrun.suite`). What never started says why.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock

import msgspec

import chaosrun
from chaosrun import events as e
from chaosrun import suite as suites
from chaosrun.engine import Engine
from chaosrun.errors import JournalUnavailable
from chaosrun.events import Verdict
from chaosrun.policed import Under
from chaosrun.spec import Experiment
from chaosrun.suite import SuiteSpec
from chaosrun.units import JSON

_JOURNAL_PATIENCE = 20.0
_PAUSE = 0.5
_GLANCE = 0.2


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """One experiment that is asked, with all that a run of it needs."""

    name: str
    experiment: Experiment
    digest: str
    source: str
    parameters: dict[str, JSON] = {}


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, whole: one part, or those of a suite."""

    name: str
    source: str
    parts: tuple[Part, ...]
    suite: SuiteSpec | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one part. `run` is empty, and `verdict` None, where it never started."""

    name: str
    run: str = ""
    verdict: Verdict | None = None
    reason: str = ""


class Endings:
    """Tells who waits for a run how it ended. Is called by the engine; thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiting: dict[str, SimpleQueue[tuple[str, e.Finished]]] = {}

    def expect(self, run: str, queue: SimpleQueue[tuple[str, e.Finished]]) -> None:
        """Put the end of that run into the queue."""
        with self._lock:
            self._waiting[run] = queue

    def forget(self, run: str) -> None:
        """Nobody waits for that run any longer."""
        with self._lock:
            self._waiting.pop(run, None)

    def __call__(self, run: str, finished: e.Finished) -> None:
        with self._lock:
            queue = self._waiting.pop(run, None)
        if queue is not None:
            queue.put((run, finished))


class Asker:
    """Asks questions on one engine. Each `ask` blocks its own thread until the last run ended."""

    def __init__(
        self, engine: Engine, endings: Endings, clock: Callable[[], float] = time.time
    ) -> None:
        self._engine = engine
        self._endings = endings
        self._clock = clock

    def ask(
        self,
        question: Question,
        *,
        run: str,
        seed: int,
        schedule: str = "",
        under: Under | None = None,
        stopped: Callable[[], str] = lambda: "",
    ) -> tuple[Outcome, ...]:
        """Ask all of it. `run` is the id of the run, or the first part of the ids of a suite's.

        `stopped` gives a reason once nothing more may start. Raises SequenceTaken when the first
        run was started by somebody else, and JournalUnavailable when it could not be journaled.
        """
        course, under = _Course(question, run), under or Under()
        ended: SimpleQueue[tuple[str, e.Finished]] = SimpleQueue()
        while True:
            if why := stopped():
                course.skip_rest(why)
            for part in course.to_start():
                id_ = course.started(part)
                self._endings.expect(id_, ended)
                try:
                    event = self._event(part, id_, seed, schedule, course.suite, question, under)
                    self._begin(event, under)
                except BaseException:
                    self._endings.forget(id_)
                    if not course.is_first(part):
                        course.failed(part, "it could not be journaled")
                        continue
                    raise
            if course.over:
                return course.outcomes()
            try:
                course.ended(*ended.get(timeout=_GLANCE))
            except Empty:
                continue

    def _event(
        self,
        part: Part,
        run: str,
        seed: int,
        schedule: str,
        suite: str,
        question: Question,
        under: Under,
    ) -> e.Started:
        return e.Started(
            at=self._clock(), run=run, experiment=part.experiment, digest=part.digest, seed=seed,
            driver=self._engine.driver, version=chaosrun.__version__, source=part.source,
            parameters=part.parameters, schedule=schedule, suite=suite,
            asked=asked_of(question, part),
            **under.noted(part.experiment.metadata.labels),
        )  # fmt: skip

    def _begin(self, started: e.Started, under: Under) -> None:
        """An answer that was lost is no answer: the same event is taken on until there is one."""
        until = time.monotonic() + _JOURNAL_PATIENCE
        while True:
            try:
                return self._engine.take_on(started, under.policies)
            except JournalUnavailable:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE)


def asked_of(question: Question, part: Part) -> e.AskedSuite | None:
    """What is journaled of the suite with each of its runs."""
    spec = question.suite
    if spec is None:
        return None
    waits = suites.waits_of(spec.experiments)
    return e.AskedSuite(
        name=question.name, title=spec.title, owner=spec.owner, source=question.source,
        part=part.name, stop_on_finding=spec.stop_on_finding,
        parts=tuple(
            e.AskedPart(name=each.name, after=waits.get(each.name, ()))
            for each in question.parts
        ),
    )  # fmt: skip


class _Course:
    """How far a question has come."""

    def __init__(self, question: Question, run: str) -> None:
        self._question = question
        self._run = run
        self._runs: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._verdicts: dict[str, Verdict] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._skipped: set[str] = set()
        self.suite = run if question.suite is not None else ""

    @property
    def over(self) -> bool:
        return len(self._outcomes) == len(self._question.parts)

    def is_first(self, part: Part) -> bool:
        return len(self._runs) == 1 and part.name in self._runs

    def to_start(self) -> list[Part]:
        names = [part.name for part in self._question.parts]
        running = set(self._runs) - set(self._outcomes)
        if self._question.suite is None:
            free: tuple[str, ...] = () if self._runs or self._skipped else tuple(names)
        else:
            free = suites.may_start(self._question.suite, running, self._verdicts, self._skipped)
        if not free and not running:
            loud = [name for name in self._verdicts if self._verdicts[name] not in suites.QUIET]
            first = f"{loud[0]} ended {self._verdicts[loud[0]]}" if loud else "it was stopped"
            self.skip_rest(f"not started: {first}")
        return [part for part in self._question.parts if part.name in free]

    def started(self, part: Part) -> str:
        index = [each.name for each in self._question.parts].index(part.name)
        run = self._run if self._question.suite is None else f"{self._run}-{index + 1:02}"
        self._runs[part.name], self._names[run] = run, part.name
        return run

    def ended(self, run: str, finished: e.Finished) -> None:
        name = self._names[run]
        self._verdicts[name] = finished.verdict
        self._outcomes[name] = Outcome(
            name=name, run=run, verdict=finished.verdict, reason=finished.reason
        )

    def failed(self, part: Part, why: str) -> None:
        self._verdicts[part.name] = Verdict.ERROR
        self._outcomes[part.name] = Outcome(name=part.name, verdict=Verdict.ERROR, reason=why)

    def skip_rest(self, why: str) -> None:
        for part in self._question.parts:
            if part.name not in self._runs and part.name not in self._outcomes:
                self._skipped.add(part.name)
                self._outcomes[part.name] = Outcome(name=part.name, reason=why)

    def outcomes(self) -> tuple[Outcome, ...]:
        return tuple(self._outcomes[part.name] for part in self._question.parts)
