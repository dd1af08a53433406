"""Policies on the command line: shown, tested, overridden, approved; and halts from outside."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest

from tests.cli.conftest import Chaosrun, until

POLICY = "apiVersion: chaosrun.dev/v1\nkind: Policy\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def policy(chaosrun: Chaosrun, spec: str, name: str = "shop") -> str:
    """Write a policy, and return the name of its file."""
    file = f"{name}.yaml"
    (chaosrun.place / file).write_text(POLICY.format(name=name, spec=spec))
    return file


def installed(chaosrun: Chaosrun, spec: str, name: str = "company") -> None:
    """Put a policy where every command finds it."""
    folder = chaosrun.place / "state" / "policy.d"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.yaml").write_text(POLICY.format(name=name, spec=spec))


def reported(chaosrun: Chaosrun) -> Any:
    """The report of the last run, as a program reads it."""
    return json.loads(chaosrun("report", "last", "--format", "json").stdout)


def words(text: str) -> str:
    return " ".join(text.split())


def test_without_policies_show_says_so(chaosrun: Chaosrun) -> None:
    ended = chaosrun("policy", "show")
    assert ended.returncode == 0
    assert "There is no policy" in ended.stdout


def test_show_names_every_rule_who_sets_it_and_who_may_override_it(chaosrun: Chaosrun) -> None:
    installed(chaosrun, "{limits: {targets: 9, share: 50%}, gates: [{window: {timezone: UTC}}]}")
    stricter = policy(
        chaosrun, "{limits: {targets: 2}, overrides: [{rules: [targets], by: [ann], ticket: true}],"
        " halt: {sources: [{file: {path: /tmp/x}}]}}",
    )  # fmt: skip
    said = words(chaosrun("policy", "show", "--policy", stricter).stdout)
    assert "share at most 50% of a step's population set by company" in said
    assert "targets at most 2 targets over all steps set by shop, shop.yaml" in said
    assert "targets at most 9" in said, "nobody may override that one"
    assert "may be overridden by ann, with a ticket" in said
    assert "gate window (company" in said
    assert "halt source file (shop" in said
    found = chaosrun.json("policy", "show", "--policy", stricter)
    assert [rule["rule"] for rule in found["rules"]] == ["share", "targets", "targets"]


def test_test_shows_every_rule_and_runs_nothing(chaosrun: Chaosrun) -> None:
    file = policy(
        chaosrun, "{limits: {targets: 0}, requires: {owner: true}, concurrency: {runs: 1}}"
    )
    ended = chaosrun("policy", "test", chaosrun.experiment(), "--policy", file)
    assert ended.returncode == 3
    said = words(ended.stdout)
    assert "✖ owner it has no owner; an experiment has an owner set by shop, shop.yaml" in said
    assert "would make it pass: add `owner` to its spec" in said
    assert "✔ concurrency 0 other runs with something in place; at most 1 run at once" in said
    assert "A run would be refused: 2 of 3 rules are not met." in said
    assert not chaosrun.marked
    assert chaosrun("runs").stdout.count("mark-appears") == 0


def test_test_within_its_policies_ends_with_0(chaosrun: Chaosrun) -> None:
    file = policy(chaosrun, "{limits: {targets: 1}, gates: [{window: {timezone: UTC, days:"
                  " [mon-sun], hours: ['00:00-24:00']}}]}")  # fmt: skip
    ended = chaosrun("policy", "test", chaosrun.experiment(), "--policy", file)
    assert ended.returncode == 0
    assert "A run would be within its policies." in ended.stdout
    assert "gate window" in ended.stdout
    found = chaosrun.json("policy", "test", chaosrun.experiment(), "--policy", file)
    assert (found["passes"], [gate["gate"] for gate in found["gates"]]) == (True, ["window"])


def test_a_policy_of_this_machine_refuses_a_run_and_a_plan(chaosrun: Chaosrun) -> None:
    installed(chaosrun, "{limits: {targets: 0}}")
    experiment = chaosrun.experiment()
    ended = chaosrun("run", experiment)
    assert ended.returncode == 3
    assert "1 target" in ended.stdout
    assert not chaosrun.marked
    loose = policy(chaosrun, "{limits: {targets: 100}}")
    assert chaosrun("run", experiment, "--policy", loose).returncode == 3, "policies add up"
    planned = chaosrun("plan", experiment)
    assert planned.returncode == 3
    assert "policy targets: 1 target; at most 0 targets over all steps" in words(planned.stdout)
    shown = reported(chaosrun)
    assert shown["policies"][0].startswith("company, ")
    assert [(rule["rule"], rule["within"]) for rule in shown["rules"]] == [("targets", False)]


@pytest.mark.parametrize("words", [("run",), ("plan",), ("policy", "test")])
def test_a_broken_policy_refuses_every_run_and_says_where(
    chaosrun: Chaosrun, words: tuple[str, ...]
) -> None:
    installed(chaosrun, "{limits: {targts: 2}}")
    ended = chaosrun(*words, chaosrun.experiment())
    assert ended.returncode == 3
    assert "company.yaml:4:17" in ended.stderr
    assert "did you mean `targets`?" in ended.stderr
    assert not chaosrun.marked
    assert chaosrun("policy", "show").returncode == 3


def test_an_override_of_one_who_may_runs_and_is_on_record(chaosrun: Chaosrun) -> None:
    installed(chaosrun, "{limits: {targets: 0}, overrides: [{rules: [targets], by: ['env:ann']}]}")
    experiment = chaosrun.experiment()
    override = ("run", experiment, "--override", "targets")
    ended = chaosrun(*override)
    assert ended.returncode == 2
    assert "add --reason TEXT" in ended.stderr
    refused = chaosrun(*override, "--reason", "a drill", CHAOSRUN_ACTOR="bob")
    assert refused.returncode == 3
    assert "only env:ann may override targets" in words(refused.stdout)
    ended = chaosrun(*override, "--reason", "a drill", "--ticket", "CHG-7", CHAOSRUN_ACTOR="ann")
    assert ended.returncode == 0
    report = reported(chaosrun)
    (rule,) = report["rules"]
    assert report["by"].startswith("ann (as ")
    assert rule["override"] == {"by": report["by"], "reason": "a drill", "ticket": "CHG-7"}
    assert "overridden by ann" in words(chaosrun("report", "last").stdout)


def test_an_override_of_a_rule_that_is_not_there_is_a_wrong_command_line(
    chaosrun: Chaosrun,
) -> None:
    installed(chaosrun, "{limits: {targets: 0}}")
    ended = chaosrun("run", chaosrun.experiment(), "--override", "target", "--reason", "x")
    assert ended.returncode == 2
    assert "no policy has a rule 'target'; those here are targets" in ended.stderr


def test_an_approval_of_somebody_else_lets_exactly_that_experiment_run(
    chaosrun: Chaosrun,
) -> None:
    installed(chaosrun, "{faults: {needApproval: ['host.*']}, approvals: {by: ['env:*']}}")
    experiment = chaosrun.experiment()
    assert chaosrun("run", experiment, CHAOSRUN_ACTOR="ann").returncode == 3
    approve = ("approve", experiment, "--reason", "looked at it", "--for", "1h")
    assert chaosrun(*approve, CHAOSRUN_ACTOR="ann").returncode == 0
    refused = chaosrun("run", experiment, CHAOSRUN_ACTOR="ann")
    assert refused.returncode == 3
    assert "it is one's own" in words(refused.stdout)
    approved = chaosrun(*approve, CHAOSRUN_ACTOR="eve")
    assert "is approved by eve (as " in approved.stdout
    assert chaosrun("run", experiment, CHAOSRUN_ACTOR="ann").returncode == 0
    other = chaosrun.experiment("other.yaml", hold="200ms")
    assert chaosrun("run", other, CHAOSRUN_ACTOR="ann").returncode == 3


def test_an_approval_needs_a_reason_and_a_valid_time(chaosrun: Chaosrun) -> None:
    experiment = chaosrun.experiment()
    assert chaosrun("approve", experiment).returncode == 2
    ended = chaosrun("approve", experiment, "--reason", " ")
    assert "an approval is kept with its reason" in ended.stderr
    assert chaosrun("approve", experiment, "--reason", "x", "--for", "5").returncode == 2


def test_halt_status_says_what_each_source_says(chaosrun: Chaosrun) -> None:
    (chaosrun.place / "halt").write_text("on incident 4711")
    installed(chaosrun, "{halt: {sources: [{file: {path: halt}}, {file: {path: missing}}]}}")
    said = words(chaosrun("halt", "status").stdout)
    assert "halt is off" in said
    assert "on file incident 4711 set by company" in said
    assert "on file it cannot be read: missing: No such file" in said
    found = chaosrun.json("halt", "status")
    assert (found["on"], [one["on"] for one in found["sources"]]) == (True, [True, True])


@pytest.mark.parametrize("how", ["halt on", "file"])
def test_a_halt_stops_the_run_of_another_process_promptly(chaosrun: Chaosrun, how: str) -> None:
    """The aim is a second, as `make bench ARGS=halt` measures; here any machine must do."""
    switch = chaosrun.place / "halt"
    switch.write_text("off")
    installed(chaosrun, f"{{halt: {{sources: [{{file: {{path: {switch}, every: 100ms}}}}]}}}}")
    running = chaosrun.start("run", chaosrun.experiment(hold="60s"))
    chaosrun.wait_for_mark()
    until(lambda: _in_place(chaosrun))
    began = time.monotonic()
    if how == "file":
        switch.write_text("on incident 4711")
    else:
        assert chaosrun("halt", "on", "--reason", "incident 4711").returncode == 0
    assert running.wait(20) == 128 + signal.SIGINT
    assert time.monotonic() - began < 10
    assert not chaosrun.marked
    told = reported(chaosrun)
    assert "incident 4711" in told["reason"]
    refused = chaosrun("run", chaosrun.experiment(), CHAOSRUN_ACTOR="")
    assert refused.returncode == 3


def _in_place(chaosrun: Chaosrun) -> bool:
    lines = chaosrun("show", "last", "--events").stdout.splitlines()
    events: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return any("effect-seen" in json.dumps(event) for event in events)


def test_an_experiment_takes_the_rights_of_what_policies_demand_of_it_too(
    chaosrun: Chaosrun,
) -> None:
    file = policy(
        chaosrun,
        "{gates: [{kubernetes.no-degraded: {namespace: shop}}],"
        " halt: {sources: [{kubernetes.config-map: {namespace: chaos, configMap: switch}}]}}",
    )
    experiment = chaosrun.experiment()
    alone = chaosrun.json("permissions", experiment)
    assert not any(one["permission"]["system"] == "rbac" for one in alone)
    under = chaosrun.json("permissions", experiment, "--policy", file)
    told = {
        (one["permission"]["action"], one["permission"]["resource"], one["permission"]["scope"]):
        one["steps"] for one in under if one not in alone
    }  # fmt: skip
    assert told["list", "deployments.apps", "shop"] == ["kubernetes.no-degraded"]
    assert told["get", "configmaps", "chaos/switch"] == ["kubernetes.config-map"]
