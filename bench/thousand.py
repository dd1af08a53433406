"""A thousand experiments at once in one process, each probing over HTTP every second.

All are started at the same moment and journal durably to one SQLite file. Jitter is how far the
time between two samples of one check is from a second: while all hold their fault, and beside it
with the rush of a thousand starts and ends included. The peer runs one experiment a
process; what one of its processes takes is shown beside ours.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

from bench import peers
from bench.http_probe import server
from bench.measure import percentile
from bench.results import Aim, Figure
from bench.startup import world
from chaosrun.codec import from_plain
from chaosrun.engine import Engine
from chaosrun.events import AnyEvent, EffectSeen, Moment, Reverted, Sampled
from chaosrun.journal import open_journal
from chaosrun.spec import Experiment

EXPERIMENTS = 1000
HOLD = 20
_MIB = 1024


def experiment(number: int, url: str) -> Experiment:
    """One of the thousand: its own target, one check, one guard's worth of patience."""
    plain = {
        "apiVersion": "chaosrun.dev/v1",
        "kind": "Experiment",
        "metadata": {"name": f"number-{number}"},
        "spec": {
            "title": f"Number {number}",
            "steadyState": [
                {
                    "name": "it answers",
                    "probe": "http",
                    "with": {"url": url, "timeout": "5s"},
                    "every": "1s",
                    "expect": "status == 200",
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
                        "arguments": {"number": number},
                    },
                    "hold": f"{HOLD}s",
                }
            ],
        },
    }
    return from_plain(plain, Experiment)


def drive(url: str, directory: Path) -> dict[str, object]:
    """Run them all in this process, and tell what it took."""
    began: dict[str, list[float]] = defaultdict(list)
    seen: list[float] = []
    reverted: list[float] = []

    def observe(run: str, _sequence: int, event: AnyEvent) -> None:
        match event:
            case Sampled(moment=Moment.DURING):
                began[run].append(event.began)
            case EffectSeen():
                seen.append(event.at)
            case Reverted():
                reverted.append(event.at)

    journal = open_journal(f"sqlite:///{directory}/journal.db")
    engine = Engine(journal, observers=[observe])
    for number in range(EXPERIMENTS):
        engine.start(experiment(number, url), seed=number)
    ended = engine.loop()
    engine.close()
    journal.close()
    pairs = [pair for times in began.values() for pair in pairwise(times)]
    settled = max(seen) + 1  # one more sample of each
    all_hold = [(a, b) for a, b in pairs if settled < a and b < min(reverted)]
    return {
        "verdicts": Counter(finished.verdict.value for finished in ended.values()),
        "samples": len(all_hold),
        "p99": percentile([abs(b - a - 1) for a, b in all_hold], 0.99),
        "p99_with_start": percentile([abs(b - a - 1) for a, b in pairs], 0.99),
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB,
    }


def measured() -> dict[str, object]:
    """Run them in a fresh process against a server in another."""
    with server() as url, tempfile.TemporaryDirectory() as directory:
        done = subprocess.run(
            [sys.executable, "-m", "bench.thousand", url, directory],
            check=True, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
    found: dict[str, object] = json.loads(done.stdout)
    if found["verdicts"] != {"passed": EXPERIMENTS}:
        raise RuntimeError(f"not all passed: {found['verdicts']}")
    return found


def peer_mib() -> float:
    """The memory of one of the peer's processes, running its trivial experiment."""
    script = (
        "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, "
        "capture_output=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    with world() as cwd:
        done = subprocess.run(
            [sys.executable, "-c", script, peers.chaos_toolkit(), "run", "theirs.yaml"],
            cwd=cwd, env={**os.environ, "PYTHONPATH": str(cwd)}, check=True,
            capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    return int(done.stdout) / _MIB


def together() -> Figure:
    found = measured()
    mib, p99 = float(str(found["mib"])), float(str(found["p99"]))
    try:
        beside = f"; Chaos Toolkit: a process of {peer_mib():.0f} MiB for each"
    except peers.Absent:
        beside = ""
    whole = float(str(found["p99_with_start"]))
    jitter = f"jitter p99 {p99 * 1e3:.0f} ms ({whole * 1e3:.0f} ms with start and end)"
    text = f"{mib:.0f} MiB, {jitter}, {found['samples']:,} samples{beside}"
    return Figure(text, mib <= 300 and p99 <= 0.1)


AIMS = (
    Aim(
        "1,000 experiments at once in one process, an HTTP probe each second",
        "at most 300 MiB, jitter p99 at most 100 ms",
        together,
    ),
)

if __name__ == "__main__":
    print(json.dumps(drive(sys.argv[1], Path(sys.argv[2]))))
