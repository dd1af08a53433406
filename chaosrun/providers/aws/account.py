"""The gate `aws.account`: the credentials are for the account and Region that are meant."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.fault import Permission
from chaosrun.gate import Gate, Measured
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws
from chaosrun.units import JSON, Duration


class Account(Access, Gate[Aws], frozen=True, kw_only=True):
    """Open when the credentials are for this account, and this is the configured Region.

    Here `region` is not chosen but compared: that of the profile or of AWS_REGION must be it.
    """

    name: ClassVar[str] = "aws.account"
    permissions: ClassVar[tuple[Permission, ...]] = iam()
    example: ClassVar[dict[str, JSON]] = {"account": "123456789012", "region": "eu-west-1"}

    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(15)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.account or self.region):
            raise ValueError("say which: account, region or both")

    def measure(self, client: Aws) -> Measured:
        found = client.settle(msgspec.structs.replace(self.access(), account="", region=""))
        wanted = [
            (what, said)
            for what, said in (("account", self.account), ("region", self.region))
            if said
        ]
        right = all(getattr(found, what) == said for what, said in wanted)
        return Measured(
            open=right,
            measured=f"the credentials are for account {found.account}, {found.region}",
            rule=" and ".join(f"the {what} must be {said}" for what, said in wanted),
            hint="" if right else "choose other credentials, by AWS_PROFILE or `profile`",
        )
