"""Halt sources on AWS: moto for Systems Manager; the Stubber for each state of the lever."""

from __future__ import annotations

import pytest
from botocore.stub import Stubber

from chaosrun.errors import Refused
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.halts import FisLever, SsmParameter
from tests.contract.aws_lab import ACCOUNT, REGION, _outside


def put(value: str) -> None:
    _outside("ssm").put_parameter(Name="/halt", Value=value, Type="String", Overwrite=True)


def test_a_parameter_says_off_or_on_and_why(aws: Aws) -> None:
    put("off")
    found = SsmParameter(parameter="/halt").read(aws)
    assert (found.on, found.seen) == (False, "the parameter /halt says off")
    put("on incident 4711")
    found = SsmParameter(parameter="/halt").read(aws)
    assert (found.on, found.seen) == (True, "incident 4711")
    put("maybe")
    assert SsmParameter(parameter="/halt").read(aws).on


def test_a_parameter_that_is_not_there_raises_so_that_it_counts_as_on(aws: Aws) -> None:
    with pytest.raises(Refused):
        SsmParameter(parameter="/missing").read(aws)


def test_a_parameter_of_another_account_raises(aws: Aws) -> None:
    put("off")
    with pytest.raises(Refused, match="account"):
        SsmParameter(parameter="/halt", account="999999999999").read(aws)
    assert not SsmParameter(parameter="/halt", account=ACCOUNT, region=REGION).read(aws).on


@pytest.mark.parametrize(
    ("status", "on"), [("disengaged", False), ("engaging", True), ("engaged", True)]
)
def test_the_safety_lever_halts_unless_it_is_disengaged(aws: Aws, status: str, on: bool) -> None:
    access = aws.settle(Access())
    with Stubber(aws._client(access, "fis")) as stub:
        state = {"status": status, "reason": "incident 4711"}
        stub.add_response(
            "get_safety_lever",
            {
                "safetyLever": {
                    "id": "default",
                    "arn": f"arn:aws:fis:{REGION}:{ACCOUNT}:x",
                    "state": state,
                }
            },
            {"id": "default"},
        )
        found = FisLever().read(aws)
    where = f"in account {ACCOUNT}, {REGION}"
    assert (found.on, found.seen) == (on, f"the safety lever is {status} {where}: incident 4711")


def test_a_lever_that_may_not_be_read_raises(aws: Aws) -> None:
    access = aws.settle(Access())
    with Stubber(aws._client(access, "fis")) as stub:
        stub.add_client_error("get_safety_lever", "AccessDeniedException", "no", 403)
        with pytest.raises(Refused):
            FisLever().read(aws)
