"""What a person writes: the typed, frozen form of an experiment.

Law (L4): a value of these types came through validation whole. Parameters are already
filled in; secrets are still references (`${secrets.name}`) and stay so in the journal (L9).
The JSON Schemas in schemas/ are derived from these types; descriptions come from the
docstrings and from `Meta`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chaosrun.units import JSON, Duration, Share

API_VERSION = "chaosrun.dev/v1"

Name = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
        max_length=253,
        description="Lower-case letters, digits, dashes and dots, as Kubernetes names are",
        examples=["checkout-survives-pod-loss"],
    ),
]
Title = Annotated[str, Meta(min_length=1, max_length=200)]
Arguments = Annotated[
    dict[str, JSON], Meta(description="Arguments; see `chaosrun describe NAME` for their names")
]


class Spec(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """A part of a document."""


class Metadata(Spec, frozen=True, kw_only=True):
    """The document's name and labels."""

    name: Name
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Parameter(Spec, frozen=True, kw_only=True):
    """A typed value that `--set name=value` or `--values FILE` may change."""

    type: Literal["string", "integer", "number", "boolean", "duration", "share", "size"]
    default: str | int | float | bool | None = None
    description: str = ""
    minimum: str | int | float | None = None
    maximum: str | int | float | None = None
    enum: tuple[str | int | float | bool, ...] = ()
    pattern: str = ""


class Check(Spec, frozen=True, kw_only=True):
    """A probe with the expectation that its result must meet."""

    name: Title
    probe: str
    with_: Arguments = msgspec.field(default_factory=dict, name="with")
    every: Duration = Duration(1)
    expect: Annotated[
        str,
        Meta(
            min_length=1,
            description="A CEL expression over the probe's result that must be true",
            examples=['status == 200 && latency < duration("300ms")'],
        ),
    ]
    tolerate: Annotated[
        Share, Meta(description="The share of failing samples still called healthy")
    ] = Share(0)
    samples: Annotated[
        int,
        Meta(ge=1, le=10_000, description="How many samples in a row must hold before and after"),
    ] = 1


class Guard(Spec, frozen=True, kw_only=True):
    """An abort condition: sampled while anything is owed. A guard that cannot tell has tripped."""

    name: Title
    probe: str
    with_: Arguments = msgspec.field(default_factory=dict, name="with")
    every: Duration = Duration(1)
    when: Annotated[
        str,
        Meta(
            min_length=1,
            description="A CEL expression over the probe's result that is true when it hurts",
            examples=["value > 5.0"],
        ),
    ]
    for_: Annotated[
        Duration, Meta(description="How long it must stay true, without a break, to trip")
    ] = msgspec.field(default=Duration(0), name="for")


class Step(Spec, frozen=True, kw_only=True):
    """One fault: its target, its arguments, how long it is held and what it waits for."""

    name: Title
    fault: str
    target: Annotated[dict[str, JSON], Meta(description="What the fault touches")] = {}
    with_: Arguments = msgspec.field(default_factory=dict, name="with")
    hold: Annotated[Duration, Meta(description="How long the fault stays in place")] = Duration(0)
    after: Annotated[
        tuple[str, ...] | None,
        Meta(description="Names of steps that must end first; without it, the step before"),
    ] = None
    timeout: Annotated[
        Duration, Meta(description="How long one plan, injection, revert or look may take")
    ] = Duration(10)


class Limits(Spec, frozen=True, kw_only=True):
    """Bounds on the blast radius. What cannot be measured is over the limit."""

    share: Annotated[
        Share | None,
        Meta(description="Largest share of a step's population; 50% of two or more if unset"),
    ] = None
    targets: Annotated[
        int, Meta(ge=1, le=100_000, description="Most targets over the whole method")
    ] = 10
    duration: Annotated[
        Duration, Meta(description="Longest time that faults may be in place, all steps together")
    ] = Duration(3600)
    concurrency: Annotated[
        int, Meta(ge=1, le=1000, description="Most steps in place at one time")
    ] = 10


class ExperimentSpec(Spec, frozen=True, kw_only=True):
    """The question: steady state, method, guards, limits and gates."""

    title: Title
    description: str = ""
    owner: str = ""
    parameters: dict[str, Parameter] = {}
    secrets: Annotated[
        dict[str, dict[str, JSON]],
        Meta(description="Each from one source: {env: NAME}, {file: PATH} or {command: [...]}"),
    ] = {}
    steady_state: Annotated[tuple[Check, ...], Meta(min_length=1, max_length=1000)]
    method: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=1000)]
    abort_when: Annotated[tuple[Guard, ...], Meta(max_length=1000)] = ()
    limits: Limits = Limits()
    gates: Annotated[
        tuple[Annotated[dict[str, dict[str, JSON]], Meta(min_length=1, max_length=1)], ...],
        Meta(max_length=1000),
    ] = ()
    recover_within: Annotated[
        Duration,
        Meta(description="After the last revert, how long the steady state may take to return"),
    ] = Duration(30)
    revert_within: Annotated[
        Duration,
        Meta(description="How long a failing revert is retried before the run is stranded"),
    ] = Duration(120)
    accept_irreversible: Annotated[
        tuple[str, ...], Meta(description="Faults that cannot be undone, accepted by name")
    ] = ()


class Experiment(Spec, frozen=True, kw_only=True):
    """A frozen question about a system: does its steady state survive these faults?"""

    api_version: Literal["chaosrun.dev/v1"]
    kind: Literal["Experiment"]
    metadata: Metadata
    spec: ExperimentSpec


def predecessors(steps: tuple[Step, ...]) -> dict[str, tuple[str, ...]]:
    """For each step the names it waits for: `after`, or the step before it."""
    before: dict[str, tuple[str, ...]] = {}
    previous: tuple[str, ...] = ()
    for step in steps:
        before[step.name] = previous if step.after is None else step.after
        previous = (step.name,)
    return before


def method_seconds(steps: tuple[Step, ...]) -> float:
    """The seconds of holding along the longest path of the method's graph."""
    waits, holds = predecessors(steps), {step.name: step.hold.seconds for step in steps}
    done: dict[str, float] = {}
    pending = [step.name for step in steps]
    while pending:  # validation has excluded cycles; an unknown name counts as zero
        ready = [name for name in pending if all(w in done or w not in holds for w in waits[name])]
        if not ready:
            raise ValueError("the method's graph has a cycle")
        for name in ready:
            done[name] = holds[name] + max((done.get(w, 0.0) for w in waits[name]), default=0.0)
            pending.remove(name)
    return max(done.values(), default=0.0)
