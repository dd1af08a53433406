"""Of two rules that say the same the stricter stands; nothing that was demanded is lost."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaosrun.calendars import Calendar, Closure
from chaosrun.events import Override
from chaosrun.fault import Hold
from chaosrun.journal.claims import ALL, RUNS, Approval, Hit, Standing
from chaosrun.policy.evaluate import evaluate
from chaosrun.policy.merging import Ruling, merge, rulings_of
from chaosrun.policy.rule import Asked
from chaosrun.policy.spec import (
    Approvals,
    Bound,
    Budget,
    Concurrency,
    Faults,
    Freezes,
    MayOverride,
    PolicySpec,
    Protected,
    Radius,
    Requires,
)
from chaosrun.spec import Check, Experiment, ExperimentSpec, Metadata, Step
from chaosrun.targeting import Target, populations
from chaosrun.units import Duration, Share

NOW = datetime(2026, 11, 24, 10, tzinfo=UTC).timestamp()
RULES = ["share", "targets", "window", "owner", "protected", "minimum-gap", "concurrency"]

few = st.integers(0, 4)
shares = st.sampled_from([0.0, 0.2, 0.34, 0.5, 1.0]).map(Share)
durations = st.sampled_from([60.0, 600.0, 7200.0]).map(Duration)
names = st.sampled_from(["a", "b", "*"])
bounds = st.builds(Bound, share=st.none() | shares, targets=st.none() | few)
protections = st.builds(
    Protected,
    kind=st.sampled_from(["pod", "node", "p*"]),
    id=names,
    labels=st.dictionaries(st.just("tier"), names, max_size=1),
    namespace=st.sampled_from(["", "shop", "kube-*"]),
)
calendars = st.builds(
    Calendar,
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Tokyo"]),
    hours=st.sampled_from([("09:00-17:00",), ("00:00-24:00",), ("20:00-24:00",)]),
)
rights = st.builds(
    MayOverride,
    rules=st.lists(st.sampled_from([*RULES, "*"]), min_size=1, max_size=3).map(tuple),
    by=st.lists(st.sampled_from(["ann", "bob", "group:sre", "*"]), min_size=1, max_size=2).map(
        tuple
    ),
    ticket=st.booleans(),
)
specs = st.builds(
    PolicySpec,
    applies_to=st.just({})
    | st.builds(lambda p: {"environment": (p,)}, st.sampled_from(["prod", "*"])),
    environments=st.none() | st.lists(st.sampled_from(["prod", "dev"]), max_size=2).map(tuple),
    requires=st.builds(
        Requires,
        owner=st.booleans(),
        ticket=st.sampled_from(["", "CHG-[0-9]+"]),
        labels=st.dictionaries(st.just("team"), names, max_size=1),
    ),
    protect=st.lists(protections, max_size=2).map(tuple),
    opt_in=st.dictionaries(st.just("tier"), names, max_size=1),
    limits=st.builds(
        Radius,
        share=st.none() | shares,
        targets=st.none() | few,
        duration=st.none() | durations,
        per_workload=bounds,
        per_group=bounds,
        per_zone=bounds,
    ),
    budget=st.builds(Budget, targets=st.none() | few, per_workload=bounds, per_zone=bounds),
    concurrency=st.builds(
        Concurrency, runs=st.none() | few, per_label=st.dictionaries(st.just("team"), few)
    ),
    minimum_gap=st.none() | durations,
    windows=st.lists(calendars, max_size=2).map(tuple),
    freezes=st.lists(
        st.sampled_from(["2026-11-24", "2026-12-24..2027-01-01"]).map(
            lambda dates: Freezes(dates=(Closure(dates=dates),))
        ),
        max_size=1,
    ).map(tuple),
    faults=st.builds(
        Faults,
        allowed=st.none() | st.just(("x.*",)),
        forbidden=st.sampled_from([(), ("x.kill",), ("y.*",)]),
        need_approval=st.sampled_from([(), ("x.*",)]),
    ),
    approvals=st.builds(Approvals, count=st.integers(1, 2), own=st.booleans()),
    overrides=st.lists(rights, max_size=2).map(tuple),
)

targets = st.builds(
    Target,
    kind=st.sampled_from(["pod", "node"]),
    id=st.sampled_from(["a", "b", "c"]),
    domain=st.sampled_from(["", "z1", "z2"]),
    labels=st.none() | st.dictionaries(st.just("tier"), st.sampled_from(["a", "b"])),
    groups=st.dictionaries(
        st.sampled_from(["namespace", "workload", "group"]),
        st.sampled_from(["", "shop", "kube-system"]),
    ),
)


@st.composite
def questions(draw: st.DrawFn) -> Asked:
    """An experiment with plans, and other runs."""
    steps, holds = [], {}
    for name in draw(st.sampled_from([("s",), ("s", "t")])):
        population = draw(st.lists(targets, min_size=1, max_size=5, unique_by=lambda t: t.key))
        count = draw(st.integers(1, len(population)))
        holds[name] = Hold(
            fault="x.kill", targets=tuple(population[:count]), population=len(population),
            populations=draw(st.just({}) | st.just(populations(population))), effect="",
        )  # fmt: skip
        fault = draw(st.sampled_from(["x.kill", "x.slow", "y.kill"]))
        steps.append(Step(name=name, fault=fault, hold=draw(durations)))
    labels = draw(
        st.fixed_dictionaries(
            {}, optional={"environment": st.sampled_from(["prod", "dev"]), "team": names}
        )
    )
    experiment = Experiment(
        api_version="chaosrun.dev/v1",
        kind="Experiment",
        metadata=Metadata(name="e", labels=labels),
        spec=ExperimentSpec(
            title="e",
            owner=draw(st.sampled_from(["", "shop"])),
            steady_state=(Check(name="c", probe="p", expect="fine"),),
            method=tuple(steps),
        ),
    )
    items = st.frozensets(st.sampled_from(["pod:x", "pod:y", "pod:z"]))
    keys = sorted({key for hold in holds.values() for t in hold.targets for key in t.shares})
    standing = Standing(
        claims={key: draw(items) for key in (ALL, RUNS, "runs team=a", *keys)},
        hits={
            t.key: Hit("other", "l", NOW - draw(st.sampled_from([30.0, 3000.0])))
            for t in holds["s"].targets
        },
        approvals=(
            Approval(digest="d", by="eve", names=("eve",), reason="", at=NOW, expires=NOW + 60),
        )
        * draw(st.integers(0, 1)),
    )
    return Asked(
        experiment=experiment, digest="d", holds=holds, now=NOW, standing=standing,
        names=draw(st.sampled_from([("ann", "ann@h"), ("bob", "bob@h", "group:sre")])),
        step=draw(st.sampled_from(["", "s"])), ticket=draw(st.sampled_from(["", "CHG-1"])),
    )  # fmt: skip


overriding = st.lists(st.sampled_from(RULES), max_size=3, unique=True).map(
    lambda rules: [Override(rule=rule, by="x", reason="because") for rule in rules]
)


@given(specs, specs, questions(), overriding)
def test_what_two_policies_let_pass_each_of_them_lets_pass(
    first: PolicySpec, second: PolicySpec, asked: Asked, overrides: list[Override]
) -> None:
    one, two = rulings_of(first, "one"), rulings_of(second, "two")
    together = evaluate(merge((*one, *two)), asked, overrides)
    apart = [evaluate(merge(each), asked, overrides) for each in (one, two)]
    assert together.passes == all(each.passes for each in apart)


@given(specs, questions(), overriding)
def test_merging_drops_no_demand_of_a_policy(
    spec: PolicySpec, asked: Asked, overrides: list[Override]
) -> None:
    plain = evaluate(rulings_of(spec, "one"), asked, overrides)
    assert evaluate(merge(rulings_of(spec, "one")), asked, overrides).passes == plain.passes


@given(st.lists(specs, max_size=4), st.randoms())
def test_the_order_changes_nothing(found: list[PolicySpec], rng: object) -> None:
    rulings = [r for n, spec in enumerate(found) for r in rulings_of(spec, f"p{n}")]
    shuffled = list(rulings)
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert merge(shuffled) == merge(rulings)


@given(specs, questions())
def test_a_policy_added_to_itself_is_the_same(spec: PolicySpec, asked: Asked) -> None:
    rulings = rulings_of(spec, "one")
    assert merge((*rulings, *rulings)) == merge(rulings)


def stands(*specs: PolicySpec) -> list[tuple[str, str]]:
    """The rules that stand of policies p0, p1, ..., each with its limit."""
    rulings: list[Ruling] = []
    for number, spec in enumerate(specs):
        rulings += rulings_of(spec, f"p{number}")
    return [(ruling.source, ruling.rule.limit) for ruling in merge(rulings)]


@pytest.mark.parametrize(
    ("loose", "strict", "limit"),
    [
        (PolicySpec(limits=Radius(share=Share(0.5))), PolicySpec(limits=Radius(share=Share(0.2))),
         "at most 20% of a step's population"),
        (PolicySpec(limits=Radius(targets=5)), PolicySpec(limits=Radius(targets=2)),
         "at most 2 targets over all steps"),
        (PolicySpec(limits=Radius(duration=Duration(60))),
         PolicySpec(limits=Radius(duration=Duration(5))), "at most 5s"),
        (PolicySpec(limits=Radius(per_zone=Bound(targets=3))),
         PolicySpec(limits=Radius(per_zone=Bound(targets=1))),
         "at most 1 target of a zone, for each kind of target"),
        (PolicySpec(budget=Budget(targets=9)), PolicySpec(budget=Budget(targets=8)),
         "at most 8 targets at once over all runs"),
        (PolicySpec(concurrency=Concurrency(runs=3)), PolicySpec(concurrency=Concurrency(runs=1)),
         "at most 1 run at once"),
        (PolicySpec(minimum_gap=Duration(60)), PolicySpec(minimum_gap=Duration(3600)),
         "at least 1h between the faults of two runs on the same target"),
        (PolicySpec(environments=("dev", "prod")), PolicySpec(environments=("dev",)),
         "the environment is dev"),
        (PolicySpec(faults=Faults(allowed=("a", "b"))), PolicySpec(faults=Faults(allowed=("a",))),
         "only a may be used"),
    ],
)  # fmt: skip
def test_the_stricter_of_two_bounds_stands(
    loose: PolicySpec, strict: PolicySpec, limit: str
) -> None:
    assert stands(loose, strict) == [("p1", limit)]
    assert stands(strict, loose) == [("p0", limit)]


def test_a_stricter_rule_that_more_people_may_override_does_not_replace_a_looser_one() -> None:
    firm = PolicySpec(limits=Radius(targets=5))
    soft = PolicySpec(
        limits=Radius(targets=2), overrides=(MayOverride(rules=("targets",), by=("ann",)),)
    )
    assert len(stands(firm, soft)) == 2


def test_a_stricter_rule_about_fewer_experiments_does_not_replace_a_looser_one() -> None:
    everywhere = PolicySpec(limits=Radius(targets=5))
    production = PolicySpec(limits=Radius(targets=2), applies_to={"environment": ("prod",)})
    assert len(stands(everywhere, production)) == 2
    assert len(stands(production, production)) == 1


def test_demands_of_different_things_all_stand() -> None:
    found = stands(
        PolicySpec(protect=(Protected(kind="db"),), opt_in={"chaos": "on"}),
        PolicySpec(protect=(Protected(kind="dns"),), faults=Faults(forbidden=("x",))),
    )
    assert len(found) == 4
