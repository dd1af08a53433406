"""Probes and gates say what CloudWatch, groups and load balancers say, or that they cannot."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from chaosrun.codec import from_plain
from chaosrun.errors import Refused, Transient
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.account import Account
from chaosrun.providers.aws.alarms import AlarmProbe, AlarmsOk, AlarmState
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.health import GroupProbe, TargetProbe
from chaosrun.providers.aws.metric import MetricProbe
from tests.contract.labs.aws import ACCOUNT, REGION, BalancedLab, _outside
from tests.providers.aws.conftest import Shop

METRIC = {"namespace": "Shop", "metric": "Errors", "dimensions": {"app": "shop"}}


def alarm(name: str, state: str) -> None:
    cloudwatch = _outside("cloudwatch")
    cloudwatch.put_metric_alarm(
        AlarmName=name, Namespace="Shop", MetricName="Errors", Statistic="Sum", Period=60,
        EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
    )  # fmt: skip
    cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="as the test says")


def test_an_alarm_tells_its_state(aws: Aws) -> None:
    alarm("errors", "ALARM")
    seen = AlarmProbe(alarm="errors").observe(aws)
    assert seen == AlarmState(state="ALARM", reason="as the test says")
    with pytest.raises(Refused, match="no alarm 'other'"):
        AlarmProbe(alarm="other").observe(aws)


def test_a_composite_alarm_which_moto_lacks_by_the_stubber(aws: Aws) -> None:
    composite = {"AlarmName": "shop", "StateValue": "OK", "StateReason": "all is well"}
    access = aws.settle(Access())
    with Stubber(aws._client(access, "cloudwatch")) as stub:
        stub.add_response("describe_alarms", {"CompositeAlarms": [composite]})
        assert AlarmProbe(alarm="shop").observe(aws).state == "OK"


@pytest.mark.parametrize(
    ("states", "open_", "said"),
    [
        ({"a": "OK", "b": "OK"}, True, "2 alarms are OK"),
        ({"a": "OK", "b": "ALARM"}, False, "b is ALARM"),
        ({"a": "OK", "b": "INSUFFICIENT_DATA"}, False, "b is INSUFFICIENT_DATA"),
        ({"a": "OK"}, False, "b is not there"),
    ],
)
def test_alarms_open_the_gate_only_when_all_are_ok(
    aws: Aws, states: dict[str, str], open_: bool, said: str
) -> None:
    for name, state in states.items():
        alarm(name, state)
    measured = AlarmsOk(alarms=("a", "b")).measure(aws)
    assert (measured.open, measured.measured) == (open_, said)
    assert bool(measured.hint) is not open_


def test_the_account_gate_compares(aws: Aws) -> None:
    assert Account(account=ACCOUNT, region=REGION).measure(aws).open
    for wrong in (Account(account="999999999999"), Account(region="us-east-1")):
        measured = wrong.measure(aws)
        assert not measured.open
        assert measured.measured == f"the credentials are for account {ACCOUNT}, {REGION}"


def metric(**more: Any) -> MetricProbe:
    return from_plain({"metrics": {"errors": METRIC}, **more}, MetricProbe)


def test_a_metric_tells_its_newest_value(aws: Aws) -> None:
    _outside("cloudwatch").put_metric_data(
        Namespace="Shop",
        MetricData=[
            {
                "MetricName": "Errors",
                "Value": 7.0,
                "Dimensions": [{"Name": "app", "Value": "shop"}],
            }
        ],
    )
    seen = metric().observe(aws)
    assert (seen.value, seen.values, seen.empty) == (7.0, [7.0], False)
    assert seen.age.seconds < 120


def test_no_data_is_unknown_unless_it_is_said_what_it_means(aws: Aws) -> None:
    with pytest.raises(Transient, match="no data"):
        metric().observe(aws)
    seen = metric(noData=0).observe(aws)
    assert (seen.value, seen.empty) == (0.0, True)


def test_metric_math_which_moto_does_not_do_by_the_stubber(aws: Aws) -> None:
    probe = metric(math="100 * errors", noData=1)
    queries = probe._queries()
    assert [query["ReturnData"] for query in queries] == [False, True]
    access = aws.settle(Access())
    with Stubber(aws._client(access, "cloudwatch")) as stub:
        answer = {"MetricDataResults": [{"Id": "chaosrun_math", "Timestamps": [], "Values": []}]}
        expected = {
            "MetricDataQueries": queries, "StartTime": ANY, "EndTime": ANY,
            "ScanBy": "TimestampAscending",
        }  # fmt: skip
        stub.add_response("get_metric_data", answer, expected)
        assert probe.observe(aws).value == 1.0


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"metrics": {"a": METRIC, "b": METRIC}}, "several metrics need"),
        ({"metrics": {"A": METRIC}}, "small letter"),
        ({"period": "90s"}, "whole minutes"),
        ({"range": "30s"}, "shorter than a period"),
    ],
)
def test_a_metric_that_makes_no_sense_is_refused(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        metric(**written)


def test_a_group_tells_how_many_serve(shop: Shop) -> None:
    seen = GroupProbe(group="shop").observe(shop.client)
    assert (seen.in_service, seen.minimum, seen.desired) == (3, 2, 3)
    with pytest.raises(Refused, match="no Auto Scaling group 'other'"):
        GroupProbe(group="other").observe(shop.client)


def test_a_target_group_tells_how_many_are_healthy() -> None:
    with BalancedLab() as lab:
        seen = TargetProbe(target_group="shop").observe(lab.client)
        assert (seen.healthy, seen.total, seen.states) == (3, 3, {"healthy": 3})
        assert TargetProbe(target_group=lab.arn).observe(lab.client) == seen
