"""What a person writes about a suite, and which of its experiments may start. Pure.

Law: an experiment of a suite starts only when all that it waits for have ended and, unless the
suite says otherwise, none of those before it was a finding. What does not start says why.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Annotated, Literal

from msgspec import Meta

from chaosrun.events import Verdict
from chaosrun.spec import Metadata, Parameter, Spec, Title
from chaosrun.units import JSON

QUIET = frozenset({Verdict.PASSED})
"""The verdicts after which a suite that stops on findings goes on."""


class Entry(Spec, frozen=True, kw_only=True):
    """One experiment of a suite: where it is, its parameters, and what it waits for."""

    name: Title
    experiment: Annotated[
        str | dict[str, JSON],
        Meta(description="A file beside this one, or the document itself"),
    ]
    parameters: Annotated[
        dict[str, JSON],
        Meta(description="Values for its parameters; ${name} is one of the suite's"),
    ] = {}
    after: Annotated[
        tuple[str, ...] | None,
        Meta(description="Names of experiments that must end first; without it, the one before"),
    ] = None


class SuiteSpec(Spec, frozen=True, kw_only=True):
    """Experiments as a graph, with parameters that they share."""

    title: Title
    description: str = ""
    owner: str = ""
    parameters: dict[str, Parameter] = {}
    experiments: Annotated[tuple[Entry, ...], Meta(min_length=1, max_length=1000)]
    stop_on_finding: Annotated[
        bool, Meta(description="Whether nothing more starts once one did not pass")
    ] = True
    concurrency: Annotated[
        int, Meta(ge=1, le=1000, description="Most experiments that run at one time")
    ] = 10


class Suite(Spec, frozen=True, kw_only=True):
    """Several questions, asked in order or together, with one report."""

    api_version: Literal["chaosrun.dev/v1"]
    kind: Literal["Suite"]
    metadata: Metadata
    spec: SuiteSpec


def waits_of(entries: tuple[Entry, ...]) -> dict[str, tuple[str, ...]]:
    """For each experiment the names it waits for: `after`, or the one before it."""
    waits: dict[str, tuple[str, ...]] = {}
    previous: tuple[str, ...] = ()
    for entry in entries:
        waits[entry.name] = previous if entry.after is None else entry.after
        previous = (entry.name,)
    return waits


def may_start(
    spec: SuiteSpec, running: Set[str], ended: Mapping[str, Verdict], skipped: Set[str]
) -> tuple[str, ...]:
    """The experiments to start now, in the order in which they stand."""
    if spec.stop_on_finding and any(verdict not in QUIET for verdict in ended.values()):
        return ()
    over = set(ended) | skipped
    free = [
        name
        for name, waits in waits_of(spec.experiments).items()
        if name not in running and name not in over and over.issuperset(waits)
    ]
    return tuple(free[: max(0, spec.concurrency - len(running))])


def loudest(verdicts: Mapping[str, Verdict]) -> Verdict:
    """The verdict of the whole; refused where nothing ran at all."""
    order = list(Verdict)
    return min(verdicts.values(), key=order.index, default=Verdict.REFUSED)
