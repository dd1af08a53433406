"""Events for the journal's tests, and processes that use a journal."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from chaosrun.codec import from_plain
from chaosrun.events import (
    AnyEvent,
    Failure,
    Finished,
    Injected,
    InjectFailed,
    Leased,
    Moment,
    Outcome,
    Restored,
    Resumed,
    Sampled,
    Started,
    Term,
    Verdict,
)
from chaosrun.fault import Hold
from chaosrun.spec import Experiment
from chaosrun.targeting import Target

EXPERIMENT = from_plain(
    {
        "apiVersion": "chaosrun.dev/v1",
        "kind": "Experiment",
        "metadata": {"name": "checkout-survives"},
        "spec": {
            "title": "Checkout survives",
            "steadyState": [{"name": "answers", "probe": "http", "expect": "status == 200"}],
            "method": [{"name": "pause", "fault": "host.process-pause", "hold": "2s"}],
        },
    },
    Experiment,
)


def started(run: str, at: float = 1.0, driver: str = "driver-1") -> Started:
    return Started(
        at=at, run=run, experiment=EXPERIMENT, digest="d", seed=1, driver=driver, version="1"
    )


def sampled(at: float = 2.0, note: str = "") -> Sampled:
    return Sampled(
        at=at, subject="check", name="answers", moment=Moment.BEFORE, outcome=Outcome.HELD,
        began=at, result={"status": 200, "latency": 0.01}, reason=note,
    )  # fmt: skip


def leased(
    lease: str,
    *targets: str,
    at: float = 3.0,
    workload: str = "",
    terms: tuple[Term, ...] = (),
    labels: dict[str, str] | None = None,
) -> Leased:
    groups = {"workload": workload} if workload else {}
    hold = Hold(
        fault="host.process-pause", population=9, effect="pause",
        targets=tuple(Target(kind="process", id=target, groups=groups) for target in targets),
    )  # fmt: skip
    return Leased(at=at, step="pause", lease=lease, hold=hold, terms=terms, labels=labels or {})


def injected(lease: str, *, late: bool = False) -> Injected:
    return Injected(at=4.0, lease=lease, late=late)


def inject_failed(lease: str, *, late: bool = False) -> InjectFailed:
    return InjectFailed(
        at=4.0, lease=lease, failure=Failure.INDETERMINATE, error="no answer", late=late
    )


def restored(lease: str, at: float = 5.0) -> Restored:
    return Restored(at=at, lease=lease, detail="it runs")


def resumed(driver: str) -> Resumed:
    return Resumed(at=6.0, driver=driver, reason="its driver died")


def finished(verdict: Verdict = Verdict.PASSED, at: float = 9.0) -> Finished:
    return Finished(at=at, verdict=verdict, reason="")


def whole(run: str, at: float = 1.0, verdict: Verdict = Verdict.PASSED) -> list[AnyEvent]:
    """A short run from its start to its end."""
    return [started(run, at=at), sampled(at + 1), finished(verdict, at=at + 8)]


@contextmanager
def process(program: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A Python process that runs `program`; killed at the end."""
    child = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with child:
        try:
            yield child
        finally:
            child.kill()
