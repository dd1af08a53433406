"""Where things stand on a run's time axis: phases, steps, and what stopped it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

from chaosrun.reports.result import StepOutcome, StepResult, Summary
from chaosrun.reports.wording import offset, seconds

_TICKS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800)
_MOST_TICKS: Final = 8


class Piece(msgspec.Struct, frozen=True):
    """A stretch of a row; `left` and `width` are percent of the axis."""

    style: str
    left: float
    width: float
    says: str


class Row(msgspec.Struct, frozen=True):
    """One step on the axis."""

    step: StepResult
    says: str
    pieces: tuple[Piece, ...]


class Timeline(msgspec.Struct, frozen=True):
    """The axis and what stands on it; `bands` are the faults in place, in seconds."""

    end: float
    phases: tuple[Piece, ...]
    rows: tuple[Row, ...]
    ticks: tuple[tuple[float, str], ...]
    marks: tuple[tuple[float, str], ...]
    places: tuple[tuple[float, str], ...]
    bands: tuple[tuple[str, float, float], ...]


def timeline(told: Summary) -> Timeline:
    """The axis of a run, from its start to the last thing known."""
    end = told.duration or 1.0
    marks = tuple(_marks(told))
    return Timeline(
        end=end,
        phases=tuple(
            _piece(phase.name, phase.start, phase.end, end, phase.name) for phase in told.phases
        ),
        rows=tuple(Row(step, _says(step), tuple(_pieces(step, end))) for step in told.steps),
        ticks=tuple((_percent(at, end), _label(at)) for at in _ticks(end)),
        marks=marks,
        places=tuple((_percent(at, end), label) for at, label in marks),
        bands=tuple(
            (step.name, step.injected, step.restored if step.restored is not None else end)
            for step in told.steps
            if step.injected is not None
        ),
    )


def _marks(told: Summary) -> Iterator[tuple[float, str]]:
    for guard in told.guards:
        if guard.tripped is not None:
            yield guard.tripped, f"guard tripped: {guard.name}"
    for stop in told.stops:
        yield stop.at, f"stop asked for by {stop.by}"
    for resume in told.resumes:
        yield resume.at, "taken up again"


def _says(step: StepResult) -> str:
    if step.leased is None:
        return step.outcome.value
    start = step.injected if step.injected is not None else step.leased
    if step.restored is None:
        return f"{step.outcome.value} since {offset(start)}"
    return f"{offset(start)} to {offset(step.restored)} ({seconds(step.restored - start)})"


def _pieces(step: StepResult, end: float) -> Iterator[Piece]:
    if step.leased is None:
        return
    stop = step.restored if step.restored is not None else end
    first_try = min((t.at for t in step.troubles if t.doing == "revert"), default=stop)
    leaving = min(first_try, step.reverted if step.reverted is not None else stop, stop)
    start = step.injected if step.injected is not None else leaving
    yield _piece("injecting", step.leased, start, end, "injecting")
    yield _piece("in-place", start, leaving, end, "in place")
    if stop > leaving or step.restored is not None:
        owed = step.outcome is StepOutcome.OWED
        yield _piece("owed" if owed else "reverting", leaving, stop, end, "reverting")


def _piece(style: str, start: float, stop: float | None, end: float, what: str) -> Piece:
    until = end if stop is None else stop
    left, right = _percent(start, end), _percent(until, end)
    says = f"{what}: {offset(start)} to {offset(until)}"
    return Piece(style, left, round(max(0.0, right - left), 3), says)


def _percent(at: float, end: float) -> float:
    return round(min(1.0, max(0.0, at / end)) * 100, 3)


def _label(at: float) -> str:
    return f"+{at:g}s" if at < 60 else offset(at)


def _ticks(end: float) -> Iterator[float]:
    step = next((tick for tick in _TICKS if end / tick <= _MOST_TICKS), None)
    if step is None:
        step = 3600.0 * -(-end // (3600 * _MOST_TICKS))
    for index in range(int(end / step) + 1):
        yield round(index * step, 3)
