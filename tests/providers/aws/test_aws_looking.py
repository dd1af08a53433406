"""Probes and gates say what CloudWatch, groups and load balancers say, or that they cannot."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.stub import ANY, Stubber

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused, Transient
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.account import Account
from chaosrun.providers.aws.alarms import AlarmProbe, AlarmsOk, AlarmState
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.ecs_service import ServiceProbe
from chaosrun.providers.aws.health import GroupProbe, TargetProbe
from chaosrun.providers.aws.metric import MetricProbe, MetricValue
from chaosrun.providers.aws.rds_status import DatabaseProbe
from chaosrun.providers.aws.rollouts import RolloutComplete
from chaosrun.providers.aws.sqs_depth import Depth, QueueProbe
from tests.contract.aws_lab import ACCOUNT, REGION, _outside
from tests.contract.labs.aws_containers import TasksThatMotoDoesNotReplaceLab
from tests.contract.labs.aws_databases import FailoverLab, RebootOfADatabaseThatMotoIgnoresLab
from tests.contract.labs.aws_network import BalancedLab
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


def answered(aws: Aws, *pages: list[dict[str, Any]]) -> MetricValue:
    """What the probe makes of such an answer, where no data would count as 0."""
    probe = metric(math="SEARCH('errors', 'Sum')", noData=0)
    with Stubber(aws._client(aws.settle(Access()), "cloudwatch")) as stub:
        for number, results in enumerate(pages, 1):
            more = {"NextToken": f"page-{number}"} if number < len(pages) else {}
            stub.add_response("get_metric_data", {"MetricDataResults": results, **more})
        return probe.observe(aws)


def series(status: str = "", *values: float, label: str = "errors") -> dict[str, Any]:
    """A series with these values, each at the second of its own number."""
    when = [datetime(2026, 1, 1, second=int(value), tzinfo=UTC) for value in values]
    made = {"Id": "m", "Label": label, "Timestamps": when, "Values": list(values)}
    return {**made, "StatusCode": status} if status else made


@pytest.mark.parametrize("status", ["InternalError", "Forbidden", "PartialData", "OfTheFuture"])
@pytest.mark.parametrize("values", [(), (1.0,)])
def test_what_cloudwatch_could_not_read_is_not_no_data_by_the_stubber(
    aws: Aws, status: str, values: tuple[float, ...]
) -> None:
    told = {**series(status, *values), "Messages": [{"Code": "Why", "Value": "it is late"}]}
    with pytest.raises(Transient, match=f"CloudWatch says {status}: Why: it is late"):
        answered(aws, [told])
    with pytest.raises(Transient, match=status):
        answered(aws, [series("Complete", 2.0), series(status, label="other")])


def test_a_page_that_is_not_the_last_may_be_partial_by_the_stubber(aws: Aws) -> None:
    pages = [series("PartialData", 1.0)], [series("Complete", 2.0)]
    assert answered(aws, *pages).values == [1.0, 2.0]
    for status in ("InternalError", "Forbidden"):
        with pytest.raises(Transient, match=status):
            answered(aws, [series(status)], [series("Complete", 2.0)])
    with pytest.raises(Transient, match="PartialData"):
        answered(aws, [series("Complete", 1.0)], [series("PartialData", 2.0)])


@pytest.mark.parametrize("label", ["errors", "other"])
def test_no_one_number_is_made_of_several_series_by_the_stubber(aws: Aws, label: str) -> None:
    with pytest.raises(Refused, match="several series"):
        answered(aws, [series("", 1.0), series("", 1.0, label=label)])


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


def test_every_probe_and_gate_declares_the_rights_it_takes() -> None:
    provider = discovery.provider_of("faults", "aws.ec2-stop")
    for table, find in (("probes", discovery.probe), ("gates", discovery.gate)):
        for name in getattr(provider, table):
            kind: Any = find(name)
            actions = [each.action for each in kind.permissions]
            assert "sts:GetCallerIdentity" in actions, name


def test_a_service_tells_whether_it_is_steady() -> None:
    with TasksThatMotoDoesNotReplaceLab() as lab:
        seen = ServiceProbe(cluster=lab.cluster, service="web").observe(lab.client)
        assert (seen.steady, seen.running, seen.desired, seen.pending) == (True, 3, 3, 0)
        assert seen.deployments == ["PRIMARY is COMPLETED"]
        arn = f"arn:aws:ecs:{REGION}:{ACCOUNT}:service/{lab.cluster}/web"
        assert ServiceProbe(cluster=lab.cluster, service=arn).observe(lab.client) == seen
        with pytest.raises(Refused, match="no service 'other' in cluster 'shop'"):
            ServiceProbe(cluster=lab.cluster, service="other").observe(lab.client)


def test_a_cluster_tells_its_status_and_its_writer() -> None:
    with FailoverLab() as lab:
        seen = DatabaseProbe(cluster="shop").observe(lab.client)
        assert (seen.available, seen.status, seen.writer, seen.members) == (
            True, "available", "one", 3,
        )  # fmt: skip
        with pytest.raises(Refused, match="no database 'other'"):
            DatabaseProbe(cluster="other").observe(lab.client)


def test_a_database_that_is_stopped_is_not_available() -> None:
    with RebootOfADatabaseThatMotoIgnoresLab() as lab:
        probe = DatabaseProbe(instance="orders")
        seen = probe.observe(lab.client)
        assert (seen.available, seen.writer, seen.zone) == (True, "orders", f"{REGION}a")
        lab.service("rds").stop_db_instance(DBInstanceIdentifier="orders")
        seen = probe.observe(lab.client)
        assert (seen.available, seen.status, seen.writer) == (False, "stopped", "")


@pytest.mark.parametrize("written", [{}, {"cluster": "a", "instance": "b"}])
def test_a_database_must_be_one_of_the_two(written: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="cluster or instance"):
        from_plain(written, DatabaseProbe)


def test_a_queue_tells_what_waits_and_what_is_in_flight(aws: Aws) -> None:
    sqs = _outside("sqs")
    url = sqs.create_queue(QueueName="orders")["QueueUrl"]
    for number in range(3):
        sqs.send_message(QueueUrl=url, MessageBody=str(number))
    sqs.receive_message(QueueUrl=url)
    expected = Depth(waiting=2, in_flight=1, delayed=0, total=3)
    for written in ("orders", url, f"arn:aws:sqs:{REGION}:{ACCOUNT}:orders"):
        assert QueueProbe(queue=written).observe(aws) == expected
    with pytest.raises(Refused, match="sqs get_queue_url"):
        QueueProbe(queue="other").observe(aws)


def rollout(**written: Any) -> RolloutComplete:
    return from_plain(written, RolloutComplete)


def test_an_instance_refresh_which_moto_lacks_closes_the_gate(shop: Shop) -> None:
    gate = rollout(groups=["shop"])
    measured = gate.measure(shop.client)
    assert (measured.open, measured.measured) == (True, "nothing is rolled out, of 1 looked at")
    scaling = shop.service("autoscaling")
    scaling.start_instance_refresh(AutoScalingGroupName="shop")
    measured = gate.measure(shop.client)
    assert not measured.open
    assert measured.measured == "an instance refresh of shop is InProgress"
    scaling.cancel_instance_refresh(AutoScalingGroupName="shop")
    assert gate.measure(shop.client).open


def test_a_deployment_of_codedeploy_by_the_stubber_closes_the_gate(aws: Aws) -> None:
    gate = rollout(deployments=[{"application": "shop", "group": "production"}])
    access = aws.settle(Access())
    expected = {
        "applicationName": "shop",
        "deploymentGroupName": "production",
        "includeOnlyStatuses": ["Created", "Queued", "InProgress", "Baking", "Ready"],
    }
    for found, open_ in (([], True), (["d-1"], False)):
        with Stubber(aws._client(access, "codedeploy")) as stub:
            stub.add_response("list_deployments", {"deployments": found}, expected)
            measured = gate.measure(aws)
        assert measured.open is open_
    assert measured.measured == "shop/production deploys d-1"


def test_a_rollout_of_nothing_cannot_be_asked_for() -> None:
    with pytest.raises(ValueError, match="say which: groups, services or deployments"):
        rollout()


def test_a_rollout_of_what_is_not_there_cannot_be_measured(aws: Aws) -> None:
    with pytest.raises(Refused, match="no Auto Scaling group 'other'"):
        rollout(groups=["other"]).measure(aws)
