"""What the faults refuse to do, and what they report when the world changed under them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.providers.aws import marks
from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.contract.labs.aws_instances import IsolateLab, StopLab, TerminateLab
from tests.contract.labs.aws_network import RouteLab
from tests.providers.aws.conftest import Shop


def planned(lab: Lab, fault: str, target: JSON, **more: JSON) -> Any:
    from random import Random

    from chaosrun import discovery

    kind = discovery.fault(fault)
    return from_plain({"target": target, **more}, kind).plan(lab.client, Random(3))


def group_terminate(shop: Shop, **more: JSON) -> Any:
    return planned(shop, "aws.asg-terminate", {"group": "shop", **more})


@pytest.mark.parametrize("process", ["Launch", "Terminate", "HealthCheck", "ReplaceUnhealthy"])
def test_a_group_that_would_not_heal_is_not_harmed(shop: Shop, process: str) -> None:
    shop.service("autoscaling").suspend_processes(
        AutoScalingGroupName="shop", ScalingProcesses=[process]
    )
    with pytest.raises(Refused, match=f"would not heal: {process} is suspended") as caught:
        group_terminate(shop)
    assert "resume-processes" in caught.value.hint


def test_a_group_that_stopped_healing_since_the_plan_is_not_harmed(shop: Shop) -> None:
    hold = replace(group_terminate(shop), mark="m")
    shop.service("autoscaling").suspend_processes(
        AutoScalingGroupName="shop", ScalingProcesses=["Launch"]
    )
    before = shop.snapshot()
    with pytest.raises(Refused, match="would not heal"):
        shop.kind().inject(hold, shop.client)
    assert shop.snapshot() == before


def test_a_group_that_is_not_whole_is_not_harmed(shop: Shop) -> None:
    one = shop.described()["Instances"][0]["InstanceId"]
    shop.service("autoscaling").set_instance_health(
        InstanceId=one, HealthStatus="Unhealthy", ShouldRespectGracePeriod=False
    )
    with pytest.raises(Refused, match="not whole: 2 are healthy and in service, 3 are wanted"):
        group_terminate(shop)


def test_a_protected_instance_is_never_picked(shop: Shop) -> None:
    ids = sorted(one["InstanceId"] for one in shop.described()["Instances"])
    shop.service("autoscaling").set_instance_protection(
        AutoScalingGroupName="shop", InstanceIds=ids[:2], ProtectedFromScaleIn=True
    )
    assert [target.id for target in group_terminate(shop, pick="all").targets] == ids[2:]


def test_a_healed_group_has_other_instances(shop: Shop) -> None:
    hold = group_terminate(shop)
    shop.kind().inject(hold, shop.client)
    seen = shop.restored(hold)
    assert seen.seen
    seconds = seen.measured.pop("recoverySeconds")
    assert 0 < seconds < 60
    assert seen.measured == {"inService": 3, "desired": 3, "replaced": 1}
    assert "recovered in" in seen.detail
    now = {one["InstanceId"] for one in shop.described()["Instances"]}
    assert not now & {target.id for target in hold.targets}


def test_an_instance_of_a_group_is_neither_stopped_nor_terminated_alone(shop: Shop) -> None:
    for fault in ("aws.ec2-stop", "aws.ec2-terminate"):
        with pytest.raises(Refused, match="of the group shop") as caught:
            planned(shop, fault, {"group": "shop"})
        assert "aws.asg-terminate" in caught.value.hint


@pytest.mark.parametrize(
    ("lab", "attribute", "said"),
    [
        (StopLab, "DisableApiStop", "stop protection"),
        (TerminateLab, "DisableApiTermination", "termination protection"),
    ],
)
def test_a_protected_instance_is_left_alone(lab: type[StopLab], attribute: str, said: str) -> None:
    with lab() as world:
        for target in world.plan().targets:
            world.service("ec2").modify_instance_attribute(
                InstanceId=target.id, **{attribute: {"Value": True}}
            )
        with pytest.raises(Refused, match=said):
            world.plan()


def test_an_instance_that_somebody_else_terminated_is_reported() -> None:
    with StopLab() as lab:
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        lost, kept = (target.id for target in hold.targets)
        lab.service("ec2").terminate_instances(InstanceIds=[lost])
        lab.kind().revert(hold, lab.client)
        seen = lab.restored(hold)
        assert not seen.seen
        assert f"{lost} is terminated" in seen.detail
        assert f"{kept} is running" in seen.detail


def test_only_some_stopped_is_not_taken_for_all() -> None:
    with StopLab() as lab:
        hold = lab.lease()
        first, second = (target.id for target in hold.targets)
        lab.service("ec2").stop_instances(InstanceIds=[first])
        seen = lab.took_effect(hold)
        assert not seen.seen
        assert f"{second} is running" in seen.detail
        lab.kind().revert(hold, lab.client)
        assert lab.restored(hold).seen


def test_security_groups_that_somebody_else_set_meanwhile_are_not_overwritten() -> None:
    with IsolateLab() as lab:
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        interface = next(iter(hold.targets[0].undo["interfaces"]))
        ec2 = lab.service("ec2")
        theirs = ec2.create_security_group(GroupName="theirs", Description="x", VpcId=lab.vpc)
        ec2.modify_network_interface_attribute(
            NetworkInterfaceId=interface, Groups=[theirs["GroupId"]]
        )
        lab.kind().revert(hold, lab.client)
        assert not lab.restored(hold).seen
        (now,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])[
            "NetworkInterfaces"
        ]
        assert [group["GroupId"] for group in now["Groups"]] == [theirs["GroupId"]]
        assert marks.find(lab.client) == ()


def test_a_route_that_another_one_covers_is_left_alone() -> None:
    with RouteLab() as lab:
        ec2 = lab.service("ec2")
        (table,) = ec2.describe_route_tables(RouteTableIds=[lab.table])["RouteTables"]
        gateway = next(r["GatewayId"] for r in table["Routes"] if r["GatewayId"] != "local")
        ec2.create_route(
            RouteTableId=lab.table, DestinationCidrBlock="172.16.0.0/16", GatewayId=gateway
        )
        target = {"table": lab.table, "destination": "172.16.0.0/16"}
        with pytest.raises(Refused, match=r"would take the route to 0\.0\.0\.0/0"):
            planned(lab, "aws.route-blackhole", target)
        with pytest.raises(Refused, match="not one that can be made again"):
            planned(lab, "aws.route-blackhole", {**target, "destination": "10.0.0.0/16"})
        with pytest.raises(Refused, match="no route to"):
            planned(lab, "aws.route-blackhole", {**target, "destination": "10.7.0.0/16"})
