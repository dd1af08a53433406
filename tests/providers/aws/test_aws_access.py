"""Which account is acted in, what calls fail with, and what an import costs."""

from __future__ import annotations

import random
import subprocess
import sys
import urllib.request
from typing import Any

import pytest
from botocore.stub import Stubber
from msgspec.structs import replace

from chaosrun.codec import from_plain
from chaosrun.errors import ChaosrunError, Indeterminate, Refused, Transient
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws, Denied, NotFound, until
from chaosrun.providers.aws.ec2_stop import Ec2Stop
from tests.contract.aws_lab import ACCOUNT, REGION, endpoint
from tests.contract.labs.aws_instances import StopLab

OTHER = "999999999999"


def test_the_account_and_the_region_are_found(aws: Aws) -> None:
    assert aws.settle(Access()) == Access(region=REGION, account=ACCOUNT)
    assert aws.settle(Access(region="us-west-2")).region == "us-west-2"


def test_another_account_than_the_one_that_is_meant_is_refused(aws: Aws) -> None:
    with pytest.raises(Refused, match=f"{OTHER} is meant.*{ACCOUNT}"):
        aws.settle(Access(account=OTHER))
    with pytest.raises(Refused, match=f"{OTHER} is meant"):
        aws.pages(Access(account=OTHER, region=REGION), "ec2", "describe_vpcs", "Vpcs")


def test_a_hold_of_another_account_is_neither_injected_nor_reverted_here() -> None:
    with StopLab() as lab:
        hold, before = lab.lease(), lab.snapshot()
        access = {**hold.undo["access"], "account": OTHER}
        moved = replace(hold, undo={**hold.undo, "access": access})
        for act in (Ec2Stop.inject, Ec2Stop.revert):
            with pytest.raises(Refused, match=f"{OTHER} is meant"):
                act(moved, lab.client)
        assert lab.snapshot() == before


def test_a_role_is_assumed_in_its_own_account(aws: Aws) -> None:
    role = f"arn:aws:iam::{OTHER}:role/chaos"
    access = aws.settle(Access(role=role, external_id="our-contract"))
    assert access.account == OTHER
    assert aws.pages(access, "ec2", "describe_instances", "Reservations") == []


def test_an_endpoint_of_the_arguments_is_used(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert aws.settle(Access(endpoint=endpoint())).account == ACCOUNT


def test_no_region_and_no_profile_are_refused(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Refused, match="nobody"):
        aws.settle(Access(profile="nobody"))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(Refused, match="no Region"):
        aws.settle(Access())


def test_a_sweep_where_aws_is_not_configured_finds_nothing(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    with pytest.raises(Refused, match="no Region"):  # there are credentials, so it must be told
        marks.find(aws)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert marks.find(Aws()) == ()


def test_no_credentials_are_refused(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(Refused, match="credentials"):
        aws.settle(Access())


@pytest.mark.parametrize(
    ("code", "status", "read", "write"),
    [
        ("RequestLimitExceeded", 503, Transient, Transient),
        ("Throttling", 400, Transient, Transient),
        ("ExpiredToken", 400, Transient, Transient),
        ("AuthFailure", 401, Transient, Transient),
        ("UnauthorizedOperation", 403, Denied, Denied),
        ("InvalidInstanceID.NotFound", 400, NotFound, NotFound),
        ("DependencyViolation", 400, Transient, Transient),
        ("InternalError", 500, Transient, Indeterminate),
        ("InvalidParameterValue", 400, Refused, Refused),
    ],
)
def test_an_answer_that_is_an_error_by_the_stubber(
    aws: Aws, code: str, status: int, read: type[ChaosrunError], write: type[ChaosrunError]
) -> None:
    access = Access(region=REGION)
    for operation, expected in (("describe_instances", read), ("stop_instances", write)):
        given = {"InstanceIds": ["i-0a1b2c3d4e5f60718"]}
        with Stubber(aws._client(access, "ec2")) as stub:
            stub.add_client_error(operation, code, "no", status)
            with pytest.raises(expected) as caught:
                aws.call(access, "ec2", operation, **given)
        assert type(caught.value) is expected


def test_a_service_that_cannot_be_reached_is_transient(aws: Aws) -> None:
    nowhere = Access(region=REGION, endpoint="http://127.0.0.1:1")
    with Stubber(aws._client(Access(region=REGION), "sts")), pytest.raises(Transient):
        aws.call(nowhere, "ec2", "stop_instances", InstanceIds=["i-0a1b2c3d4e5f60718"])


def test_waiting_ends() -> None:
    with pytest.raises(Indeterminate, match="it should rain"):
        until(lambda: False, "it should rain", seconds=0.01)


@pytest.mark.parametrize(
    "target",
    [
        {},
        {"pick": "all"},
        {"tags": {}},
        {"region": "eu-west-1"},
        {"ids": ["i-1"], "account": "12"},
        {"ids": ["i-1"], "externalId": "x"},
        {"ids": ["i-1"], "sessionTags": {"team": "x"}},
    ],
)
def test_nothing_is_selected_by_omission(target: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"say which|12 digits|role"):
        from_plain({"target": target}, Ec2Stop)


def test_an_instance_that_is_not_there_is_named(aws: Aws) -> None:
    fault = from_plain({"target": {"ids": ["i-0a1b2c3d4e5f60718"]}}, Ec2Stop)
    with pytest.raises(Refused, match="i-0a1b2c3d4e5f60718: not in"):
        fault.plan(aws, random.Random(1))


def test_five_thousand_instances_which_are_many_for_moto_take_a_few_calls_by_the_stubber(
    aws: Aws,
) -> None:
    fault = from_plain({"target": {"tags": {"app": "crowd"}, "pick": 3}}, Ec2Stop)
    access = aws.settle(Access())
    crowd = [
        {"InstanceId": f"i-{number:017x}", "State": {"Name": "running"}, "RootDeviceType": "ebs"}
        for number in range(5000)
    ]
    picked = sorted(random.Random(1).sample([one["InstanceId"] for one in crowd], 3), key=str)
    with Stubber(aws._client(access, "ec2")) as stub:
        for page in range(5):
            answer: dict[str, Any] = {
                "Reservations": [{"Instances": crowd[1000 * page : 1000 * (page + 1)]}]
            }
            if page < 4:
                answer["NextToken"] = f"page-{page + 1}"
            stub.add_response("describe_instances", answer)
        for _ in range(3):
            stub.add_response("describe_instance_attribute", {"DisableApiStop": {"Value": False}})
        for operation in ("stop_instances", "start_instances"):
            stub.add_client_error(operation, "DryRunOperation", "it would have", 412)
        hold = fault.plan(aws, random.Random(1))
        stub.assert_no_pending_responses()
    assert hold.population == 5000
    assert [target.id for target in hold.targets] == picked


def test_looking_at_the_table_of_names_does_not_import_the_library() -> None:
    code = (
        "import sys, chaosrun.providers.aws, chaosrun.providers.aws.client;"
        "assert 'boto3' not in sys.modules and 'botocore' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


def test_the_world_is_a_server_over_http(aws: Aws) -> None:
    with urllib.request.urlopen(f"{endpoint()}/moto-api/data.json", timeout=10) as answer:
        assert answer.status == 200
