"""FIS runs what the plan showed, no longer than the lease, and its reasons are told."""

from __future__ import annotations

import random
from typing import Any

import pytest
from moto.fis.models import Experiment

from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Indeterminate, Refused
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.fis import Fis
from chaosrun.providers.aws.fis_lever import FisLever
from chaosrun.providers.aws.fis_template import Template, in_seconds
from chaosrun.units import JSON
from tests.contract.aws_lab import ACCOUNT, REGION, _outside
from tests.contract.labs.aws_fis import FisOfAnAdapterLab

ROLE = f"arn:aws:iam::{ACCOUNT}:role/fis"


def template(target: dict[str, Any], action: str = "aws:ec2:stop-instances") -> Template:
    written = {
        "targets": {"them": {"selectionMode": "ALL", **target}},
        "actions": {
            "act": {
                "actionId": action,
                "parameters": {"duration": "PT10M", "startInstancesAfterDuration": "PT10M"},
                "targets": {"Them": "them"},
            }
        },
        "roleArn": ROLE,
    }
    return from_plain(written, Template)


def started() -> list[dict[str, Any]]:
    """What FIS was given to run."""
    fis = _outside("fis")
    ids = [one["id"] for one in fis.list_experiments()["experiments"]]
    return [fis.get_experiment(id=name)["experiment"] for name in ids]


def test_fis_is_given_exactly_the_targets_of_the_plan_by_an_adapter() -> None:
    with FisOfAnAdapterLab() as lab:
        hold = lab.lease()
        assert hold.population == 3
        lab.kind().inject(hold, lab.client)
        (one,) = started()
        arns = {f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{t.id}" for t in hold.targets}
        assert set(one["targets"]["shop"]["resourceArns"]) == arns
        assert one["targets"]["shop"]["selectionMode"] == "ALL"
        assert "resourceTags" not in one["targets"]["shop"]
        lab.kind().revert(hold, lab.client)


def test_no_action_lasts_longer_than_the_lease_by_an_adapter() -> None:
    with FisOfAnAdapterLab() as lab:
        hold = lab.lease(seconds=150)
        lab.kind().inject(hold, lab.client)
        (one,) = started()
        assert one["actions"]["stop"]["parameters"] == {"startInstancesAfterDuration": "PT3M"}
        lab.kind().revert(hold, lab.client)


def test_a_lease_whose_deadline_has_passed_starts_nothing() -> None:
    with FisOfAnAdapterLab() as lab:
        hold = lab.lease(seconds=-1)
        with pytest.raises(Refused, match="deadline"):
            lab.kind().inject(hold, lab.client)
        assert started() == []


def test_a_stop_condition_that_rings_ends_it_and_its_reason_is_told_by_an_adapter() -> None:
    with FisOfAnAdapterLab() as lab:
        cloudwatch = lab.service("cloudwatch")
        cloudwatch.put_metric_alarm(
            AlarmName="errors", Namespace="Shop", MetricName="Errors", Statistic="Sum", Period=60,
            EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip
        arn = cloudwatch.describe_alarms()["MetricAlarms"][0]["AlarmArn"]
        condition = {"source": "aws:cloudwatch:alarm", "value": arn}
        fis = lab.service("fis")
        fis.update_experiment_template(id=lab.id, stopConditions=[condition])
        before, hold = lab.snapshot(), lab.lease()
        lab.kind().inject(hold, lab.client)
        cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="it hurts")
        seen = lab.took_effect(hold)
        assert not seen.seen
        assert "FIS: stopped by a stop condition" in seen.detail
        lab.kind().revert(hold, lab.client)
        assert lab.restored(hold).seen
        assert lab.snapshot() == before


def test_an_engaged_lever_closes_the_gate_and_ends_what_runs_by_an_adapter() -> None:
    with FisOfAnAdapterLab() as lab:
        fis, gate, other = lab.service("fis"), FisLever(), Aws()
        assert gate.measure(other).open
        engaged = {"status": "engaged", "reason": "incident 7"}
        fis.update_safety_lever_state(id="default", state=engaged)
        measured = gate.measure(other)
        other.close()
        assert not measured.open
        assert "engaged in account 123456789012, eu-west-1: incident 7" in measured.measured
        hold = lab.lease()
        with pytest.raises(Refused, match="safety lever"):
            lab.kind().inject(hold, lab.client)
        lab.kind().revert(hold, lab.client)
        assert lab.restored(hold).seen


def test_what_nobody_undoes_is_for_the_irreversible_one(aws: Aws) -> None:
    one = {"resourceType": "aws:ec2:instance", "resourceTags": {"app": "shop"}}
    written = to_plain(template(one))
    written["actions"]["act"]["parameters"] = {}
    fault = from_plain({"inline": written}, Fis)
    with pytest.raises(Refused, match="nobody undoes aws:ec2:stop-instances") as caught:
        fault.plan(aws, random.Random(1))
    assert "startInstancesAfterDuration" in caught.value.hint


@pytest.mark.parametrize("action", ["aws:of-the:future", "aws:ssm:send-command"])
def test_what_nobody_is_known_to_undo_is_for_the_irreversible_one(aws: Aws, action: str) -> None:
    one = {"resourceType": "aws:ec2:instance", "resourceTags": {"app": "shop"}}
    fault = from_plain({"inline": to_plain(template(one, action))}, Fis)
    with pytest.raises(Refused, match=f"nobody undoes {action}, as far as is known"):
        fault.plan(aws, random.Random(1))


def fis_tells(monkeypatch: pytest.MonkeyPatch, status: str, action: str, began: bool) -> None:
    """Let FIS say that about each experiment, and about each of its actions."""

    def told(self: Any) -> str:
        for one in self.actions.values():
            one["state"] = {"status": action, "reason": "as the test says"}
            one.pop("startTime", None)
            if began:
                one["startTime"] = self.start_time
        return status

    monkeypatch.setattr(Experiment, "_sync_state", told)


def test_an_experiment_that_failed_is_owed_until_its_instances_run_by_an_adapter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with FisOfAnAdapterLab() as lab:
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        first, second = (target.id for target in hold.targets)
        fis_tells(monkeypatch, "failed", "failed", began=True)
        lab.kind().revert(hold, lab.client)
        seen = lab.restored(hold)
        assert not seen.seen
        assert f"stop failed: {first} is stopped, {second} is stopped" in seen.detail
        lab.service("ec2").start_instances(InstanceIds=[first])
        seen = lab.restored(hold)
        assert not seen.seen
        assert f"stop failed: {second} is stopped" in seen.detail
        lab.service("ec2").start_instances(InstanceIds=[second])
        assert lab.restored(hold).seen


@pytest.mark.parametrize(("status", "action"), [("stopped", "failed"), ("failed", "running")])
def test_an_action_that_failed_or_was_left_going_is_owed_by_an_adapter(
    monkeypatch: pytest.MonkeyPatch, status: str, action: str
) -> None:
    with FisOfAnAdapterLab() as lab:
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        fis_tells(monkeypatch, status, action, began=True)
        lab.kind().revert(hold, lab.client)
        assert not lab.restored(hold).seen


class DisksOfAnAdapterLab(FisOfAnAdapterLab):
    """Disks that are silent, which moto does not do; nor could chaosrun see it."""

    def arguments(self) -> dict[str, JSON]:
        arn = f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/vol-0a1b2c3d4e5f60718"
        disks = {"resourceType": "aws:ec2:ebs-volume", "resourceArns": [arn]}
        return {"with": {"inline": to_plain(template(disks, "aws:ebs:pause-volume-io"))}}


@pytest.mark.parametrize("action", ["pending", "cancelled", "failed", "skipped"])
def test_a_start_that_failed_leaves_nothing_owed_by_an_adapter(
    monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    with DisksOfAnAdapterLab() as lab:
        hold = lab.lease()
        fis_tells(monkeypatch, "failed", action, began=False)
        with pytest.raises(Indeterminate, match="FIS failed"):
            lab.kind().inject(hold, lab.client)
        lab.kind().revert(hold, lab.client)
        assert not lab.took_effect(hold).seen
        assert lab.restored(hold).seen


def test_what_chaosrun_cannot_see_is_owed_until_a_person_says_so_by_an_adapter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with DisksOfAnAdapterLab() as lab:
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        fis_tells(monkeypatch, "failed", "failed", began=True)
        lab.kind().revert(hold, lab.client)
        seen = lab.restored(hold)
        assert not seen.seen
        assert "act failed, and chaosrun cannot see whether" in seen.detail
        fis = lab.service("fis")
        (one,) = fis.list_experiments()["experiments"]
        assert f"take the tag chaosrun:mark from the experiment {one['id']}" in seen.detail
        fis.untag_resource(resourceArn=one["arn"], tagKeys=["chaosrun:mark"])
        assert lab.restored(hold).seen


@pytest.mark.parametrize(
    ("act", "action", "seen"),
    [
        ("aws:ebs:pause-volume-io", "running", True),
        ("aws:ebs:pause-volume-io", "completed", True),
        ("aws:ebs:pause-volume-io", "pending", False),
        ("aws:ebs:pause-volume-io", "initiating", False),
        ("aws:ebs:pause-volume-io", "skipped", False),
        ("aws:ebs:pause-volume-io", "failed", False),
        ("aws:fis:wait", "running", False),
        ("aws:cloudwatch:assert-alarm-state", "completed", False),
    ],
)
def test_an_effect_is_an_action_that_runs_or_ran_and_is_no_waiting_by_an_adapter(
    monkeypatch: pytest.MonkeyPatch, act: str, action: str, seen: bool
) -> None:
    with DisksOfAnAdapterLab() as lab:
        arguments = lab.arguments()["with"]
        arguments["inline"]["actions"]["act"]["actionId"] = act
        monkeypatch.setattr(lab, "arguments", lambda: {"with": arguments})
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        fis_tells(monkeypatch, "running", action, began=True)
        assert lab.took_effect(hold).seen is seen


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ({"resourceType": "aws:ec2:instance", "filters": [{"path": "Ami", "values": ["a"]}]},
         "filter Ami"),
        ({"resourceType": "aws:ec2:autoscaling-group", "resourceTags": {"a": "b"}},
         "not found by tags"),
        ({"resourceType": "aws:ec2:subnet", "parameters": {"availabilityZoneIdentifier": "a"}},
         "parameters"),
    ],
)  # fmt: skip
def test_what_only_fis_can_choose_must_be_agreed_to(
    aws: Aws, target: dict[str, Any], why: str
) -> None:
    inline = to_plain(template(target, "aws:ebs:pause-volume-io"))
    with pytest.raises(Refused, match=f"only FIS can tell.*{why}"):
        from_plain({"inline": inline}, Fis).plan(aws, random.Random(1))
    hold = from_plain({"inline": inline, "fisChooses": True}, Fis).plan(aws, random.Random(1))
    assert [one.kind for one in hold.targets] == ["fis-template"]
    assert "FIS chooses them" in hold.effect


def test_a_share_of_named_resources_is_picked_by_the_seed(aws: Aws) -> None:
    arns = [f"arn:aws:ec2:{REGION}:{ACCOUNT}:volume/vol-{number:017x}" for number in range(10)]
    target = {
        "resourceType": "aws:ec2:ebs-volume", "resourceArns": arns,
        "selectionMode": "PERCENT(30)",
    }  # fmt: skip
    fault = from_plain({"inline": to_plain(template(target, "aws:ebs:pause-volume-io"))}, Fis)
    holds = [fault.plan(aws, random.Random(seed)) for seed in (1, 1, 2)]
    assert holds[0] == holds[1] != holds[2]
    assert len(holds[0].targets) == 3
    assert holds[0].population == 10


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({}, "either"),
        ({"target": {"template": "EXT1"}, "inline": to_plain(template(
            {"resourceType": "x", "resourceArns": ["a"]}))}, "either"),
        ({"inline": {"actions": {}, "roleArn": "x"}}, "length"),
        ({"inline": {"actions": {"a": {"actionId": "b", "targets": {"X": "no"}}}, "roleArn": "x"}},
         "no target named `no`"),
        ({"inline": {"actions": {"a": {"actionId": "b", "startAfter": ["z"]}}, "roleArn": "x"}},
         "starts after `z`"),
    ],
)  # fmt: skip
def test_a_template_that_makes_no_sense_is_refused(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        from_plain(written, Fis)


def test_durations_are_read_as_fis_writes_them() -> None:
    given = ["PT30S", "PT5M", "PT1H30M", "P1D", "ten minutes"]
    assert [in_seconds(one) for one in given] == [30, 300, 5400, 86400, 0]
