"""AWS throttles, forgets who we are, and does half of what it was told: nothing is lost.

moto does none of this by itself: its server is made to answer so.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import boto3
import pytest
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import EC2Backend
from moto.ec2.responses import EC2Response
from msgspec.structs import replace

from chaosrun.codec import from_plain
from chaosrun.errors import Refused, Transient
from chaosrun.fault import Hold
from chaosrun.providers.aws import marks, restarts
from chaosrun.providers.aws.access import access_of
from chaosrun.providers.aws.ec2_stop import Ec2Stop
from tests.contract.aws_lab import REGION, endpoint
from tests.contract.labs.aws_functions import (
    ThrottleOfAFunctionThatMotoStillAnswersLab,
    ThrottleOfAReservedFunctionLab,
    TriggerLab,
)
from tests.contract.labs.aws_instances import StopLab

Answer = Callable[[Any], Any]


def failing(monkeypatch: pytest.MonkeyPatch, name: str, code: str, times: int) -> list[str]:
    """Have EC2 answer an operation with an error so many times; what was asked is listed."""
    asked: list[str] = []
    inner: Answer = getattr(EC2Response, name)

    def answer(self: Any) -> Any:
        if self._get_param("DryRun"):
            return inner(self)
        asked.append(name)
        if len(asked) <= times:
            raise EC2ClientError(code, "as the test says")
        return inner(self)

    monkeypatch.setattr(EC2Response, name, answer)
    return asked


def test_throttling_is_retried_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    with StopLab() as lab:
        before, hold = lab.snapshot(), lab.lease()
        asked = failing(monkeypatch, "stop_instances", "RequestLimitExceeded", times=100)
        began = time.monotonic()
        with pytest.raises(Transient, match="RequestLimitExceeded"):
            lab.kind().inject(hold, lab.client)
        assert len(asked) == 4
        assert time.monotonic() - began < 60
        lab.kind().revert(hold, lab.client)
        assert lab.snapshot() == before


def test_throttling_that_ends_is_not_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with StopLab() as lab:
        hold = lab.lease()
        asked = failing(monkeypatch, "stop_instances", "Throttling", times=1)
        lab.kind().inject(hold, lab.client)
        assert len(asked) == 2
        assert lab.took_effect(hold).seen


def test_credentials_that_expired_are_read_anew_for_the_revert(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with StopLab() as lab:
        before, hold = lab.snapshot(), lab.lease()
        lab.kind().inject(hold, lab.client)
        failing(monkeypatch, "start_instances", "RequestExpired", times=1)
        session = lab.client._session
        old = session(access_of(hold))
        with pytest.raises(Transient, match="RequestExpired") as caught:
            lab.kind().revert(hold, lab.client)
        assert caught.value.hint == "renew the credentials"
        assert session(access_of(hold)) is not old
        lab.kind().revert(hold, lab.client)
        assert lab.snapshot() == before


def written_credentials(file: Path, **given: str) -> None:
    lines = "".join(f"aws_{name} = {value}\n" for name, value in given.items())
    file.write_text(f"[default]\n{lines}")


@pytest.fixture
def rotated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[StopLab, Path]]:
    """A world whose EC2 starts nothing for the key `old`, and the file that the key is read of."""
    file, inner = tmp_path / "credentials", EC2Response.start_instances
    written_credentials(file, access_key_id="old", secret_access_key="x")

    def answer(self: Any) -> Any:
        if not self._get_param("DryRun") and "Credential=old/" in self.headers["Authorization"]:
            raise EC2ClientError(file.with_name("code").read_text(), "as the test says")
        return inner(self)

    with StopLab() as lab:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(file))
        monkeypatch.setattr(EC2Response, "start_instances", answer)
        yield lab, file


@pytest.mark.parametrize(
    "code",
    ["AuthFailure", "InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException"],
)
def test_a_key_that_was_rotated_is_read_anew_for_the_revert(
    rotated: tuple[StopLab, Path], code: str
) -> None:
    lab, file = rotated
    file.with_name("code").write_text(code)
    before, hold = lab.snapshot(), lab.lease()
    lab.kind().inject(hold, lab.client)
    with pytest.raises(Transient, match=code) as caught:
        lab.kind().revert(hold, lab.client)
    assert caught.value.hint == "renew the credentials"
    written_credentials(file, access_key_id="new", secret_access_key="y")
    lab.kind().revert(hold, lab.client)
    assert lab.snapshot() == before


OTHER = "999999999999"


def of_another_account() -> dict[str, str]:
    sts = boto3.client(
        "sts", endpoint_url=endpoint(), region_name=REGION,
        aws_access_key_id="testing", aws_secret_access_key="testing",
    )  # fmt: skip
    made = sts.assume_role(RoleArn=f"arn:aws:iam::{OTHER}:role/chaos", RoleSessionName="test")
    given = made["Credentials"]
    return {
        "access_key_id": given["AccessKeyId"], "secret_access_key": given["SecretAccessKey"],
        "session_token": given["SessionToken"],
    }  # fmt: skip


def test_a_key_that_was_rotated_into_another_account_reverts_nothing_there(
    rotated: tuple[StopLab, Path],
) -> None:
    lab, file = rotated
    file.with_name("code").write_text("AuthFailure")
    before, hold = lab.snapshot(), lab.lease()
    lab.kind().inject(hold, lab.client)
    with pytest.raises(Transient, match="AuthFailure"):
        lab.kind().revert(hold, lab.client)
    written_credentials(file, **of_another_account())
    for _ in range(2):
        with pytest.raises(Refused, match=f"the credentials are for {OTHER}"):
            lab.kind().revert(hold, lab.client)
        lab.client._forget(access_of(hold))
    written_credentials(file, access_key_id="new", secret_access_key="y")
    lab.kind().revert(hold, lab.client)
    assert lab.snapshot() == before


def test_credentials_that_change_just_after_the_account_was_compared_are_not_used(
    rotated: tuple[StopLab, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    lab, file = rotated
    access, compared, told = access_of(lab.lease()), lab.client._account, of_another_account()

    def forgotten(*given: Any) -> str:
        found: str = compared(*given)
        written_credentials(file, **told)
        lab.client._forget(access)  # as another thread does, whose call was refused
        return found

    monkeypatch.setattr(lab.client, "_account", forgotten)
    said = lab.client.call(access, "sts", "get_caller_identity")
    assert said["Account"] == access.account


def test_a_run_whose_credentials_expire_reverts_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with StopLab() as lab:
        before = lab.snapshot()
        asked = failing(monkeypatch, "start_instances", "ExpiredToken", times=2)
        cloudwatch = lab.service("cloudwatch")
        cloudwatch.put_metric_alarm(
            AlarmName="shop-errors", Namespace="Shop", MetricName="Errors", Statistic="Sum",
            Period=60, EvaluationPeriods=1, Threshold=1,
            ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip
        cloudwatch.set_alarm_state(AlarmName="shop-errors", StateValue="OK", StateReason="quiet")
        file = "experiments/aws/05-survives-a-stopped-instance.yaml"
        done = subprocess.run(
            [sys.executable, "-m", "chaosrun", "run", file, "--set", "hold=0s"],
            env={**os.environ, "CHAOSRUN_JOURNAL": f"sqlite:///{tmp_path}/journal.db"},
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
        assert len(asked) >= 3
        assert lab.snapshot() == before


class Five(StopLab):
    """Five instances, of which all are picked."""

    pick = "all"

    def made(self) -> None:
        made = self.network()
        self.app, self.vpc = "shop", made["vpc"]
        self.ids = self.instances(made["a"], 5, app=self.app)


def test_three_of_five_stopped_is_not_a_fault_in_place_and_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Five() as lab:
        before, hold = lab.snapshot(), lab.lease()
        inner = EC2Backend.stop_instances

        def stop(self: Any, instance_ids: list[str]) -> Any:
            inner(self, instance_ids[:3])
            raise EC2ClientError("IncorrectInstanceState", "two are not in the mood")

        monkeypatch.setattr(EC2Backend, "stop_instances", stop)
        with pytest.raises(Transient, match="not in the mood"):
            lab.kind().inject(hold, lab.client)
        seen = lab.took_effect(hold)
        assert not seen.seen
        assert seen.detail.count("is stopped") == 3
        assert seen.detail.count("is running") == 2
        lab.kind().revert(hold, lab.client)
        assert lab.restored(hold).seen
        assert lab.snapshot() == before


def test_of_five_one_that_somebody_terminated_is_reported_and_four_come_back() -> None:
    with Five() as lab:
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        lab.service("ec2").terminate_instances(InstanceIds=lab.ids[:1])
        lab.kind().revert(hold, lab.client)
        seen = lab.restored(hold)
        assert not seen.seen
        assert f"{lab.ids[0]} is terminated" in seen.detail
        assert seen.detail.count("is running") == 4


def test_what_ended_between_plan_and_injection_is_named_and_nothing_is_stopped() -> None:
    with Five() as lab:
        hold = lab.lease()
        lab.service("ec2").terminate_instances(InstanceIds=lab.ids[:1])
        with pytest.raises(Refused, match=f"{lab.ids[0]} ended since they were planned"):
            lab.kind().inject(hold, lab.client)
        assert "stopped" not in json.dumps(lab.snapshot())


# --- a schedule that starts what was stopped ------------------------------------------


ROLE = "arn:aws:iam::123456789012:role/restart"


def stop_with_a_schedule(lab: StopLab, deadline: float) -> Hold:
    written = {**lab.arguments(), "restartRole": ROLE}
    hold = from_plain(written, Ec2Stop).plan(lab.client, Random(3))
    return replace(hold, mark="chaosrun-run-0", deadline=deadline)


def test_a_schedule_is_made_before_the_stop_and_starts_them_as_moto_does_not() -> None:
    with StopLab() as lab:
        hold = stop_with_a_schedule(lab, 1_900_000_000.2)
        assert hold.expiry == "target"
        calls: list[str] = []
        lab.client.observers.append(lambda _, operation: calls.append(operation))
        lab.kind().inject(hold, lab.client)
        changes = [call for call in calls if not call.startswith(("Describe", "Get"))]
        assert changes == ["CreateTags", "CreateSchedule", "StopInstances"]
        made = lab.service("scheduler").get_schedule(Name="chaosrun-run-0")
        assert made["ScheduleExpression"] == "at(2030-03-17T17:46:41)"
        assert made["ScheduleExpressionTimezone"] == "UTC"
        assert made["ActionAfterCompletion"] == "DELETE"
        assert made["Target"]["Arn"] == "arn:aws:scheduler:::aws-sdk:ec2:startInstances"
        assert made["Target"]["RoleArn"] == ROLE
        # What the service does at that time, with nobody of ours alive:
        lab.service("ec2").start_instances(**json.loads(made["Target"]["Input"]))
        assert not lab.took_effect(hold).seen
        # Whoever recovers finds them running, and takes the rest away.
        lab.kind().revert(hold, lab.client)
        assert lab.restored(hold).seen
        assert lab.service("scheduler").list_schedules()["Schedules"] == []


def test_without_a_role_nobody_else_starts_them_and_no_right_to_is_needed() -> None:
    with StopLab() as lab:
        hold = lab.plan()
        assert hold.expiry == "runner"
        assert not [each for each in hold.used if each.action.startswith(("scheduler:", "iam:"))]


@pytest.mark.parametrize("role", ["restart", "arn:aws:iam::12:role/x"])
def test_what_is_no_role_is_refused(role: str) -> None:
    with pytest.raises(ValueError, match="not the ARN of a role"):
        from_plain({"target": {"ids": ["i-1"]}, "restartRole": role}, Ec2Stop)


# --- what is shown is old -------------------------------------------------------------


class OldNews:
    """Has an operation answer `times` more times as it answered last."""

    def __init__(self, lab: Any, monkeypatch: pytest.MonkeyPatch, operation: str) -> None:
        self.times = 0
        last: Any = None
        for way in ("call", "pages"):
            inner = getattr(lab.client, way)

            def answer(access: Any, *asked: Any, inner: Any = inner, **given: Any) -> Any:
                nonlocal last
                if asked[1] != operation:
                    return inner(access, *asked, **given)
                if self.times > 0:
                    self.times -= 1
                else:
                    last = inner(access, *asked, **given)
                return last

            monkeypatch.setattr(lab.client, way, answer)


def stopped_behind_the_news(lab: StopLab, news: OldNews, times: int) -> Hold:
    """Instances that are stopped, are tagged, and have a schedule; they are shown as before it."""
    hold = stop_with_a_schedule(lab, time.time() + 600)
    ids = [target.id for target in hold.targets]
    marks.put(hold, lab.client, ids)
    restarts.arm(hold, lab.client)
    assert lab.restored(hold).detail.count("is running") == 2
    lab.service("ec2").stop_instances(InstanceIds=ids)
    news.times = times
    return hold


@pytest.mark.parametrize("times", [0, 1, 2, 3, 20])
def test_instances_are_started_though_they_are_shown_to_run(
    monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    with StopLab() as lab:
        before = lab.snapshot()
        news = OldNews(lab, monkeypatch, "describe_instances")
        hold = stopped_behind_the_news(lab, news, times)
        lab.kind().revert(hold, lab.client)
        news.times = 0
        assert lab.restored(hold).seen
        assert lab.snapshot() == before


def test_instances_that_do_not_come_up_are_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with StopLab() as lab:
        before = lab.snapshot()
        news = OldNews(lab, monkeypatch, "describe_instances")
        hold = stopped_behind_the_news(lab, news, times=3)
        inner, asked = EC2Backend.start_instances, []

        def start(self: Any, instance_ids: list[str]) -> Any:
            said = inner(self, instance_ids)
            asked.append(instance_ids)
            if len(asked) == 1:  # each falls back, as for want of capacity
                self.stop_instances(instance_ids)
            return said

        monkeypatch.setattr(EC2Backend, "start_instances", start)
        lab.kind().revert(hold, lab.client)
        assert lab.snapshot() == before


def test_what_cannot_be_started_yet_keeps_its_schedule_and_tags(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with StopLab() as lab:
        news = OldNews(lab, monkeypatch, "describe_instances")
        hold = stopped_behind_the_news(lab, news, times=3)
        failing(monkeypatch, "start_instances", "IncorrectInstanceState", times=1)
        with pytest.raises(Transient, match="IncorrectInstanceState"):
            lab.kind().revert(hold, lab.client)
        news.times = 0
        seen = lab.restored(hold)
        assert not seen.seen
        assert "still tagged" in seen.detail
        assert "the schedule is still there" in seen.detail
        lab.kind().revert(hold, lab.client)
        assert lab.restored(hold).seen


def test_one_look_that_is_old_does_not_show_that_all_is_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with StopLab() as lab:
        news, hold = OldNews(lab, monkeypatch, "describe_instances"), lab.lease()
        assert lab.restored(hold).seen
        lab.service("ec2").stop_instances(InstanceIds=[target.id for target in hold.targets])
        news.times = 1
        assert not lab.restored(hold).seen


@pytest.mark.parametrize(
    "kind", [ThrottleOfAFunctionThatMotoStillAnswersLab, ThrottleOfAReservedFunctionLab]
)
def test_a_function_is_let_run_though_it_is_shown_to(
    monkeypatch: pytest.MonkeyPatch, kind: type[ThrottleOfAFunctionThatMotoStillAnswersLab]
) -> None:
    with kind() as lab:
        before, hold = lab.snapshot(), lab.lease()
        news = OldNews(lab, monkeypatch, "get_function_concurrency")
        assert lab.restored(hold).seen
        lab.kind().inject(hold, lab.client)
        news.times = 1
        lab.kind().revert(hold, lab.client)
        assert lab.snapshot() == before


def test_a_number_that_somebody_else_gave_a_function_stays() -> None:
    with ThrottleOfAReservedFunctionLab() as lab:
        hold = lab.lease()
        lab.kind().inject(hold, lab.client)
        lab.service("lambda").put_function_concurrency(
            FunctionName="shop", ReservedConcurrentExecutions=3
        )
        lab.kind().revert(hold, lab.client)
        assert lab.snapshot() == {"reserved": 3, "tags": {}}
        assert not lab.restored(hold).seen


def test_triggers_are_enabled_though_they_are_listed_so(monkeypatch: pytest.MonkeyPatch) -> None:
    with TriggerLab() as lab:
        before, hold = lab.snapshot(), lab.lease()
        news = OldNews(lab, monkeypatch, "list_event_source_mappings")
        assert lab.restored(hold).seen
        for target in hold.targets:
            lab.service("lambda").update_event_source_mapping(UUID=target.id, Enabled=False)
        news.times = 3
        lab.kind().revert(hold, lab.client)
        assert lab.snapshot() == before
