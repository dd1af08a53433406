"""Target groups of load balancers as they are now."""

from __future__ import annotations

from typing import Any

from chaosrun.errors import Refused
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws


def arn_of(client: Aws, access: Access, name: str) -> str:
    """The ARN of the target group of that name, or that ARN. Raises Refused when there is none."""
    by: dict[str, Any] = {"TargetGroupArns" if name.startswith("arn:") else "Names": [name]}
    found = client.pages(access, "elbv2", "describe_target_groups", "TargetGroups", **by)
    if not found:
        raise Refused(f"no target group {name!r} in {access.region}")
    return str(found[0]["TargetGroupArn"])


def health_of(client: Aws, access: Access, arn: str) -> list[dict[str, Any]]:
    """What is registered in a target group, and how each is."""
    return client.pages(
        access, "elbv2", "describe_target_health", "TargetHealthDescriptions", TargetGroupArn=arn
    )
