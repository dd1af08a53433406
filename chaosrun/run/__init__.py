"""The whole life of a run, as two pure functions.

    decide(run, now)   -> the effects that should be in flight, and when to ask again
    evolve(run, event) -> the run after that event

Laws kept here: nothing is injected before its lease is in the journal (L1); a lease is
owed until it was seen restored (L2); gates, steady state and limits come before every
injection (L4); a pass needs a seen effect and enough samples (L6). Nothing here reads a
clock, a disk or a network; time comes in as an argument, and never runs backwards.

A run resumed by another driver folds the same events and is asked the same question, so
recovery has no code of its own: `Resumed` forbids injecting, and what is owed is reverted.
"""

from chaosrun.run.conclude import conclude
from chaosrun.run.decide import Decision, decide
from chaosrun.run.evolve import evolve, fold
from chaosrun.run.state import Owed, Phase, Run, StepState

__all__ = [
    "Decision",
    "Owed",
    "Phase",
    "Run",
    "StepState",
    "conclude",
    "decide",
    "evolve",
    "fold",
]
