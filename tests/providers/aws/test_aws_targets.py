"""Which targets are picked, how they spread over zones and groups, and how ARNs are read."""

from __future__ import annotations

import random
from random import Random
from typing import Any

import pytest
from botocore.stub import Stubber

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.limits import measure, parts
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.ec2_stop import Ec2Stop
from chaosrun.providers.aws.picking import picked
from chaosrun.spec import Limits, Step
from chaosrun.targeting import Pick, Target, populations
from tests.contract.aws_lab import ACCOUNT, REGION
from tests.contract.labs.aws_instances import InstancesLab, RebootThatMotoDoesNotShowLab
from tests.contract.labs.aws_network import ZoneLab as Zones

CROWD = [
    Target(
        kind="ec2-instance",
        id=f"i-{number}",
        domain="abc"[number % 3],
        groups=dict.fromkeys(("workload", "group"), "web" if number < 8 else "api"),
    )
    for number in range(12)
]
ALONE = [Target(kind="ec2-instance", id="i-12", domain="a", groups={"group": ""})]


class Reboots(RebootThatMotoDoesNotShowLab):
    """Three instances in two zones."""


def plan(lab: InstancesLab, fault: str = "aws.ec2-reboot", **target: Any) -> Hold:
    return from_plain({"target": target}, discovery.fault(fault)).plan(lab.client, Random(3))


@pytest.mark.parametrize(
    ("how", "per", "expected"),
    [("one", "zone", 3), (2, "zone", 6), ("50%", "group", 6), ("one", "group", 2), (3, "all", 3)],
)
def test_so_many_of_each_part_are_picked(how: Any, per: str, expected: int) -> None:
    targets = picked(CROWD, Pick.parse(how), Random(1), per=per)
    assert len(targets) == expected
    if how == "one":
        parts = {target.group(per) for target in targets}
        assert len(parts) == expected


def test_a_seed_picks_the_same_of_each_part_in_whatever_order_they_are_listed() -> None:
    first = picked(CROWD, Pick.parse(2), Random(5), per="zone")
    for shuffle in range(5):
        mixed = random.Random(shuffle).sample(CROWD, len(CROWD))
        assert picked(mixed, Pick.parse(2), Random(5), per="zone") == first


def test_a_part_that_cannot_give_that_many_is_named() -> None:
    with pytest.raises(Refused, match="zone a: asked for 5, and only 4 match"):
        picked(CROWD, Pick.parse(5), Random(1), per="zone")
    with pytest.raises(Refused, match="i-12 is in no group, so it cannot be picked per group"):
        picked(CROWD + ALONE, Pick.parse(1), Random(1), per="group")


def test_the_blast_radius_is_told_per_zone_and_group_where_limits_are_shown() -> None:
    targets = picked(CROWD, Pick.parse("one"), Random(1), per="group")
    hold = Hold(
        fault="x", targets=targets, population=12, effect="", populations=populations(CROWD)
    )
    share = measure(Limits(), (Step(name="s", fault="x"),), {"s": hold})[0]
    assert share.measured.startswith("2 of 12 (17%); zone ")
    assert share.measured.endswith("group api 1 of 4, group web 1 of 8")


def test_instances_are_picked_per_zone_by_the_plan() -> None:
    with Reboots() as lab:
        hold = plan(lab, tags={"app": "shop"}, pick="one", per="zone")
        assert sorted(target.domain for target in hold.targets) == [f"{REGION}a", f"{REGION}b"]
        assert hold.populations == {
            f"ec2-instance zone={REGION}a": 2,
            f"ec2-instance zone={REGION}b": 1,
        }


def test_ids_of_every_kind_may_be_arns() -> None:
    with Reboots() as lab:
        ids = [target.id for target in plan(lab, tags={"app": "shop"}, pick="all").targets]
        arns = [f"arn:aws:ec2:{REGION}:{ACCOUNT}:instance/{each}" for each in ids]
        vpc = f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/{lab.vpc}"
        hold = plan(lab, ids=arns, vpc=vpc, pick="all")
        assert [target.id for target in hold.targets] == ids
    with Zones() as zones:
        target = {"vpc": f"arn:aws:ec2:{REGION}:{ACCOUNT}:vpc/{zones.vpc}", "zone": f"{REGION}a"}
        cut = from_plain({"target": target}, discovery.fault("aws.az-outage"))
        assert cut.plan(zones.client, Random(1)).undo["vpc"] == zones.vpc


@pytest.mark.parametrize(
    ("arn", "expected"),
    [
        (f"arn:aws:rds:{REGION}:{ACCOUNT}:cluster:orders", "orders"),
        (f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/shop/web", "web"),
        (f"arn:aws:elasticache:{REGION}:{ACCOUNT}:replicationgroup:sessions", "sessions"),
        (f"arn:aws:autoscaling:{REGION}:{ACCOUNT}:autoScalingGroup:4f:autoScalingGroupName/a", "a"),
        ("web-1", "web-1"),
    ],
)
def test_an_arn_is_read_by_its_end(arn: str, expected: str) -> None:
    assert Access(region=REGION, account=ACCOUNT).named(arn) == expected


@pytest.mark.parametrize(
    ("arn", "said"),
    [
        (f"arn:aws:ec2:us-east-1:{ACCOUNT}:instance/i-1", f"Region us-east-1, and {REGION}"),
        (f"arn:aws:ec2:{REGION}:999999999999:instance/i-1", f"999999999999, and {ACCOUNT}"),
        ("arn:aws", "not an ARN"),
    ],
)
def test_an_arn_of_elsewhere_is_refused(arn: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        Access(region=REGION, account=ACCOUNT).named(arn)


def test_five_thousand_instances_picked_per_zone_take_five_pages_by_the_stubber(aws: Aws) -> None:
    target = {"tags": {"app": "crowd"}, "pick": "one", "per": "zone"}
    fault = from_plain({"target": target}, Ec2Stop)
    access = aws.settle(Access())
    crowd = [
        {
            "InstanceId": f"i-{number:017x}",
            "State": {"Name": "running"},
            "RootDeviceType": "ebs",
            "Placement": {"AvailabilityZone": f"{REGION}{'abc'[number % 3]}"},
        }
        for number in range(5000)
    ]
    with Stubber(aws._client(access, "ec2")) as stub:
        for page in range(5):
            some = crowd[1000 * page : 1000 * (page + 1)]
            answer: dict[str, Any] = {"Reservations": [{"Instances": some}]}
            if page < 4:
                answer["NextToken"] = f"page-{page + 1}"
            stub.add_response("describe_instances", answer)
        for _ in range(3):
            stub.add_response("describe_instance_attribute", {"DisableApiStop": {"Value": False}})
        for operation in ("stop_instances", "start_instances"):
            stub.add_client_error(operation, "DryRunOperation", "it would have", 412)
        hold = fault.plan(aws, Random(1))  # ten calls, and no more were answered
        stub.assert_no_pending_responses()
    assert {target.domain for target in hold.targets} == {f"{REGION}{zone}" for zone in "abc"}
    assert list(hold.populations.values()) == [1667, 1667, 1666]


def test_a_part_that_the_whole_tells_already_is_left_out() -> None:
    alone = CROWD[8:]  # all of one group, in three zones
    hold = Hold(fault="x", targets=(alone[0],), population=4, effect="",
                populations=populations(alone))  # fmt: skip
    assert parts(hold) == ("zone c 1 of 2",)
    whole = Hold(fault="x", targets=tuple(alone), population=4, effect="",
                 populations=populations(alone))  # fmt: skip
    assert parts(whole) == ("zone a 1 of 1", "zone b 1 of 1", "zone c 2 of 2")
