"""The probe `aws.ecs-service`: whether an ECS service is steady."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.fault import Permission
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.looking import AwsProbe
from chaosrun.providers.aws.services import service_named
from chaosrun.units import JSON


class ServiceState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How an ECS service is."""

    steady: Annotated[
        bool, Meta(description="Whether all that it wants runs, and no deployment goes on")
    ]
    running: Annotated[int, Meta(description="How many of its tasks run")]
    desired: Annotated[int, Meta(description="How many it wants")]
    pending: Annotated[int, Meta(description="How many are on their way")]
    failed_tasks: Annotated[int, Meta(description="Tasks that failed to start, of its deployments")]
    deployments: Annotated[list[str], Meta(description="Its deployments and how each is")]


class ServiceProbe(AwsProbe[ServiceState], frozen=True, kw_only=True):
    """Looks whether an ECS service is steady, and how many of its tasks run."""

    name: ClassVar[str] = "aws.ecs-service"
    Result = ServiceState
    permissions: ClassVar[tuple[Permission, ...]] = iam("ecs:DescribeServices")
    example: ClassVar[dict[str, JSON]] = {
        "with": {"cluster": "shop", "service": "checkout"},
        "expect": "running >= 2",
    }

    cluster: Annotated[str, Meta(description="The cluster's name or ARN", min_length=1)]
    service: Annotated[str, Meta(description="The service's name or ARN", min_length=1)]

    def look(self, client: Aws, access: Access) -> ServiceState:
        found = service_named(client, access, self.cluster, self.service)
        return ServiceState(
            steady=found.steady,
            running=found.running,
            desired=found.desired,
            pending=found.pending,
            failed_tasks=found.failed,
            deployments=found.deployments,
        )
