"""Runs under policies: refused at the start, before a lease, and in the moment of the lease."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaosrun import events as e
from chaosrun.codec import from_plain, to_json
from chaosrun.errors import JournalUnavailable
from chaosrun.events import Override, PolicySource, Verdict
from chaosrun.journal import Journal
from chaosrun.journal.claims import Approval, Standing
from chaosrun.policed import Under
from chaosrun.policy.actor import actor_of
from chaosrun.policy.policies import Document, Policies, added_up
from chaosrun.policy.spec import Policy
from chaosrun.run import fold
from chaosrun.units import Duration
from tests.engine.conftest import Driven, World, wait
from tests.journal.making import leased, started

ANN = actor_of("ann", "desk", ["sre"], "")


def policies(*specs: dict[str, Any]) -> Policies:
    documents = []
    for number, spec in enumerate(specs):
        plain = {
            "apiVersion": "chaosrun.dev/v1", "kind": "Policy",
            "metadata": {"name": f"p{number}"}, "spec": spec,
        }  # fmt: skip
        source = PolicySource(name=f"p{number}", file=f"/p{number}.yaml", digest="d")
        documents.append(Document(from_plain(plain, Policy), source))
    return added_up(documents)


def under(*specs: dict[str, Any], **more: Any) -> Under:
    return Under(policies=policies(*specs), actor=ANN, **more)


def measured(driven: Driven) -> list[e.PolicyMeasured]:
    return [event for event in driven.events if isinstance(event, e.PolicyMeasured)]


def test_a_run_within_its_policies_passes_and_notes_them(driven: Driven, world: World) -> None:
    demands = under({"limits": {"targets": 3}, "concurrency": {"runs": 1}}, ticket="CHG-1")
    driven.start(world.experiment(), under=demands)
    assert driven.end().verdict is Verdict.PASSED
    started = driven.events[0]
    assert isinstance(started, e.Started)
    assert (started.by, started.ticket, started.policies[0].name) == ("ann@desk", "CHG-1", "p0")
    first, last = measured(driven)
    assert (first.step, last.step) == ("", "break")
    assert [rule.rule for rule in first.rules] == ["concurrency", "targets"]
    assert [term.key for term in last.terms] == ["runs"]
    leased = driven.wait_for(e.Leased)
    assert isinstance(leased, e.Leased)
    assert leased.terms == last.terms


def test_without_policies_nothing_is_measured(driven: Driven, world: World) -> None:
    driven.start(world.experiment())
    assert driven.end().verdict is Verdict.PASSED
    assert measured(driven) == []


def test_a_rule_that_is_not_met_refuses_before_anything_is_touched(
    driven: Driven, world: World
) -> None:
    driven.start(
        world.experiment(), under=under({"limits": {"targets": 0}, "requires": {"owner": True}})
    )
    finished = driven.end()
    assert finished.verdict is Verdict.REFUSED
    assert finished.reason == (
        "policy owner: it has no owner (rule: an experiment has an owner; p0, /p0.yaml); and 1 more"
    )
    assert world.marks == []
    assert not any(isinstance(event, e.Leased) for event in driven.events)


def test_a_policy_about_other_experiments_is_not_asked(driven: Driven, world: World) -> None:
    strict = {"limits": {"targets": 0}, "appliesTo": {"environment": ["production"]}}
    experiment = world.experiment()
    labelled = {"environment": "staging"}
    metadata = msgspec.structs.replace(experiment.metadata, labels=labelled)
    experiment = msgspec.structs.replace(experiment, metadata=metadata)
    driven.start(experiment, under=under(strict))
    assert driven.end().verdict is Verdict.PASSED
    assert measured(driven) == []


def test_an_override_of_one_who_may_is_on_record(driven: Driven, world: World) -> None:
    spec = {
        "limits": {"targets": 0},
        "overrides": [{"rules": ["targets"], "by": ["group:sre"]}],
    }
    override = Override(rule="targets", by="ann@desk", reason="a drill", ticket="CHG-7")
    driven.start(world.experiment(), under=under(spec, overrides=(override,)))
    assert driven.end().verdict is Verdict.PASSED
    (rule,) = measured(driven)[0].rules
    assert (rule.within, rule.override) == (False, override)


def test_an_override_of_one_who_may_not_refuses_and_says_who_may(
    driven: Driven, world: World
) -> None:
    spec = {"limits": {"targets": 0}, "overrides": [{"rules": ["targets"], "by": ["bob"]}]}
    override = Override(rule="targets", by="ann@desk", reason="a drill")
    driven.start(world.experiment(), under=under(spec, overrides=(override,)))
    assert driven.end().verdict is Verdict.REFUSED
    (rule,) = measured(driven)[0].rules
    assert rule.hint == "only bob may override targets; or pick fewer"


def test_a_window_that_closes_meanwhile_refuses_before_the_lease(
    journal: Journal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again just before each lease: the second answer counts."""
    from chaosrun import policed

    answers = []
    real = policed.ask_policies

    def closing(run: Any, found: Policies, *rest: Any) -> Any:
        answers.append(rest)
        strict = policies({"limits": {"targets": 0}})
        return real(run, found if len(answers) == 1 else strict, *rest)

    monkeypatch.setattr(policed, "ask_policies", closing)
    driven = Driven(journal)
    driven.start(world.experiment(), under=under({"limits": {"targets": 3}}))
    finished = driven.end()
    driven.engine.close()
    assert finished.verdict is Verdict.REFUSED
    assert "policy targets before step 'break': 1 target" in finished.reason
    assert world.marks == []


def test_a_term_that_is_broken_in_the_moment_of_the_lease_denies_it(
    driven: Driven, journal: Journal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What others do between the last measurement and the lease is seen by the journal alone."""
    monkeypatch.setattr(type(journal), "standing", lambda *_: Standing())
    journal.append("other", 0, [started("other"), leased("l", "elsewhere")])
    driven.start(world.experiment(), under=under({"concurrency": {"runs": 1}}))
    finished = driven.end()
    assert finished.verdict is Verdict.REFUSED
    assert "policy concurrency before step 'break': 2 at once over all runs" in finished.reason
    assert [event.step for event in measured(driven)] == ["", "break", "break"]
    assert world.marks == []


def test_a_target_of_another_run_is_refused_when_it_is_planned(
    driven: Driven, journal: Journal, world: World
) -> None:
    plan = Driven(journal)
    run = plan.start(world.experiment(hold=Duration(30)))
    plan.wait_for(e.Injected)
    driven.start(world.experiment())
    finished = driven.end()
    assert finished.verdict is Verdict.REFUSED
    assert f"is held by run {run}" in finished.reason
    assert not any(isinstance(x, e.Planned) for x in driven.events)
    plan.engine.stop(run, Verdict.CANCELLED, "test", "enough")
    plan.end()
    plan.engine.close()


def test_an_approval_lets_exactly_that_experiment_run(
    driven: Driven, journal: Journal, world: World
) -> None:
    now = time.time()
    for digest in ("another", "this"):
        approval = Approval(
            digest=digest, by="eve", names=("eve",), reason="seen", at=now, expires=now + 60
        )
        journal.approve(approval)
    demands = under({"faults": {"needApproval": ["file.*"]}})
    driven.start(world.experiment(), under=demands, digest="this")
    assert driven.end().verdict is Verdict.PASSED
    again = Driven(journal)
    again.start(world.experiment(), under=demands, digest="that")
    assert again.end().verdict is Verdict.REFUSED
    again.engine.close()


def test_a_gate_of_a_policy_is_asked_besides_the_experiments_own(
    driven: Driven, world: World
) -> None:
    closed = {"window": {"timezone": "UTC", "days": ["mon"], "hours": ["00:00-00:01"],
                         "companyDays": [{"dates": "01-01..12-31"}]}}  # fmt: skip
    driven.start(world.experiment(), under=under({"gates": [closed]}))
    finished = driven.end()
    assert finished.verdict is Verdict.REFUSED
    assert "gate 'window' was closed" in finished.reason


def test_when_other_runs_cannot_be_seen_nothing_is_injected(
    driven: Driven, journal: Journal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> Any:
        raise JournalUnavailable("the disk is gone")

    driven.start(world.experiment(), under=under({"limits": {"targets": 9}}))
    monkeypatch.setattr(type(journal), "standing", gone)
    assert driven.end().verdict is Verdict.REFUSED
    assert world.marks == []


def test_a_file_that_says_on_stops_a_running_run(
    driven: Driven, world: World, tmp_path: Path
) -> None:
    switch = tmp_path / "halt"
    switch.write_text("off\n")
    spec = {"halt": {"sources": [{"file": {"path": str(switch), "every": "50ms"}}]}}
    driven.start(world.experiment(hold=Duration(60)), under=under(spec))
    driven.wait_for(e.EffectSeen)
    switch.write_text("on incident 4711\n")
    finished = driven.end()
    assert finished.verdict is Verdict.CANCELLED
    assert finished.reason == "halt source file (p0, /p0.yaml): incident 4711"
    assert world.marks == []


def test_a_source_that_cannot_be_read_refuses_a_new_run(
    driven: Driven, world: World, tmp_path: Path
) -> None:
    spec = {"halt": {"sources": [{"file": {"path": str(tmp_path / "missing")}}]}}
    driven.start(world.experiment(), under=under(spec))
    finished = driven.end()
    assert finished.verdict is Verdict.REFUSED
    assert "it cannot be read" in finished.reason
    assert world.marks == []


def test_a_source_that_becomes_unreadable_stops_a_running_run_at_its_second_silence(
    driven: Driven, world: World, tmp_path: Path
) -> None:
    switch = tmp_path / "halt"
    switch.write_text("off\n")
    spec = {"halt": {"sources": [{"file": {"path": str(switch), "every": "50ms"}}]}}
    driven.start(world.experiment(hold=Duration(60)), under=under(spec))
    driven.wait_for(e.EffectSeen)
    switch.unlink()
    assert driven.end().verdict is Verdict.CANCELLED
    assert world.marks == []


def test_the_fold_of_a_run_under_policies_is_the_same_from_the_journal(
    driven: Driven, journal: Journal, world: World
) -> None:
    run = driven.start(world.experiment(), under=under({"limits": {"targets": 3}}))
    driven.end()
    state = fold(journal.events(run))
    assert state.under_policy
    assert state.policy_met
    assert wait(lambda: state.finished) is not None


def test_a_secret_of_a_policy_is_used_and_leaves_no_trace(
    driven: Driven, journal: Journal, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("POLICY_TOKEN", "hunter2-of-the-policy")
    shows = {"command": 'echo "it is $TOKEN"; false', "env": {"TOKEN": "${secrets.token}"}}
    gate = {"command": shows}
    spec = {"gates": [gate], "secrets": {"token": {"env": "POLICY_TOKEN"}}}
    run = driven.start(world.experiment(), under=under(spec))
    finished = driven.end()
    assert finished.verdict is Verdict.REFUSED
    (seen,) = [x for x in driven.events if isinstance(x, e.GateMeasured) and x.index == 0]
    assert "it is ${secrets.token}" in seen.measured
    assert b"hunter2" not in to_json(list(journal.events(run)))


OPENED = {"workload": "shop/w*", "because": "a test"}


@pytest.mark.parametrize(
    ("labels", "specs", "opens"),
    [
        ({}, (), False),
        ({}, ({"limits": {"targets": 3}},), False),
        ({}, ({"opens": [OPENED]},), True),
        ({}, ({"opens": [{**OPENED, "workload": "other"}]},), False),
        ({}, ({"opens": [{**OPENED, "kind": "pod"}]},), False),
        # What cannot be known opens nothing, and neither does a label that is left out.
        ({}, ({"opens": [{**OPENED, "zone": "*"}]},), False),
        ({}, ({"opens": [OPENED], "appliesTo": {"environment": ["staging"]}},), False),
        (
            {"environment": "staging"},
            ({"opens": [OPENED], "appliesTo": {"environment": ["staging"]}},),
            True,
        ),
        # What a policy protects stays so, whatever another one opens.
        ({}, ({"opens": [OPENED]}, {"protect": [{"workload": "shop/web"}]}), False),
    ],
)
def test_what_is_reserved_is_touched_only_where_a_policy_opens_it(
    driven: Driven, world: World, labels: dict[str, str], specs: Any, opens: bool
) -> None:
    given = {"directory": str(world.faults), "workload": "shop/web", "reserved": "is reserved"}
    experiment = world.experiment(with_=given)
    experiment = msgspec.structs.replace(
        experiment, metadata=msgspec.structs.replace(experiment.metadata, labels=labels)
    )
    driven.start(experiment, under=under(*specs))
    finished = driven.end()
    injected = any(isinstance(event, e.Injected) for event in driven.events)
    assert (finished.verdict is Verdict.PASSED, injected) == (opens, opens)
    if opens:
        leased = driven.wait_for(e.Leased)
        assert isinstance(leased, e.Leased)
        assert leased.hold.targets[0].opened == "policy p0: a test"
    else:
        assert finished.verdict is Verdict.REFUSED


def test_a_refusal_of_what_is_reserved_explains_itself(driven: Driven, world: World) -> None:
    given = {"directory": str(world.faults), "reserved": "is where chaosrun runs"}
    driven.start(world.experiment(with_=given))
    assert driven.end().reason == (
        f"limit reserved of step 'break': {world.faults}/thing is where chaosrun runs "
        "(rule: only what a policy opens)"
    )
