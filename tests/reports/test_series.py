"""Samples as series: what is plotted, and what is never left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosrun.events import Moment, Outcome, Sampled
from chaosrun.reports.result import Sample
from chaosrun.reports.series import choose, count, number, thin
from chaosrun.units import JSON


def sampled(result: JSON) -> Sampled:
    return Sampled(
        at=1.0, subject="check", name="c", moment=Moment.DURING, outcome=Outcome.HELD,
        began=1.0, result=result,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("expression", "result", "field", "unit", "bounds"),
    [
        ('status == 200 && latency < duration("1s")', {"latency": "20ms", "status": 200},
         "latency", "ms", [("<", 1000.0)]),
        ("value > 5.0", {"value": 1.5}, "value", "", [(">", 5.0)]),
        ("2 <= json.ready", {"json": {"ready": 3}}, "json.ready", "", [(">=", 2.0)]),
        ("free >= 0.25", {"free": "40%"}, "free", "%", [(">=", 25.0)]),
        ('latency > duration("1ms") && latency < duration("2ms")', {"latency": "1.5ms"},
         "latency", "ms", [(">", 1.0), ("<", 2.0)]),
        ("status == 200", {"status": 200, "latency": "3ms"}, "latency", "ms", []),
        ("status == 200", {"status": 200}, "status", "", []),
        ("open", {"open": True}, "", "", []),
        ("gone < 5", {"value": 3}, "value", "", []),
        ("x < 5", None, "", "", []),
    ],
)  # fmt: skip
def test_what_an_expectation_bounds_is_plotted_else_the_usual(
    expression: str, result: JSON, field: str, unit: str, bounds: list[tuple[str, float]]
) -> None:
    plot = choose(expression, [sampled(None), sampled(result)])
    assert (plot.field, plot.unit) == (field, unit)
    assert [(bound.operator, bound.value) for bound in plot.thresholds] == bounds


@pytest.mark.parametrize("text", [True, None, "up", "", [], {}, "12", "1 apple", "140%"])
def test_what_is_not_a_number_with_its_unit_is_not_plotted(text: JSON) -> None:
    assert number(text) is None


SAMPLES = st.lists(
    st.builds(
        Sample,
        at=st.floats(0, 1e6),
        moment=st.sampled_from(Moment),
        outcome=st.sampled_from([Outcome.HELD] * 8 + list(Outcome)),
        value=st.none() | st.floats(-1e6, 1e6),
    ),
    max_size=300,
).map(lambda samples: sorted(samples, key=lambda sample: sample.at))


@given(SAMPLES, st.integers(10, 100))
def test_thinning_keeps_every_failure_the_ends_and_the_extremes(
    samples: list[Sample], most: int
) -> None:
    kept = thin(samples, most)
    failed = [sample for sample in samples if sample.outcome is not Outcome.HELD]
    assert [sample for sample in kept if sample.outcome is not Outcome.HELD] == failed
    assert len(kept) <= most + len(failed) + 4
    assert [sample.at for sample in kept] == sorted(sample.at for sample in kept)
    held = [sample for sample in samples if sample.outcome is Outcome.HELD]
    if held:
        values = [s.value for s in held if s.value is not None]
        thinned = [s.value for s in kept if s.outcome is Outcome.HELD and s.value is not None]
        assert max(values, default=0.0) <= max(thinned, default=0.0) or not values
        assert any(s is held[0] for s in kept)
        assert any(s is held[-1] for s in kept)


def test_counts_are_per_moment() -> None:
    def at(moment: Moment, outcome: Outcome, value: float) -> Sample:
        return Sample(at=0.0, moment=moment, outcome=outcome, value=value)

    samples = [
        at(Moment.BEFORE, Outcome.HELD, 1.0),
        at(Moment.DURING, Outcome.BROKE, 9.0),
        at(Moment.DURING, Outcome.HELD, 3.0),
        at(Moment.DURING, Outcome.UNKNOWN, 4.0),
    ]
    during = count(samples, Moment.DURING)
    assert (during.held, during.broke, during.unknown, during.total) == (1, 1, 1, 3)
    assert (during.median, during.least, during.most) == (4.0, 3.0, 9.0)
    assert count(samples, Moment.AFTER).median is None
