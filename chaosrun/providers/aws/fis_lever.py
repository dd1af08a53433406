"""The gate `aws.fis-lever`: AWS' own switch that halts fault injection is not engaged.

Law (L4, L10): a lever that cannot be read counts as engaged.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.fault import Permission
from chaosrun.gate import Gate, Measured
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws
from chaosrun.units import JSON, Duration


class FisLever(Access, Gate[Aws], frozen=True, kw_only=True):
    """Open while the safety lever of FIS, in this account and Region, is disengaged."""

    name: ClassVar[str] = "aws.fis-lever"
    permissions: ClassVar[tuple[Permission, ...]] = iam("fis:GetSafetyLever")
    example: ClassVar[dict[str, JSON]] = {"region": "eu-west-1"}

    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(15)

    def measure(self, client: Aws) -> Measured:
        access = client.settle(self.access())
        state = client.call(access, "fis", "get_safety_lever", id="default")["safetyLever"]["state"]
        off = state["status"] == "disengaged"
        reason = f": {state['reason']}" if state.get("reason") else ""
        return Measured(
            open=off,
            measured=f"the safety lever is {state['status']} in account {access.account}, "
            f"{access.region}{reason}",
            rule="it must be disengaged",
            hint="" if off else "ask who engaged it; then: aws fis update-safety-lever-state",
        )
