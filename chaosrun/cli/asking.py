"""Asking the system outside of a run: gates, plans and checks, all at once, reads only.

Law (L5): whoever does not answer in time gets the answer that a run would note for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import copy_context
from functools import partial
from queue import Empty, SimpleQueue
from time import monotonic

from chaosrun import commands
from chaosrun.errors import ChaosrunError
from chaosrun.events import AnyEvent, Failure
from chaosrun.perform import Performer, failed
from chaosrun.run import Run
from chaosrun.run.effects import AnyEffect
from chaosrun.workers import Lane, Workers


def ask(performer: Performer, run: Run, effects: Sequence[AnyEffect], now: float) -> list[AnyEvent]:
    """The event of each effect, in their order. Never raises for them."""
    answers: SimpleQueue[tuple[int, AnyEvent]] = SimpleQueue()
    workers = Workers(16)
    found: dict[int, AnyEvent] = {}
    deadlines: dict[int, float] = {}
    cancellations = [commands.Cancellation() for _ in effects]
    for index, effect in enumerate(effects):
        try:
            deadlines[index] = monotonic() + performer.seconds(run, effect)
        except ChaosrunError as error:
            found[index] = failed(effect, Failure.REFUSED, str(error), now, error.hint)
            continue

        def work(index: int = index, effect: AnyEffect = effect) -> None:
            commands.current.set(cancellations[index])
            answers.put((index, performer.perform(run, effect)))

        context = copy_context()
        workers.submit(partial(context.run, work), Lane.ORDINARY)
    while waiting := deadlines.keys() - found.keys():
        first = min(waiting, key=deadlines.__getitem__)
        try:
            index, event = answers.get(timeout=max(0.0, deadlines[first] - monotonic()))
            found.setdefault(index, event)
        except Empty:
            cancellations[first].cancel()
            said = "no answer in time"
            found[first] = failed(effects[first], Failure.INDETERMINATE, said, now)
    workers.close()
    return [found[index] for index in range(len(effects))]
