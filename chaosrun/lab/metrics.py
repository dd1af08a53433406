"""What happened in the last seconds: error shares, latencies, amplification.

Law (L6): where nothing was seen there is no share and no percentile; they are null.
"""

from __future__ import annotations

import time
from collections import deque
from threading import Lock
from typing import NamedTuple

from chaosrun.units import JSON

WINDOW_SECONDS = 5.0


class _Seen(NamedTuple):
    at: float
    route: str
    request: str
    good: bool
    seconds: float


class Window:
    """The requests that ended in the last five seconds."""

    def __init__(self) -> None:
        self._seen: deque[_Seen] = deque()
        self._lock = Lock()
        self._in_flight = 0

    def begin(self) -> float:
        """Note that a request began; returns when."""
        with self._lock:
            self._in_flight += 1
        return time.monotonic()

    def end(self, began: float, route: str, request: str, *, good: bool) -> None:
        now = time.monotonic()
        with self._lock:
            self._in_flight -= 1
            self._seen.append(_Seen(now, route, request, good, now - began))
            self._forget(now)

    def summary(self) -> dict[str, JSON]:
        """All requests together, and by route under `routes`."""
        with self._lock:
            self._forget(time.monotonic())
            seen, in_flight = list(self._seen), self._in_flight
        routes: dict[str, list[_Seen]] = {}
        for one in seen:
            routes.setdefault(one.route, []).append(one)
        return {
            "windowSeconds": WINDOW_SECONDS,
            "inFlight": in_flight,
            **_figures(seen),
            "routes": {route: _figures(ones) for route, ones in sorted(routes.items())},
        }

    def _forget(self, now: float) -> None:
        while self._seen and self._seen[0].at < now - WINDOW_SECONDS:
            self._seen.popleft()


def _figures(seen: list[_Seen]) -> dict[str, JSON]:
    """Amplification is calls for each distinct request: above 1, somebody retries."""
    count, errors = len(seen), sum(not one.good for one in seen)
    latencies = sorted(one.seconds for one in seen)
    distinct = len({one.request for one in seen})
    return {
        "requests": count,
        "errors": errors,
        "errorShare": round(errors / count, 4) if count else None,
        "p50Ms": _milliseconds(latencies, 0.50),
        "p99Ms": _milliseconds(latencies, 0.99),
        "amplification": round(count / distinct, 2) if count else None,
    }


def _milliseconds(ordered: list[float], fraction: float) -> float | None:
    if not ordered:
        return None
    return round(ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] * 1000, 1)
