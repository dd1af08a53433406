"""Samples as series of numbers: which field to plot, its thresholds, and fewer points.

Law: a sample that failed is never left out of a picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import median
from typing import Final

import msgspec

from chaosrun.events import Moment, Outcome, Sampled
from chaosrun.expression import thresholds
from chaosrun.reports.result import CheckResult, Counts, GuardResult, Sample, Threshold
from chaosrun.units import JSON, Duration, Share

_USUAL: Final = (
    "latency", "p99", "p95", "value", "errorShare", "errors", "ready", "duration", "status", "code",
)  # fmt: skip
"""What to plot when the expectation bounds nothing: the first of these that is a number."""

_BOUNDS: Final = ("<", "<=", ">", ">=")
_PER_UNIT: Final = {"ms": 1000.0, "%": 100.0}
"""An expectation counts durations in seconds and shares in fractions."""


class Plot(msgspec.Struct, frozen=True):
    """What of a probe's result is plotted, in which unit, against which bounds."""

    field: str = ""
    unit: str = ""
    thresholds: tuple[Threshold, ...] = ()


def number(value: JSON) -> tuple[float, str] | None:
    """A number and its unit, or None for what is not one. Durations come in milliseconds."""
    if isinstance(value, bool) or value is None:
        return None
    if isinstance(value, int | float):
        return float(value), ""
    if isinstance(value, str) and value[:1].isdigit():
        try:
            if value.endswith("%"):
                return Share.parse(value).fraction * 100, "%"
            return Duration.parse(value).seconds * 1000, "ms"
        except ValueError:
            return None
    return None


def at_path(result: JSON, path: str) -> JSON:
    """The field of a result by its dotted name, or None."""
    for name in path.split("."):
        if not isinstance(result, Mapping):
            return None
        result = result.get(name)
    return result


def choose(expression: str, sampled: Sequence[Sampled]) -> Plot:
    """What to plot of these samples: what the expectation bounds, else the usual."""
    bounds = [bound for bound in thresholds(expression) if bound.operator in _BOUNDS]
    for field in dict.fromkeys((*(bound.field for bound in bounds), *_USUAL)):
        for sample in sampled:
            found = number(at_path(sample.result, field))
            if found is not None:
                scale = _PER_UNIT.get(found[1], 1.0)
                mine = tuple(
                    Threshold(field=field, operator=b.operator, value=round(b.number * scale, 6))
                    for b in bounds
                    if b.field == field
                )
                return Plot(field, found[1], mine)
    return Plot()


def to_samples(plot: Plot, sampled: Iterable[Sampled], start: float) -> tuple[Sample, ...]:
    """Samples in the order of their time."""
    samples = []
    for event in sampled:
        found = number(at_path(event.result, plot.field)) if plot.field else None
        samples.append(
            Sample(
                at=max(0.0, round(event.began - start, 6)),
                moment=event.moment,
                outcome=event.outcome,
                value=None if found is None else round(found[0], 6),
                reason=event.reason,
            )
        )
    return tuple(sorted(samples, key=lambda sample: sample.at))


def count(samples: Iterable[Sample], moment: Moment) -> Counts:
    """How many of that moment's samples held, broke and were unknown, and their numbers."""
    mine = [sample for sample in samples if sample.moment is moment]
    values = [sample.value for sample in mine if sample.value is not None]
    tally = {outcome: sum(s.outcome is outcome for s in mine) for outcome in Outcome}
    return Counts(
        held=tally[Outcome.HELD],
        broke=tally[Outcome.BROKE],
        unknown=tally[Outcome.UNKNOWN],
        median=round(median(values), 6) if values else None,
        least=min(values) if values else None,
        most=max(values) if values else None,
    )


def thin(samples: Sequence[Sample], most: int) -> list[Sample]:
    """About `most` samples that look the same: all that failed, the extremes of the others.

    The time is cut into equal buckets; of each bucket's held samples the lowest and the
    highest stay. Ends stay, so that the line starts and stops where it did.
    """
    if len(samples) <= most:
        return list(samples)
    held = [s for s in samples if s.outcome is Outcome.HELD]
    kept = [s for s in samples if s.outcome is not Outcome.HELD]
    if held:
        width = max(1, -(-len(held) * 2 // most))
        for first in range(0, len(held), width):
            bucket = sorted(held[first : first + width], key=_height)
            kept += {id(s): s for s in (bucket[0], bucket[-1])}.values()
        kept += [s for s in (held[0], held[-1]) if not any(s is k for k in kept)]
    return sorted(kept, key=lambda sample: sample.at)


def _height(sample: Sample) -> float:
    return sample.value if sample.value is not None else 0.0


def worst(series: CheckResult | GuardResult) -> str:
    """Whether `least` or `most` is the bad end of a series: what its thresholds look out for."""
    guard = isinstance(series, GuardResult)
    for threshold in series.thresholds:
        upper = threshold.operator.startswith("<") is not guard
        return "most" if upper else "least"
    return "most"
