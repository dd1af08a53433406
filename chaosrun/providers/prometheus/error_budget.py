"""The gate `error-budget`: is enough of what may fail still left?

Law (L4): no data, no traffic and numbers that contradict each other are unknown, so closed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, ClassVar
from urllib.parse import urlsplit

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.gate import Gate, Measured
from chaosrun.units import JSON, Duration, Share
from chaosrun.web import Endpoint

if TYPE_CHECKING:
    from chaosrun.providers.prometheus.client import Prometheus

_WINDOW = "$window"
_DIGITS = 9
_EXTRAPOLATED = 1.01
"""How much more than all may be good: `increase` extrapolates each of the two by itself."""


class ErrorBudget(Endpoint, Gate["Prometheus"], frozen=True, kw_only=True):
    """Open while enough of a service's error budget is left, says Prometheus.

    With an objective of 99.9% a thousandth of all events in the window may be bad: that is the
    budget. `left` is the part of it that is not used up; it is negative once more was used than
    there was. Write `$window` in both queries where the window goes.
    """

    name: ClassVar[str] = "error-budget"
    example: ClassVar[dict[str, JSON]] = {
        "url": "http://prometheus:9090",
        "objective": "99.9%",
        "window": "30d",
        "good": 'sum(increase(http_requests_total{job="checkout",code!~"5.."}[$window]))',
        "total": 'sum(increase(http_requests_total{job="checkout"}[$window]))',
        "left": "25%",
    }

    objective: Annotated[
        Share, Meta(description="The share of events that must be good", examples=["99.9%"])
    ]
    window: Annotated[
        Duration, Meta(description="The time that the objective is about", examples=["30d"])
    ] = Duration(30 * 86400)
    good: Annotated[
        str,
        Meta(
            description="PromQL that counts the good events of the `$window`",
            examples=['sum(increase(http_requests_total{code!~"5.."}[$window]))'],
        ),
    ]
    total: Annotated[
        str,
        Meta(
            description="PromQL that counts all of its events",
            examples=["sum(increase(http_requests_total[$window]))"],
        ),
    ]
    left: Annotated[Share, Meta(description="The least part of the budget that must be left")] = (
        Share(0.1)
    )
    timeout: Annotated[Duration, Meta(description="For each of the two queries")] = Duration(5)

    def __post_init__(self) -> None:
        super().__post_init__()
        if urlsplit(self.url).query or urlsplit(self.url).fragment:
            raise ValueError("`url` is the base, such as http://prometheus:9090, without a query")
        if not 0 < self.objective.fraction < 1:
            raise ValueError(
                "`objective` must be between 0% and 100%, and neither: nothing may fail at 100%, "
                "so no budget is ever left"
            )
        if self.window.seconds < 1:
            raise ValueError("`window` must be at least 1s")
        for name, query in (("good", self.good), ("total", self.total)):
            if _WINDOW not in query:
                raise ValueError(f"`{name}` does not use the window: write {_WINDOW} for it")

    @property
    def time_needed(self) -> Duration:
        return Duration(2 * self.timeout.seconds + 0.25)

    def measure(self, client: Prometheus) -> Measured:
        """Ask for both counts, for now."""
        good, total = (
            self._count(client, self.good, "good"),
            self._count(client, self.total, "total"),
        )
        left = left_of(good=good, total=total, objective=self.objective.fraction)
        return Measured(
            open=left >= self.left.fraction,
            measured=f"{_percent(left)} of the error budget is left: {_number(total - good)} of "
            f"{_number(total)} were bad in {self.window}, where {self.objective} must be good",
            rule=f"at least {self.left} of the error budget must be left",
            hint="" if left >= self.left.fraction else "wait until bad events leave the window",
        )

    def _count(self, client: Prometheus, query: str, name: str) -> float:
        written = query.replace(_WINDOW, f"{math.floor(self.window.seconds)}s")
        series, _ = client.query(self, "/api/v1/query", {"query": written})
        numbers = [number for one in series for number in one.numbers]
        if len(series) != 1 or len(numbers) != 1:
            raise Refused(
                f"the query `{name}` gives {len(series)} series with {len(numbers)} numbers, not "
                "one number",
                hint="a misspelt name or label? aggregate with sum(...)",
            )
        return numbers[0]


def left_of(*, good: float, total: float, objective: float) -> float:
    """The part of the error budget that is left: 1 when all was good, negative when overspent.

    Raises Refused when the counts cannot tell.
    """
    if not (math.isfinite(good) and math.isfinite(total)) or good < 0 or total < 0:
        raise Refused(f"the counts, {good} good of {total}, are not counts")
    if total == 0:
        raise Refused(
            "there were no events in the window, so there is nothing to tell the budget by",
            hint="is `total` the right query?",
        )
    if good > total * _EXTRAPOLATED:
        raise Refused(
            f"more events were good, {_number(good)}, than there were, {_number(total)}",
            hint="are `good` and `total` the wrong way round?",
        )
    bad = max(0.0, total - good) / total
    return round(1 - bad / (1 - objective), _DIGITS)


def _percent(part: float) -> str:
    # Downwards: what is too little must not be shown as enough.
    return f"{math.floor(round(part * 1000, 6)) / 10:g}%"


def _number(count: float) -> str:
    return f"{max(0.0, count):,.0f}"
