"""The probe `prometheus`: the number that a query gives, now or over a range of time.

Law (L6): one query, one series, and a number. Anything else makes the sample unknown.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Annotated, ClassVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.probe import Probe
from chaosrun.units import JSON, Duration
from chaosrun.web import Endpoint

if TYPE_CHECKING:  # the library takes long to import, and validation does not need it
    from chaosrun.providers.prometheus.client import Prometheus, Series

_MOST_POINTS = 11_000
"""Prometheus refuses a range query with more."""
_POINTS = 60
_INSTANT, _RANGE = "/api/v1/query", "/api/v1/query_range"


class Number(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the query's one series said."""

    value: Annotated[float, Meta(description="The number; with `range`, the last one")]
    values: Annotated[
        list[float], Meta(description="All numbers of the `range`, oldest first; else just `value`")
    ]
    min: Annotated[float, Meta(description="The lowest of `values`")]
    max: Annotated[float, Meta(description="The highest of `values`")]
    avg: Annotated[float, Meta(description="The mean of `values`")]
    empty: Annotated[
        bool, Meta(description="Whether there was no series, and the value is that of `empty`")
    ]
    warnings: Annotated[list[str], Meta(description="What Prometheus warned of")]


class PrometheusProbe(Endpoint, Probe["Prometheus", Number], frozen=True, kw_only=True):
    """Asks Prometheus a query that gives one series, now or over a range of time.

    No series, several, or not a number make the sample unknown; say `empty: 0` where no
    series means zero, as for the rate of errors that have not happened yet.
    """

    name: ClassVar[str] = "prometheus"
    Result = Number
    example: ClassVar[dict[str, JSON]] = {
        "with": {
            "url": "http://prometheus:9090",
            "query": 'sum(rate(http_requests_total{code=~"5.."}[1m]))',
            "empty": 0,
        },
        "expect": "value < 5.0",
    }

    query: Annotated[
        str,
        Meta(
            min_length=1,
            description="PromQL that gives one series or a scalar",
            examples=['sum(rate(http_requests_total{code=~"5.."}[1m]))'],
        ),
    ]
    range: Annotated[
        Duration | None,
        Meta(description="How far to look back; without it the query is asked once, for now"),
    ] = None
    step: Annotated[
        Duration | None,
        Meta(description="The time between two points of the `range`; else a sixtieth of it"),
    ] = None
    empty: Annotated[float | None, Meta(description="The value when the query gives no series")] = (
        None
    )
    timeout: Annotated[Duration, Meta(description="For the whole of it")] = Duration(5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if urlsplit(self.url).query or urlsplit(self.url).fragment:
            raise ValueError("`url` is the base, such as http://prometheus:9090, without a query")
        if self.step is not None and self.range is None:
            raise ValueError("`step` needs `range`")
        if self.range is None:
            return
        if not self.range or (self.step is not None and not self.step):
            raise ValueError("`range` and `step` must be longer than 0s")
        if self.range.seconds / self._step > _MOST_POINTS:
            raise ValueError(f"`range` has more than {_MOST_POINTS} steps: write a longer `step`")

    @property
    def _step(self) -> float:
        assert self.range is not None
        return self.step.seconds if self.step else max(1.0, self.range.seconds / _POINTS)

    def observe(self, client: Prometheus) -> Number:
        """Ask once."""
        path, parameters = _INSTANT, {"query": self.query}
        if self.range is not None:
            now = time.time()
            path = _RANGE
            parameters |= {
                "start": f"{now - self.range.seconds:.3f}",
                "end": f"{now:.3f}",
                "step": f"{self._step:.3f}",
            }
        series, warnings = client.query(self, path, parameters)
        if series:
            values = _numbers(series, ranged=self.range is not None)
        elif self.empty is not None:
            values = [self.empty]
        else:
            raise Refused(
                "the query gives no series",
                hint="if that means zero, say `empty: 0`; else look for a misspelt name or label",
            )
        return Number(
            value=values[-1], values=values, min=min(values), max=max(values),
            avg=math.fsum(values) / len(values), empty=not series, warnings=list(warnings),
        )  # fmt: skip


def _numbers(series: tuple[Series, ...], *, ranged: bool) -> list[float]:
    """The numbers of the one series. Raises Refused when there are more, or it has others."""
    if len(series) > 1:
        raise Refused(
            f"the query gives {len(series)} series, not one",
            hint="aggregate them, such as with sum(...) or max(...)",
        )
    (one,) = series
    if one.ranged and not ranged:
        raise Refused(
            "the query gives a range of samples, not one number",
            hint="use a function such as rate(...) or last_over_time(...), or write `range`",
        )
    if not one.numbers:
        raise Refused("the query gives no number: a histogram?", hint="use histogram_quantile()")
    if any(math.isnan(number) for number in one.numbers):
        raise Refused(
            "the query gives NaN, which is not a number",
            hint="something is divided by zero; perhaps add `> 0` to what it is divided by",
        )
    return list(one.numbers)
