"""Halt sources on AWS: a parameter of Systems Manager, and the safety lever of FIS.

Law (L10): a parameter that is not there, and a lever that is not disengaged, mean on.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.halting import Every, HaltSource, Switch, Timeout, said
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.fis_lever import DEFAULT, lever
from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration


class SsmParameter(Access, HaltSource[Aws], frozen=True, kw_only=True):
    """Off while a parameter of Systems Manager says `off`; on when it says `on` and why, or not."""

    name: ClassVar[str] = "aws.ssm-parameter"
    permissions: ClassVar[tuple[Permission, ...]] = iam("ssm:GetParameter")
    example: ClassVar[dict[str, JSON]] = {"parameter": "/chaosrun/halt", "region": "eu-west-1"}

    parameter: Annotated[str, Meta(min_length=1, description="The name of the parameter")]
    every: Every = Duration(5)
    timeout: Timeout = Duration(15)

    def read(self, client: Aws) -> Switch:
        access = client.settle(self.access())
        found = client.call(access, "ssm", "get_parameter", Name=self.parameter)
        return said(str(found["Parameter"]["Value"]), f"the parameter {self.parameter}")


class FisLever(Access, HaltSource[Aws], frozen=True, kw_only=True):
    """On while the safety lever of AWS' Fault Injection Service is engaged, or being engaged.

    The lever stops AWS' own experiments in an account and Region, and so it stops ours.
    """

    name: ClassVar[str] = "aws.fis-lever"
    permissions: ClassVar[tuple[Permission, ...]] = iam("fis:GetSafetyLever")
    example: ClassVar[dict[str, JSON]] = {"region": "eu-west-1"}

    lever: Annotated[str, Meta(description="The id of the lever; an account has one")] = DEFAULT
    every: Every = Duration(5)
    timeout: Timeout = Duration(15)

    def read(self, client: Aws) -> Switch:
        engaged, said = lever(client, client.settle(self.access()), self.lever)
        return Switch(engaged, said)
