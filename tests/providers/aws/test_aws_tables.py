"""A table is throttled only where AWS lets it be put back, and where nobody works against it."""

from __future__ import annotations

import datetime
import random
from typing import Any

import pytest

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.providers.aws.dynamodb_throttle import DynamodbThrottle
from chaosrun.providers.aws.tables import need_a_decrease, throughput_of
from tests.contract.labs.aws_databases import ProvisionedTableLab, TableOnDemandOfAnAdapterLab


def table(count: int, minutes: float) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.UTC)
    return {
        "TableName": "shop",
        "ProvisionedThroughput": {
            "NumberOfDecreasesToday": count,
            "LastDecreaseDateTime": now - datetime.timedelta(minutes=minutes),
        },
    }


@pytest.mark.parametrize(("count", "minutes"), [(0, 1), (3, 1), (4, 61), (26, 61)])
def test_a_decrease_that_aws_allows_is_planned(count: int, minutes: float) -> None:
    need_a_decrease(table(count, minutes))


@pytest.mark.parametrize(
    ("count", "minutes", "said"),
    [(4, 20, "wait 40 minutes"), (26, 59, "wait 1 minutes"), (27, 90, "midnight")],
)
def test_a_decrease_that_aws_would_not_allow_is_refused(
    count: int, minutes: float, said: str
) -> None:
    with pytest.raises(Refused, match="decreased") as caught:
        need_a_decrease(table(count, minutes))
    assert said in caught.value.hint


def test_a_table_that_scales_by_itself_is_left_alone() -> None:
    with ProvisionedTableLab() as lab:
        scaling = lab.service("application-autoscaling")
        where = {
            "ServiceNamespace": "dynamodb",
            "ResourceId": "table/shop",
            "ScalableDimension": "dynamodb:table:ReadCapacityUnits",
        }
        scaling.register_scalable_target(**where, MinCapacity=1, MaxCapacity=90)
        with pytest.raises(Refused, match="would change its ReadCapacityUnits back"):
            lab.plan()
        suspended = {
            "DynamicScalingInSuspended": True,
            "DynamicScalingOutSuspended": True,
            "ScheduledScalingSuspended": True,
        }
        scaling.register_scalable_target(**where, SuspendedState=suspended)
        assert lab.plan().targets


def test_only_what_is_given_and_lower_is_lowered() -> None:
    with ProvisionedTableLab() as lab:
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        now = lab.service("dynamodb").describe_table(TableName="shop")["Table"]
        assert (throughput_of(now).read, throughput_of(now).write) == (2, 20)


def test_what_somebody_else_set_meanwhile_stays() -> None:
    with TableOnDemandOfAnAdapterLab() as lab:
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        theirs = {"MaxReadRequestUnits": 7, "MaxWriteRequestUnits": 7}
        lab.service("dynamodb").update_table(TableName="shop", OnDemandThroughput=theirs)
        lab.kind().revert(hold, lab.client)
        now = lab.service("dynamodb").describe_table(TableName="shop")["Table"]
        assert (throughput_of(now).read, throughput_of(now).write) == (7, 7)
        assert not lab.restored(hold).seen


@pytest.mark.parametrize("units", [{"read": 40}, {"write": 20}, {"read": 50, "write": 50}])
def test_nothing_to_lower_is_refused(units: dict[str, int]) -> None:
    with ProvisionedTableLab() as lab:
        fault = from_plain({"target": {"table": "shop"}, **units}, DynamodbThrottle)
        with pytest.raises(Refused, match="not more than asked for"):
            fault.plan(lab.client, random.Random(1))


def test_saying_nothing_is_wrong() -> None:
    with pytest.raises(ValueError, match="read, write or both"):
        from_plain({"target": {"table": "shop"}}, DynamodbThrottle)
