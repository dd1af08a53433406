"""The story of a group: what is asked before it is harmed, and how soon it has healed.

Instance refreshes and scaling activities are gaps of moto that the lab fills.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.rollouts import RolloutComplete
from tests.contract.aws_lab import REGION
from tests.contract.labs.aws_containers import TasksThatMotoDoesNotReplaceLab
from tests.contract.labs.aws_groups import NodegroupThatMotoHasNoNodesForLab
from tests.contract.labs.aws_network import ZoneLab
from tests.providers.aws.conftest import Shop


def lease(shop: Any, **target: Any) -> Hold:
    written = shop.arguments()["target"] | target
    hold: Hold = from_plain({"target": written}, shop.kind()).plan(shop.client, Random(3))
    return replace(hold, mark="chaosrun-story-0")


def test_one_of_three_is_terminated_and_replaced_and_the_recovery_is_timed(shop: Shop) -> None:
    before = {one["InstanceId"] for one in shop.described()["Instances"]}
    hold = lease(shop)
    assert "2 of 3 of shop serve on" in hold.effect
    shop.kind().inject(hold, shop.client)
    assert shop.took_effect(hold).seen
    seen = shop.restored(hold)
    assert seen.seen
    new = {one["InstanceId"] for one in shop.described()["Instances"]} - before
    assert len(new) == 1
    assert f"new: {new.pop()}" in seen.detail
    assert seen.measured["inService"] == seen.measured["desired"] == 3
    assert 0 < seen.measured["recoverySeconds"] < 60


def test_a_group_that_takes_its_time_to_heal_is_waited_for(shop: Shop) -> None:
    hold, scaling = lease(shop), shop.service("autoscaling")
    shop.kind().inject(hold, shop.client)
    one = shop.described()["Instances"][0]["InstanceId"]
    unwell = {"InstanceId": one, "ShouldRespectGracePeriod": False}
    scaling.set_instance_health(HealthStatus="Unhealthy", **unwell)
    assert not shop.restored(hold).seen
    looks: list[str] = []

    def looked(_: str, operation: str) -> None:
        looks.append(operation)
        if looks.count("DescribeAutoScalingGroups") == 3:
            scaling.set_instance_health(HealthStatus="Healthy", **unwell)

    shop.client.observers.append(looked)
    shop.kind().revert(hold, shop.client)
    assert looks.count("DescribeAutoScalingGroups") >= 3
    assert shop.restored(hold).seen


def test_a_group_below_its_minimum_is_told_before(shop: Shop) -> None:
    hold = lease(shop, pick=2)
    assert hold.effect.endswith("1 of 3 of shop serve on, below its minimum of 2")


def test_hooks_and_a_warm_pool_are_told_before(shop: Shop) -> None:
    scaling = shop.service("autoscaling")
    scaling.put_lifecycle_hook(
        LifecycleHookName="drain", AutoScalingGroupName="shop", HeartbeatTimeout=300,
        LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING", DefaultResult="CONTINUE",
    )  # fmt: skip
    scaling.put_warm_pool(AutoScalingGroupName="shop", PoolState="Stopped", MinSize=1)
    way_back = lease(shop).way_back
    assert "its hook drain may delay each end by 5m, and then CONTINUE" in way_back
    assert "its warm pool has 0 that are Stopped" in way_back


def test_a_group_that_is_being_refreshed_is_neither_planned_nor_harmed(shop: Shop) -> None:
    hold, scaling = lease(shop), shop.service("autoscaling")
    scaling.start_instance_refresh(AutoScalingGroupName="shop")
    before = shop.snapshot()
    with pytest.raises(Refused, match="an instance refresh of shop is InProgress"):
        lease(shop)
    with pytest.raises(Refused, match="an instance refresh of shop is InProgress"):
        shop.kind().inject(hold, shop.client)
    assert shop.snapshot() == before


def test_a_target_that_its_group_replaced_meanwhile_is_not_taken_for_ours(shop: Shop) -> None:
    hold = lease(shop)
    (gone,) = (target.id for target in hold.targets)
    shop.service("autoscaling").terminate_instance_in_auto_scaling_group(
        InstanceId=gone, ShouldDecrementDesiredCapacity=False
    )
    now = shop.described()["Instances"]
    with pytest.raises(Refused, match=f"{gone} ended or left its group since it was planned"):
        shop.kind().inject(hold, shop.client)
    assert shop.described()["Instances"] == now
    shop.kind().revert(hold, shop.client)
    assert shop.restored(hold).seen


def test_only_members_that_are_named_are_terminated(shop: Shop) -> None:
    one = sorted(each["InstanceId"] for each in shop.described()["Instances"])[0]
    arn = f"arn:aws:ec2:{REGION}:123456789012:instance/{one}"
    hold = lease(shop, group=shop.described()["AutoScalingGroupARN"], ids=[arn], pick="all")
    assert [target.id for target in hold.targets] == [one]
    assert hold.population == 3
    with pytest.raises(Refused, match="i-0: not in service in shop"):
        lease(shop, ids=["i-0"])


def test_a_mark_on_what_was_never_terminated_is_taken_away(shop: Shop) -> None:
    hold = lease(shop)
    marks.put(hold, shop.client, [hold.targets[0].id])
    assert not shop.restored(hold).seen
    assert [found.mark for found in marks.find(shop.client)] == [hold.mark]
    shop.kind().revert(hold, shop.client)
    assert shop.restored(hold).seen
    assert marks.find(shop.client) == ()


def test_a_node_group_whose_group_cannot_launch_is_refused() -> None:
    with NodegroupThatMotoHasNoNodesForLab() as lab:
        lab.service("autoscaling").suspend_processes(
            AutoScalingGroupName=lab.name, ScalingProcesses=["Launch"]
        )
        with pytest.raises(Refused, match="would not heal: Launch is suspended"):
            lease(lab)


def test_a_service_that_is_not_steady_is_refused() -> None:
    with TasksThatMotoDoesNotReplaceLab() as lab:
        service = {"cluster": lab.cluster, "service": "web"}
        gate = from_plain({"services": [service]}, RolloutComplete)
        assert gate.measure(lab.client).open
        lab.service("ecs").create_service(
            cluster=lab.cluster, serviceName="slow", desiredCount=2, taskDefinition="web"
        )
        closed = from_plain({"services": [{**service, "service": "slow"}]}, RolloutComplete)
        measured = closed.measure(lab.client)
        assert not measured.open
        assert measured.measured == "deployments of slow: PRIMARY is IN_PROGRESS"
        said = "slow is not steady: 0 tasks run, 2 are pending, and 2 are desired"
        with pytest.raises(Refused, match=said):
            lease(lab, service="slow")


def test_a_task_that_ended_meanwhile_is_not_taken_for_ours() -> None:
    with TasksThatMotoDoesNotReplaceLab() as lab:
        hold = lease(lab)
        lab.service("ecs").stop_task(cluster=lab.cluster, task=hold.targets[0].id, reason="theirs")
        with pytest.raises(Refused, match="ended since they were planned"):
            lab.kind().inject(hold, lab.client)


def test_groups_launch_nothing_in_a_zone_that_is_lost() -> None:
    with ZoneLab() as lab:
        scaling = lab.service("autoscaling")
        hold, before = replace(lab.plan(), mark="chaosrun-zone-0"), lab.snapshot()
        said = "the group spread can only launch elsewhere; the group local cannot launch at all"
        assert said in hold.mechanism
        lab.kind().inject(hold, lab.client)
        lost = {target.id for target in hold.targets}
        now = {
            one["AutoScalingGroupName"]: one
            for one in scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
        }
        assert not lost & set(now["spread"]["VPCZoneIdentifier"].split(","))
        assert {p["ProcessName"] for p in now["local"]["SuspendedProcesses"]} == {"Launch"}
        # What the group starts while the zone is lost, it starts elsewhere.
        scaling.set_desired_capacity(AutoScalingGroupName="spread", DesiredCapacity=3)
        (grown,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["spread"])[
            "AutoScalingGroups"
        ]
        zones = [one["AvailabilityZone"] for one in grown["Instances"]]
        assert f"{REGION}b" in zones
        lab.kind().revert(hold, lab.client)
        assert lab.restored(hold).seen
        groups = lab.snapshot()["groups"]
        for name, (subnets, suspended, _) in before["groups"].items():
            assert groups[name][:2] == [subnets, suspended]


def test_a_group_that_somebody_else_moved_meanwhile_is_left_alone_and_reported() -> None:
    with ZoneLab() as lab:
        hold, scaling = replace(lab.plan(), mark="chaosrun-zone-1"), lab.service("autoscaling")
        lab.kind().inject(hold, lab.client)
        theirs = hold.targets[0].id
        scaling.update_auto_scaling_group(AutoScalingGroupName="spread", VPCZoneIdentifier=theirs)
        lab.kind().revert(hold, lab.client)
        seen = lab.restored(hold)
        assert not seen.seen
        assert seen.detail == "groups not as before: spread"
        (now,) = scaling.describe_auto_scaling_groups(AutoScalingGroupNames=["spread"])[
            "AutoScalingGroups"
        ]
        assert now["VPCZoneIdentifier"] == theirs


def test_groups_may_be_left_as_they_are() -> None:
    with ZoneLab() as lab:
        written = {**lab.arguments(), "groups": "leave"}
        hold = from_plain(written, discovery.fault("aws.az-outage")).plan(lab.client, Random(1))
        assert hold.undo["groups"] == []
