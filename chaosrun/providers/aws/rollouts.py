"""The gate `aws.rollout-complete`: nothing is being deployed or refreshed now.

Law (L4): what does not exist, or cannot be read, closes the gate.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.fault import Permission
from chaosrun.gate import Measured
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.groups import group_named
from chaosrun.providers.aws.healing import refreshing
from chaosrun.providers.aws.looking import AwsGate
from chaosrun.providers.aws.services import service_named
from chaosrun.units import JSON

_OF_GROUPS = ("autoscaling:DescribeAutoScalingGroups", "autoscaling:DescribeInstanceRefreshes")
_OF_SERVICES = ("ecs:DescribeServices",)
_OF_DEPLOYMENTS = ("codedeploy:ListDeployments",)
_UNDER_WAY = ["Created", "Queued", "InProgress", "Baking", "Ready"]


class ServiceName(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One ECS service."""

    cluster: Annotated[str, Meta(description="The cluster's name or ARN", min_length=1)]
    service: Annotated[str, Meta(description="The service's name or ARN", min_length=1)]


class DeploymentGroup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One deployment group of CodeDeploy."""

    application: Annotated[str, Meta(description="The application's name", min_length=1)]
    group: Annotated[str, Meta(description="The deployment group's name", min_length=1)]


class RolloutComplete(AwsGate, frozen=True, kw_only=True):
    """Open while no instance refresh, ECS deployment or CodeDeploy deployment goes on."""

    name: ClassVar[str] = "aws.rollout-complete"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        *_OF_GROUPS, *_OF_SERVICES, *_OF_DEPLOYMENTS
    )
    example: ClassVar[dict[str, JSON]] = {
        "groups": ["checkout"],
        "services": [{"cluster": "shop", "service": "checkout"}],
        "deployments": [{"application": "shop", "group": "production"}],
    }

    groups: Annotated[
        tuple[str, ...], Meta(description="Names or ARNs of Auto Scaling groups")
    ] = ()
    services: Annotated[tuple[ServiceName, ...], Meta(description="ECS services")] = ()
    deployments: Annotated[
        tuple[DeploymentGroup, ...], Meta(description="Deployment groups of CodeDeploy")
    ] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.groups or self.services or self.deployments):
            raise ValueError("say which: groups, services or deployments")

    def needs(self) -> tuple[Permission, ...]:
        wanted: list[str] = []
        if self.groups:
            wanted += _OF_GROUPS
        if self.services:
            wanted += _OF_SERVICES
        if self.deployments:
            wanted += _OF_DEPLOYMENTS
        return iam(*wanted)

    def ask(self, client: Aws, access: Access) -> Measured:
        found = [
            *self._of_groups(client, access),
            *self._of_services(client, access),
            *self._of_deployments(client, access),
        ]
        count = len(self.groups) + len(self.services) + len(self.deployments)
        return Measured(
            open=not found,
            measured="; ".join(found) or f"nothing is rolled out, of {count} looked at",
            rule="no rollout may go on",
            hint="wait until it has ended" if found else "",
        )

    def _of_groups(self, client: Aws, access: Access) -> Iterator[str]:
        for written in self.groups:
            name = group_named(client, access, written).name
            if said := refreshing(client, access, name):
                yield said

    def _of_services(self, client: Aws, access: Access) -> Iterator[str]:
        for one in self.services:
            service = service_named(client, access, one.cluster, one.service)
            if service.deploying and service.taken_by == "ECS":
                yield f"deployments of {service.name}: {', '.join(service.deployments)}"

    def _of_deployments(self, client: Aws, access: Access) -> Iterator[str]:
        for one in self.deployments:
            under_way = client.pages(
                access, "codedeploy", "list_deployments", "deployments",
                applicationName=one.application, deploymentGroupName=one.group,
                includeOnlyStatuses=_UNDER_WAY,
            )  # fmt: skip
            if under_way:
                yield f"{one.application}/{one.group} deploys {', '.join(sorted(under_way))}"
