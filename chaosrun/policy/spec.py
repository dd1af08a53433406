"""What a person writes in a policy: the typed, frozen form of `kind: Policy`.

Law (L4): several policies add up, and a key that is left out demands nothing. The JSON Schema
schemas/policy.schema.json is derived from these types.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from msgspec import Meta

from chaosrun.calendars import Calendar, Closure
from chaosrun.calendars.zones import zone_of
from chaosrun.spec import Metadata, Spec
from chaosrun.units import JSON, Duration, Share

Pattern = Annotated[
    str, Meta(min_length=1, description="A pattern: * stands for any letters", examples=["db-*"])
]
Who = Annotated[
    tuple[Annotated[str, Meta(min_length=1)], ...],
    Meta(
        description="Users (`ann`, `ann@host`), groups (`group:sre`), and what CHAOSRUN_ACTOR says"
        " (`env:release-pipeline`); * stands for any letters",
        examples=[["ann", "group:sre", "env:release-*"]],
    ),
]
Labels = Annotated[
    dict[str, Pattern],
    Meta(description="Labels or tags, and patterns of their values", examples=[{"tier": "db*"}]),
]
Count = Annotated[int, Meta(ge=0, le=100_000)]


class Those(Spec, frozen=True, kw_only=True):
    """Some targets. A target is meant when all that is given fits."""

    kind: Annotated[Pattern, Meta(description="The kind of target, as a plan shows it")] = "*"
    id: Annotated[Pattern, Meta(description="Its id or its name")] = "*"
    labels: Labels = {}
    account: Annotated[str, Meta(description="A pattern of its account or cluster")] = ""
    namespace: Annotated[str, Meta(description="A pattern of its namespace")] = ""
    workload: Annotated[str, Meta(description="A pattern of its workload")] = ""
    group: Annotated[str, Meta(description="A pattern of its group")] = ""
    zone: Annotated[str, Meta(description="A pattern of its zone")] = ""

    @property
    def groups(self) -> dict[str, str]:
        named = ("account", "namespace", "workload", "group", "zone")
        return {name: pattern for name in named if (pattern := getattr(self, name))}


class Protected(Those, frozen=True, kw_only=True):
    """Targets that nobody touches. A target is meant when all that is given fits."""

    because: Annotated[str, Meta(description="Why, for who is refused")] = ""

    def __post_init__(self) -> None:
        if (self.kind, self.id) == ("*", "*") and not (self.labels or self.groups):
            raise ValueError("say which targets: this protects every one, and nothing could run")


class Opened(Those, frozen=True, kw_only=True):
    """Targets that are reserved, such as pods of kube-system, and may be touched all the same.

    A target is meant when all that is given fits, and the experiment when it has each label of
    `appliesTo`. What another policy protects stays so.
    """

    because: Annotated[str, Meta(min_length=1, description="Why, for who reads the report")]

    def __post_init__(self) -> None:
        if self.id == "*" and not (self.labels or self.namespace or self.workload):
            raise ValueError("name them: by `namespace`, `workload`, `id` or `labels`")


class Bound(Spec, frozen=True, kw_only=True):
    """The most that may be touched of one workload, group or zone, for each kind of target."""

    share: Share | None = None
    targets: Count | None = None


class Radius(Spec, frozen=True, kw_only=True):
    """The most that one experiment may touch, whatever its own limits say."""

    share: Annotated[Share | None, Meta(description="Of each step's population")] = None
    targets: Annotated[Count | None, Meta(description="Over all steps")] = None
    duration: Annotated[
        Duration | None, Meta(description="How long faults may be in place, all steps together")
    ] = None
    per_workload: Bound = Bound()
    per_group: Bound = Bound()
    per_zone: Bound = Bound()


class Budget(Spec, frozen=True, kw_only=True):
    """The most that may be touched at once by all runs together."""

    targets: Count | None = None
    per_workload: Bound = Bound()
    per_group: Bound = Bound()
    per_zone: Bound = Bound()


class Concurrency(Spec, frozen=True, kw_only=True):
    """The most runs at once: from a run's first fault to its end."""

    runs: Count | None = None
    per_label: Annotated[
        dict[str, Count],
        Meta(
            description="For each label of experiments, the most runs with the same value of it",
            examples=[{"team": 1}],
        ),
    ] = {}


class Requires(Spec, frozen=True, kw_only=True):
    """What every experiment must say of itself."""

    owner: Annotated[bool, Meta(description="`owner` must be given")] = False
    ticket: Annotated[
        str,
        Meta(
            description="A regular expression of the ticket, given by `--ticket` or as the label or"
            " annotation `ticket`",
            examples=["CHG-[0-9]+"],
        ),
    ] = ""
    labels: Labels = {}

    def __post_init__(self) -> None:
        try:
            re.compile(self.ticket)
        except re.error as error:
            raise ValueError(f"`ticket` is not a regular expression: {error}") from None


class Freezes(Spec, frozen=True, kw_only=True):
    """Days and times at which nothing may be touched."""

    timezone: str = "UTC"
    dates: Annotated[tuple[Closure, ...], Meta(min_length=1)]

    def __post_init__(self) -> None:
        zone_of(self.timezone)


class Faults(Spec, frozen=True, kw_only=True):
    """Which faults may be used. Patterns of their names, such as `aws.rds-*`."""

    allowed: Annotated[
        tuple[Pattern, ...] | None, Meta(description="Only these; every one where it is left out")
    ] = None
    forbidden: tuple[Pattern, ...] = ()
    need_approval: tuple[Pattern, ...] = ()


class Approvals(Spec, frozen=True, kw_only=True):
    """Who may approve what needs approval (`chaosrun approve`), and how."""

    by: Who = ("*", "env:*")
    count: Annotated[int, Meta(ge=1, le=100, description="How many people must approve")] = 1
    own: Annotated[bool, Meta(description="Whether who runs it may approve it, too")] = False
    valid_for: Annotated[
        Duration, Meta(description="How old an approval may be at most, whatever it says itself")
    ] = Duration(7 * 86400)


class MayOverride(Spec, frozen=True, kw_only=True):
    """Who may override which of this policy's rules, with a reason that is kept."""

    rules: Annotated[
        tuple[Pattern, ...],
        Meta(min_length=1, description="Patterns of rules as `chaosrun policy show` names them"),
    ]
    by: Annotated[Who, Meta(min_length=1)]
    ticket: Annotated[bool, Meta(description="Whether a ticket must be given, too")] = False


class HaltSources(Spec, frozen=True, kw_only=True):
    """Switches outside of chaosrun that halt everything. One that cannot be read is on."""

    sources: Annotated[
        tuple[Annotated[dict[str, dict[str, JSON]], Meta(min_length=1, max_length=1)], ...],
        Meta(max_length=100),
    ] = ()


class PolicySpec(Spec, frozen=True, kw_only=True):
    """What is demanded of every experiment, or of those with certain labels."""

    description: str = ""
    applies_to: Annotated[
        dict[str, tuple[Pattern, ...]],
        Meta(
            description="Labels of experiments, and patterns of their values. An experiment is left"
            " out only when it has such a label with another value",
            examples=[{"environment": ["production"]}],
        ),
    ] = {}
    environments: Annotated[
        tuple[Pattern, ...] | None,
        Meta(description="The environments, as the label `environment` of an experiment says"),
    ] = None
    requires: Requires = Requires()
    protect: Annotated[tuple[Protected, ...], Meta(max_length=1000)] = ()
    opens: Annotated[
        tuple[Opened, ...],
        Meta(
            max_length=1000,
            description="Reserved targets that may be touched: of kube-system, or chaosrun's own",
            examples=[
                [
                    {
                        "namespace": "kube-system",
                        "labels": {"k8s-app": "kube-dns"},
                        "because": "lookups must survive the loss of a server",
                    }
                ]
            ],
        ),
    ] = ()
    opt_in: Annotated[
        Labels,
        Meta(description="Labels or tags that every target must have", examples=[{"chaos": "on"}]),
    ] = {}
    limits: Radius = Radius()
    budget: Budget = Budget()
    concurrency: Concurrency = Concurrency()
    minimum_gap: Annotated[
        Duration | None,
        Meta(description="The least time between the faults of two runs on the same target"),
    ] = None
    windows: Annotated[
        tuple[Calendar, ...], Meta(description="When runs may touch something: in one of these")
    ] = ()
    freezes: tuple[Freezes, ...] = ()
    faults: Faults = Faults()
    approvals: Approvals = Approvals()
    overrides: tuple[MayOverride, ...] = ()
    gates: Annotated[
        tuple[Annotated[dict[str, dict[str, JSON]], Meta(min_length=1, max_length=1)], ...],
        Meta(max_length=1000, description="Gates of every experiment, besides its own"),
    ] = ()
    halt: HaltSources = HaltSources()
    secrets: Annotated[
        dict[str, dict[str, JSON]],
        Meta(description="For gates and halt sources, each from one source: {env: NAME}, ..."),
    ] = {}


class Policy(Spec, frozen=True, kw_only=True):
    """What an organisation demands of every experiment."""

    api_version: Literal["chaosrun.dev/v1"]
    kind: Literal["Policy"]
    metadata: Metadata
    spec: PolicySpec
