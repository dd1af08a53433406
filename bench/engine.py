"""The engine alone, in virtual time: `decide`, an event for every effect, `evolve`.

A run with three checks, two guards and a fault held for an hour; nothing is stored and no
clock is read, so what is measured is the two pure functions and this file's small loop.
"""

from __future__ import annotations

import time
from statistics import median

from bench.results import Aim, Figure
from chaosrun import events as e
from chaosrun.codec import from_plain
from chaosrun.events import AnyEvent, Outcome, Verdict
from chaosrun.fault import Hold
from chaosrun.run import decide, evolve
from chaosrun.run.effects import (
    AnyEffect,
    Inject,
    LookForEffect,
    LookRestored,
    MeasureGate,
    MeasurePolicy,
    Plan,
    Record,
    Revert,
    Sample,
)
from chaosrun.run.state import Run
from chaosrun.spec import Experiment
from chaosrun.targeting import Target

PLAIN = {
    "apiVersion": "chaosrun.dev/v1",
    "kind": "Experiment",
    "metadata": {"name": "long"},
    "spec": {
        "title": "A fault held for an hour",
        "steadyState": [
            {"name": f"check {n}", "probe": "p", "every": "1s", "expect": "true"} for n in range(3)
        ],
        "method": [{"name": "harm", "fault": "f", "hold": "1h"}],
        "abortWhen": [
            {"name": f"guard {n}", "probe": "p", "every": "1s", "when": "false"} for n in range(2)
        ],
        "limits": {"duration": "2h"},
    },
}

HOLD = Hold(
    fault="f", targets=(Target(kind="thing", id="1"),), population=1, effect="harms a thing"
)


def answer(effect: AnyEffect, now: float) -> AnyEvent:
    """The event with which a well-behaved world answers."""
    match effect:
        case Record(event):
            return event
        case MeasureGate(index, _, step):
            return e.GateMeasured(
                at=now, gate="g", index=index, open=True, measured="off", rule="off", step=step
            )
        case MeasurePolicy(step):
            return e.PolicyMeasured(at=now, step=step, rules=())
        case Plan(step, final):
            return e.Planned(at=now, step=step, hold=HOLD, final=final)
        case Sample(subject, name, moment):
            return e.Sampled(
                at=now, subject=subject, name=name, moment=moment, outcome=Outcome.HELD, began=now
            )
        case Inject(lease):
            return e.Injected(at=now, lease=lease)
        case LookForEffect(lease):
            return e.EffectSeen(at=now, lease=lease, detail="harmed")
        case Revert(lease):
            return e.Reverted(at=now, lease=lease)
        case LookRestored(lease):
            return e.Restored(at=now, lease=lease, detail="unharmed")


def whole_run(experiment: Experiment) -> tuple[int, Run]:
    """Live one run to its end in virtual time; how many events it had, and how it ended."""
    now, count = 1_000_000.0, 1
    run = evolve(
        Run(), e.Started(at=now, run="r", experiment=experiment, digest="", seed=1,
                         driver="d", version=""),
    )  # fmt: skip
    while run.finished is None:
        decision = decide(run, now)
        for effect in decision.effects:
            run = evolve(run, answer(effect, now))
            count += 1
        if not decision.effects:
            now = decision.wake
    return count, run


def pure() -> Figure:
    experiment = from_plain(PLAIN, Experiment)
    rates = []
    for _ in range(5):
        began = time.perf_counter()
        count, run = whole_run(experiment)
        rates.append(count / (time.perf_counter() - began))
        assert run.finished is not None
        assert run.finished.verdict is Verdict.PASSED, run.finished
    return Figure(f"{median(rates):,.0f} events/s ({count:,} events a run)", median(rates) >= 1e5)


AIMS = (Aim("the engine, pure: decide and evolve", "at least 100,000 events/s", pure),)
