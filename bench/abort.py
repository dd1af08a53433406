"""How long it takes from a breach being known to the first revert being started.

The clock starts with the event that calls for the stop (a guard's sample, or the deadline that
a hung guard missed) and stops in the fault's own `revert`. In all cases a check hangs beside it.
"""

from __future__ import annotations

import tempfile
from statistics import median

from bench import harm
from bench.results import Aim, Figure
from chaosrun.codec import from_plain
from chaosrun.engine import Engine
from chaosrun.events import AnyEvent, Sampled, Verdict
from chaosrun.journal import Journal, open_journal
from chaosrun.spec import Experiment

RUNS = 20
MOST = 0.05


def experiment(guard: str) -> Experiment:
    """A fault held for a minute, beside a check that hangs and a guard of that kind."""
    plain = {
        "apiVersion": "chaosrun.dev/v1",
        "kind": "Experiment",
        "metadata": {"name": "abort"},
        "spec": {
            "title": "A guard ends it",
            "steadyState": [
                {
                    "name": "it hangs",
                    "probe": "python",
                    "with": {"function": "bench.harm:hangs", "timeout": "30s"},
                    "every": "100ms",
                    "expect": "value == false",
                }
            ],
            "method": [
                {
                    "name": "harm",
                    "fault": "python",
                    "with": {
                        "inject": "bench.harm:harm",
                        "revert": "bench.harm:undo",
                        "tookEffect": "bench.harm:harmed",
                        "restored": "bench.harm:unharmed",
                    },
                    "hold": "1m",
                }
            ],
            "abortWhen": [
                {
                    "name": "it hurts",
                    "probe": "python",
                    "with": {"function": f"bench.harm:{guard}", "timeout": "300ms"},
                    "every": "100ms",
                    "when": "value == true",
                }
            ],
            "recoverWithin": "1s",
        },
    }
    return from_plain(plain, Experiment)


def times_to_revert(guard: str) -> list[float]:
    """Seconds from each breach to its first revert, in runs one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        journal = open_journal(f"sqlite:///{folder}/journal.db")
        found = [_one(journal, experiment(guard), seed) for seed in range(RUNS)]
        journal.close()
    return found


def _one(journal: Journal, asked: Experiment, seed: int) -> float:
    breaches: list[float] = []

    def observe(_run: str, _sequence: int, event: AnyEvent) -> None:
        if isinstance(event, Sampled) and event.subject == "guard" and event.outcome != "held":
            breaches.append(event.at)

    harm.undone_at.clear()
    engine = Engine(journal, observers=[observe])
    run = engine.start(asked, seed=seed)
    ended = engine.loop()[run]
    engine.close()
    harm.let_go()
    if ended.verdict is not Verdict.ABORTED:
        raise RuntimeError(f"{ended.verdict}: {ended.reason}")
    return harm.undone_at[0] - breaches[0]


def _figure(guard: str) -> Figure:
    times = times_to_revert(guard)
    text = f"{median(times) * 1e3:.1f} ms, at most {max(times) * 1e3:.1f} ms in {RUNS} runs"
    return Figure(text, max(times) <= MOST)


def breach() -> Figure:
    return _figure("hurts")


def hang() -> Figure:
    return _figure("hangs")


AIMS = (
    Aim("breach seen to first revert started", "at most 50 ms", breach),
    Aim("the same when the guard hangs, from its deadline", "at most 50 ms", hang),
)
