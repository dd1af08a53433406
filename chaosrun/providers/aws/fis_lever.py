"""AWS' own switch that halts fault injection, and the gate `aws.fis-lever`: it is not engaged.

Law (L4, L10): a lever that is not disengaged, or cannot be read, counts as engaged.
"""

from __future__ import annotations

from typing import ClassVar

from chaosrun.fault import Permission
from chaosrun.gate import Measured
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.looking import AwsGate
from chaosrun.units import JSON

DEFAULT = "default"
"""The id of the lever that every account has in every Region."""


def lever(client: Aws, access: Access, name: str = DEFAULT) -> tuple[bool, str]:
    """Whether it is engaged, or being engaged, and how it is in words."""
    state = client.call(access, "fis", "get_safety_lever", id=name)["safetyLever"]["state"]
    why = f": {state['reason']}" if state.get("reason") else ""
    said = f"the safety lever is {state['status']} in account {access.account}, {access.region}"
    return state["status"] != "disengaged", said + why


class FisLever(AwsGate, frozen=True, kw_only=True):
    """Open while the safety lever of FIS, in this account and Region, is disengaged."""

    name: ClassVar[str] = "aws.fis-lever"
    permissions: ClassVar[tuple[Permission, ...]] = iam("fis:GetSafetyLever")
    example: ClassVar[dict[str, JSON]] = {"region": "eu-west-1"}

    def ask(self, client: Aws, access: Access) -> Measured:
        engaged, said = lever(client, access)
        return Measured(
            open=not engaged,
            measured=said,
            rule="it must be disengaged",
            hint="ask who engaged it; then: aws fis update-safety-lever-state" if engaged else "",
        )
