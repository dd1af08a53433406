"""The probe `http-load`: how a server answers a steady rate of requests.

Law: an open loop. Requests start at their scheduled times whatever became of earlier ones,
and a latency counts from the scheduled time, so a server that stalls cannot hide by slowing
its client down (coordinated omission). No request is left out of any figure.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from typing import TYPE_CHECKING, Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun import commands
from chaosrun.errors import Indeterminate
from chaosrun.probe import Probe
from chaosrun.units import JSON, Duration
from chaosrun.web import Question, Request

if TYPE_CHECKING:  # the library takes long to import, and validation does not need it
    from chaosrun.web.client import Client

_MOST = 100_000
_SLACK = 0.5
_DROPPED = "dropped"


class Load(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What became of one window of requests."""

    requests: Annotated[int, Meta(description="How many were due in the window")]
    sent: Annotated[int, Meta(description="How many of them were sent")]
    answered: Annotated[int, Meta(description="How many had a whole answer, of any status")]
    errors: Annotated[
        int, Meta(description="How many had no whole answer, or a status below 200 or above 399")
    ]
    error_share: Annotated[float, Meta(description="`errors` of `requests`, from 0 to 1")]
    dropped: Annotated[
        int,
        Meta(description="How many errors were never sent: too many others were under way"),
    ]
    p50: Annotated[
        Duration,
        Meta(
            description="Half of all requests were answered within this, from the time they were "
            "due; one without an answer counts as `timeout`"
        ),
    ]
    p90: Annotated[Duration, Meta(description="As p50, for 90% of the requests")]
    p95: Annotated[Duration, Meta(description="As p50, for 95% of the requests")]
    p99: Annotated[Duration, Meta(description="As p50, for 99% of the requests")]
    max: Annotated[Duration, Meta(description="As p50, for all requests")]
    statuses: Annotated[
        dict[str, int], Meta(description='How many answers had each status, such as {"200": 50}')
    ]
    failures: Annotated[
        dict[str, int],
        Meta(description='How many had no answer, and why, such as {"timeout": 2, "dropped": 1}'),
    ]
    rate: Annotated[float, Meta(description="How many a second were really sent")]
    behind: Annotated[
        Duration, Meta(description="How far sending fell behind its schedule at worst")
    ]


class _Outcome(msgspec.Struct, frozen=True, gc=False):
    late: float
    latency: float
    status: int
    failure: str


class HttpLoad(Question, Probe["Client", Load], frozen=True, kw_only=True):
    """Sends requests at a steady rate for a window of time, and sums up what became of them.

    An open loop: requests are sent when they are due, whatever became of earlier ones, and
    their latency counts from that moment. Each sample is one window.
    """

    name: ClassVar[str] = "http-load"
    Result = Load
    example: ClassVar[dict[str, JSON]] = {
        "with": {"url": "http://checkout.shop.svc/cart", "rate": 50, "window": "1s"},
        "expect": 'errorShare < 0.01 && p99 < duration("500ms")',
    }

    rate: Annotated[float, Meta(gt=0, le=10_000, description="Requests a second")]
    window: Annotated[
        Duration, Meta(description="How long one sample sends; not shorter than `1 / rate`")
    ] = Duration(1)
    concurrency: Annotated[
        int,
        Meta(
            ge=1,
            le=2000,
            description="The most requests under way at once; further ones wait, and are dropped "
            "when they have waited for `timeout`",
        ),
    ] = 128

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self._count <= _MOST:
            raise ValueError(
                f"`rate` x `window` comes to {self.rate * self.window.seconds:g} requests, "
                f"not 1 to {_MOST}"
            )

    @property
    def time_needed(self) -> Duration:
        # The last request may wait as long as it may then take.
        return Duration(self.window.seconds + 2 * self.timeout.seconds + _SLACK)

    @property
    def _count(self) -> int:
        return round(self.rate * self.window.seconds)

    def observe(self, client: Client) -> Load:
        """Send one window of requests, and wait for what becomes of them."""
        from concurrent.futures import ThreadPoolExecutor  # it brings logging: only when used

        # A pool starts a thread only when none is idle, so there are as many as are needed.
        request, count = self.request(), self._count
        threads = ThreadPoolExecutor(min(self.concurrency, count), "http-load")
        try:
            began = time.monotonic()
            due = [began + index / self.rate for index in range(count)]
            pending = []
            for moment in due:
                _wait_until(moment)
                pending.append(threads.submit(self._send, client, request, moment))
            return self._sum_up([one.result() for one in pending])
        finally:
            threads.shutdown(cancel_futures=True)

    def _send(self, client: Client, request: Request, due: float) -> _Outcome:
        started = time.monotonic()
        late = started - due
        if late >= self.timeout.seconds:
            return _Outcome(late, late, 0, _DROPPED)
        answer = client.ask(request, started + self.timeout.seconds)
        latency = time.monotonic() - due
        if answer.error:  # one that fails at once must not look fast
            return _Outcome(late, max(latency, self.timeout.seconds), 0, answer.error)
        return _Outcome(late, latency, answer.status, "")

    def _sum_up(self, outcomes: list[_Outcome]) -> Load:
        total = len(outcomes)
        failures = Counter(one.failure for one in outcomes if one.failure)
        statuses = Counter(str(one.status) for one in outcomes if not one.failure)
        errors = sum(1 for one in outcomes if not 200 <= one.status < 400)
        sent = total - failures[_DROPPED]
        latencies = sorted(one.latency for one in outcomes)

        def percentile(share: float) -> Duration:
            return Duration(latencies[math.ceil(share * total) - 1])  # the nearest rank

        # The last moment of sending, and the interval that it stands for.
        ends = max(
            (index / self.rate + one.late for index, one in enumerate(outcomes)), default=0.0
        )
        return Load(
            requests=total, sent=sent, answered=total - failures.total(),
            errors=errors, error_share=errors / total, dropped=failures[_DROPPED],
            p50=percentile(0.5), p90=percentile(0.9), p95=percentile(0.95),
            p99=percentile(0.99), max=percentile(1), statuses=dict(statuses),
            failures={name: n for name, n in failures.items() if n},
            rate=round(sent / (ends + 1 / self.rate), 3),
            behind=Duration(max(0.0, max(one.late for one in outcomes))),
        )  # fmt: skip


def _wait_until(moment: float) -> None:
    """Sleep until then. Raises Indeterminate as soon as the effect is cancelled."""
    cancellation = commands.current.get()
    while True:
        if cancellation and cancellation.cancelled:
            raise Indeterminate("the load was cancelled")
        left = moment - time.monotonic()
        if left <= 0:
            return
        time.sleep(min(left, 0.05))
