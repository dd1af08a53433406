"""A thousand experiments at once in one process, each probing over HTTP every second.

All hold their fault at the same time, all journal durably to one SQLite file. Jitter is how far
the time between two samples of one check is from a second. The peer runs one experiment a
process; what one of its processes takes is shown beside ours.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from itertools import pairwise
from pathlib import Path

from bench import peers
from bench.measure import percentile
from bench.results import Aim, Figure
from bench.startup import THEIRS, world
from chaosrun.codec import from_plain
from chaosrun.engine import Engine
from chaosrun.events import AnyEvent, Moment, Sampled
from chaosrun.journal import open_journal
from chaosrun.spec import Experiment

EXPERIMENTS = 1000
HOLD = 20
_MIB = 1024


def experiment(number: int, port: int) -> Experiment:
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
                    "with": {"url": f"http://127.0.0.1:{port}/{number}", "timeout": "5s"},
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


async def serve() -> None:
    """A server that answers as quickly as it can, in a process of its own; prints its port."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=2 * EXPERIMENTS)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def drive(port: int, directory: Path) -> dict[str, object]:
    """Run them all in this process, and tell what it took."""
    began: dict[str, list[float]] = defaultdict(list)

    def observe(run: str, _sequence: int, event: AnyEvent) -> None:
        if isinstance(event, Sampled) and event.moment is Moment.DURING:
            began[run].append(event.began)

    journal = open_journal(f"sqlite:///{directory}/journal.db")
    engine = Engine(journal, observers=[observe])
    for number in range(EXPERIMENTS):
        engine.start(experiment(number, port), seed=number)
    ended = engine.loop()
    engine.close()
    journal.close()
    apart = [abs(b - a - 1) for times in began.values() for a, b in pairwise(times)]
    return {
        "verdicts": Counter(finished.verdict.value for finished in ended.values()),
        "samples": sum(map(len, began.values())),
        "p99": percentile(apart, 0.99),
        "p50": percentile(apart, 0.5),
        "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / _MIB,
    }


def measured() -> dict[str, object]:
    """Run them in a fresh process against a server in another."""
    server = subprocess.Popen(
        [sys.executable, "-m", "bench.thousand", "serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        port = server.stdout.readline().strip()
        with tempfile.TemporaryDirectory() as directory:
            done = subprocess.run(
                [sys.executable, "-m", "bench.thousand", port, directory],
                check=True, capture_output=True, text=True, timeout=300,
            )  # fmt: skip
    finally:
        server.kill()
        server.communicate()
    found: dict[str, object] = json.loads(done.stdout)
    if found["verdicts"] != {"passed": EXPERIMENTS}:
        raise RuntimeError(f"not all passed: {found['verdicts']}")
    return found


def peer_mib() -> float:
    """The memory of one of the peer's processes, running its trivial experiment."""
    with world() as cwd:
        (cwd / "theirs.yaml").write_text(THEIRS)
        script = (
            "import resource, subprocess, sys; subprocess.run(sys.argv[1:], check=True, "
            "capture_output=True); print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, peers.chaos_toolkit(), "run", "theirs.yaml"],
            cwd=cwd, check=True, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
    return int(done.stdout) / _MIB


def together() -> Figure:
    found = measured()
    mib, p99 = float(str(found["mib"])), float(str(found["p99"]))
    try:
        beside = f"; Chaos Toolkit: a process of {peer_mib():.0f} MiB for each"
    except peers.Absent:
        beside = ""
    text = f"{mib:.0f} MiB, jitter p99 {p99 * 1e3:.0f} ms, {found['samples']:,} samples{beside}"
    return Figure(text, mib <= 300 and p99 <= 0.1)


AIMS = (
    Aim(
        "1,000 experiments at once in one process, an HTTP probe each second",
        "at most 300 MiB, jitter p99 at most 100 ms",
        together,
    ),
)

if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(serve())
    else:
        print(json.dumps(drive(int(sys.argv[1]), Path(sys.argv[2]))))
