"""The policy that chaosrun prints is enough to run; the gate says what is missing.

Moto's IAM authorises each call by the policies of whoever calls. It does not look at resources (any
but `*` is denied), so the resources of the policy are widened for it, and looked at by themselves.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.stub import Stubber

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.permitted import Permissions
from chaosrun.providers.aws.policy import document
from chaosrun.rights import Need
from tests.contract.aws_lab import ACCOUNT, REGION, _outside, endpoint
from tests.providers.aws.test_aws_experiments import Shop

# Moto calls some services by other names than IAM does, and one it never asks about.
OTHER_NAMES = {"cloudwatch:": "monitoring:", "tag:": "tagging:"}
PROVEN = ("05", "10", "21", "25")
ALSO = (
    "01", "03", "04", "06", "07", "08", "09", "11", "13", "14", "15", "16", "17", "18", "19",
    "20", "22", "23", "24", "26", "27", "28", "29", "30",
)  # fmt: skip


@pytest.fixture(scope="module")
def shop() -> Iterator[Shop]:
    request: Any = importlib.import_module("moto.iam.access_control").IAMRequestBase
    with Shop() as lab, pytest.MonkeyPatch.context() as patch:
        # Moto takes right signatures of some paths for wrong ones; who calls, it still sees.
        patch.setattr(request, "check_signature", lambda _: None)
        yield lab


def file_of(number: str) -> Path:
    (found,) = Path("experiments/aws").glob(f"{number}-*.yaml")
    return found


def given(shop: Shop, file: Path) -> list[str]:
    text = file.read_text()
    return [
        word
        for name, value in shop.given.items()
        if f"    {name}: {{type" in text
        for word in ("--set", f"{name}={value}")
    ]


def chaosrun(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chaosrun", *words], capture_output=True, text=True, timeout=120,
        env={**os.environ, **environment},
    )  # fmt: skip


def policy_of(shop: Shop, file: Path) -> dict[str, Any]:
    done = chaosrun("permissions", str(file), *given(shop, file), "--document", "iam")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def needs_of(name: str, **arguments: Any) -> tuple[Need, ...]:
    """What a fault or probe may need at most, with these arguments."""
    kind = discovery.fault(name) if name in discovery.names("faults") else discovery.probe(name)
    return tuple(
        Need(permission=one, uses=name, by="a step", arguments=arguments)
        for one in kind.permissions
    )


def actions_of(policy: dict[str, Any]) -> list[str]:
    return [action for one in policy["Statement"] for action in one["Action"]]


def for_moto(actions: list[str]) -> str:
    for name, other in OTHER_NAMES.items():
        actions = [action.replace(name, other) for action in actions] + actions
    return json.dumps({
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": sorted(set(actions)), "Resource": "*"}],
    })  # fmt: skip


@contextlib.contextmanager
def as_a_user_who_may(actions: list[str]) -> Iterator[dict[str, str]]:
    """A user with exactly that policy, and nobody else let in."""
    iam, name = _outside("iam"), "tester"
    iam.create_user(UserName=name)
    iam.put_user_policy(UserName=name, PolicyName="given", PolicyDocument=for_moto(actions))
    key = iam.create_access_key(UserName=name)["AccessKey"]
    authorise("0")
    try:
        yield {
            "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
            "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
        }
    finally:
        authorise("inf")
        iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        iam.delete_user_policy(UserName=name, PolicyName="given")
        iam.delete_user(UserName=name)


def authorise(after: str) -> None:
    """Let moto authorise every call from now on ("0"), or none ("inf")."""
    asked = urllib.request.Request(
        f"{endpoint()}/moto-api/reset-auth",
        data=after.encode(),
        method="POST",
        headers={"Content-Type": "text/plain"},
    )
    with urllib.request.urlopen(asked, timeout=10):
        pass


@pytest.mark.parametrize(
    "number", [*PROVEN, *(pytest.param(one, marks=pytest.mark.long) for one in ALSO)]
)
def test_a_user_with_exactly_the_printed_policy_can_run_it(shop: Shop, number: str) -> None:
    file = file_of(number)
    before = shop.snapshot()
    with as_a_user_who_may(actions_of(policy_of(shop, file))) as user:
        done = chaosrun("run", str(file), *given(shop, file), **user)
    assert done.returncode == 0, done.stdout[-3000:]
    if number not in ("01", "07", "23"):  # a group has another instance now, or one is gone
        assert json.dumps(shop.snapshot(), default=str) == json.dumps(before, default=str)


@pytest.mark.parametrize("missing", ["lambda:DeleteFunctionConcurrency", "lambda:TagResource"])
def test_without_one_action_the_gate_refuses_and_says_which(shop: Shop, missing: str) -> None:
    file, before = file_of("27"), shop.snapshot()
    actions = [one for one in actions_of(policy_of(shop, file)) if one != missing]
    with as_a_user_who_may(actions) as user:
        done = chaosrun("run", str(file), *given(shop, file), **user)
    assert done.returncode == 3
    assert f"not allowed: {missing}" in " ".join(done.stdout.split())
    assert "leased" not in done.stdout
    assert json.dumps(shop.snapshot(), default=str) == json.dumps(before, default=str)


def test_without_one_action_of_ec2_its_dry_run_says_so(shop: Shop) -> None:
    names = [one["InstanceId"] for r in _outside("ec2").describe_instances()["Reservations"]
             for one in r["Instances"]][:1]  # fmt: skip
    gate = from_plain({"instances": names}, Permissions)
    needs = needs_of("aws.ec2-stop")
    may = [one for one in gate.wanted(needs) if one != "ec2:StartInstances"]
    allowed = [*may, "iam:SimulatePrincipalPolicy"]
    with as_a_user_who_may(allowed) as user, pytest.MonkeyPatch.context() as patch:
        for name, value in user.items():
            patch.setenv(name, value)
        client = Aws()
        measured = gate.measure_rights(client, needs)
        client.close()
    assert (measured.open, measured.measured) == (False, "not allowed: ec2:StartInstances")


def test_who_may_not_ask_is_refused(shop: Shop) -> None:
    gate = from_plain({"actions": ["lambda:TagResource"]}, Permissions)
    with as_a_user_who_may(["lambda:TagResource"]) as user, pytest.MonkeyPatch.context() as patch:
        for name, value in user.items():
            patch.setenv(name, value)
        client = Aws()
        with pytest.raises(Refused, match="simulate_principal_policy"):
            gate.measure_rights(client, ())
        client.close()


def test_of_an_assumed_role_the_role_is_asked_about_by_the_stubber(aws: Aws) -> None:
    access = Access(region=REGION, account=ACCOUNT)
    gate = from_plain({"account": ACCOUNT, "region": REGION, "actions": ["s3:ListBuckets"]},
                      Permissions)  # fmt: skip
    aws.settle(access)
    role = f"arn:aws:iam::{ACCOUNT}:role/teams/chaos"
    with Stubber(aws._client(access, "sts")) as sts, Stubber(aws._client(access, "iam")) as iam:
        arn = f"arn:aws:sts::{ACCOUNT}:assumed-role/chaos/session"
        sts.add_response("get_caller_identity", {"Arn": arn, "Account": ACCOUNT})
        told = {"RoleName": "chaos", "Arn": role, "Path": "/teams/", "RoleId": "A" * 20,
                "CreateDate": 0}  # fmt: skip
        iam.add_response("get_role", {"Role": told}, {"RoleName": "chaos"})
        result = {"EvalActionName": "s3:ListBuckets", "EvalDecision": "implicitDeny"}
        asked = {"PolicySourceArn": role, "ActionNames": ["s3:ListBuckets"]}
        iam.add_response("simulate_principal_policy", {"EvaluationResults": [result]}, asked)
        measured = gate.measure_rights(aws, ())
    assert measured.measured == "not allowed: s3:ListBuckets"


def test_an_action_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="regex"):
        from_plain({"actions": ["everything"]}, Permissions)


def test_a_gate_asks_only_for_whom_it_names() -> None:
    role = f"arn:aws:iam::{ACCOUNT}:role/chaos"
    needs = (
        *needs_of("aws.ec2-stop", target={"ids": ["i-1"]}),
        *needs_of("aws.rds-failover", target={"cluster": "orders", "role": role}),
        *needs_of("aws.sqs-depth", account="999999999999"),
    )
    plain = from_plain({"account": ACCOUNT}, Permissions).wanted(needs)
    assumed = from_plain({"role": role}, Permissions).wanted(needs)
    assert "ec2:StopInstances" in plain
    assert "rds:FailoverDBCluster" not in plain
    assert not [one for one in plain if one.startswith("sqs:")]
    assert assumed == ["rds:DescribeDBClusters", "rds:FailoverDBCluster"]


def policy(fault: str, **arguments: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(document(needs_of(fault, **arguments), "shop", ""))
    return found


def resource_of(policy: dict[str, Any], action: str) -> Any:
    (found,) = [one["Resource"] for one in policy["Statement"] if action in one["Action"]]
    return found


@pytest.mark.parametrize(
    ("fault", "target", "action", "resource"),
    [
        ("aws.lambda-throttle", {"function": "f", "region": "eu-west-1", "account": ACCOUNT},
         "lambda:PutFunctionConcurrency", f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"),
        ("aws.lambda-throttle", {"function": f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"},
         "lambda:TagResource", f"arn:aws:lambda:eu-west-1:{ACCOUNT}:function:f"),
        ("aws.lambda-throttle", {"function": "${secrets.name}"},
         "lambda:TagResource", "arn:aws:lambda:*:*:function:*"),
        ("aws.ec2-stop", {"ids": ["i-1", "i-2"], "region": "eu-west-1"}, "ec2:StopInstances",
         ["arn:aws:ec2:eu-west-1:*:instance/i-1", "arn:aws:ec2:eu-west-1:*:instance/i-2"]),
        ("aws.ec2-stop", {"tags": {"app": "shop"}}, "ec2:StartInstances",
         "arn:aws:ec2:*:*:instance/*"),
        ("aws.ec2-stop", {"ids": ["i-1"]}, "ec2:DescribeInstances", "*"),
        ("aws.dynamodb-throttle", {"table": "orders"}, "dynamodb:UpdateTable",
         "arn:aws:dynamodb:*:*:table/orders"),
        ("aws.asg-suspend", {"group": "shop"}, "autoscaling:SuspendProcesses",
         "arn:aws:autoscaling:*:*:autoScalingGroup:*:autoScalingGroupName/shop"),
        ("aws.rds-failover", {"cluster": "orders"}, "rds:FailoverDBCluster",
         "arn:aws:rds:*:*:cluster:orders"),
    ],
)  # fmt: skip
def test_resources_are_as_narrow_as_is_known(
    fault: str, target: dict[str, Any], action: str, resource: Any
) -> None:
    written = policy(fault, target=target)
    assert written["Version"] == "2012-10-17"
    assert resource_of(written, action) == resource


def test_a_role_to_assume_may_be_assumed_and_the_role_of_fis_passed() -> None:
    inline = {"actions": {"a": {"actionId": "b"}}, "roleArn": f"arn:aws:iam::{ACCOUNT}:role/fis"}
    role = f"arn:aws:iam::{ACCOUNT}:role/chaos"
    written = policy("aws.fis", target={"role": role}, inline=inline)
    assert resource_of(written, "iam:PassRole") == inline["roleArn"]
    assert resource_of(written, "sts:AssumeRole") == role


def test_an_experiment_without_aws_has_no_policy(tmp_path: Path) -> None:
    file = next(Path("experiments/lab").glob("*.yaml"))
    done = chaosrun("permissions", str(file), "--document", "iam")
    assert done.returncode == 2
    assert "nothing in this experiment needs rights of iam" in done.stderr


def test_rights_are_those_of_the_arguments() -> None:
    file = next(Path("experiments/aws").glob("30-*.yaml"))
    role = f"arn:aws:iam::{ACCOUNT}:role/restart"
    without = next(Path("experiments/aws").glob("05-*.yaml"))
    done = chaosrun("permissions", str(file), "--document", "iam")
    assert done.returncode == 0, done.stderr
    assert "scheduler:CreateSchedule" in done.stdout
    assert "scheduler:" not in chaosrun("permissions", str(without), "--document", "iam").stdout
    written = policy("aws.ec2-stop", target={"ids": ["i-1"]}, restartRole=role)
    assert resource_of(written, "iam:PassRole") == role


def test_a_policy_is_of_nobody() -> None:
    file = next(Path("experiments/aws").glob("05-*.yaml"))
    done = chaosrun("permissions", str(file), "--document", "iam", "--subject", "shop/runner")
    assert done.returncode == 2
    assert "whom it grants" in done.stderr
