"""ECS services as they are now."""

from __future__ import annotations

from typing import Any

import msgspec

from chaosrun.errors import Refused
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws

_AT_ONCE = 100


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """A service: how many tasks it wants and has, and its deployments in words."""

    name: str
    status: str
    desired: int
    running: int
    pending: int
    deployments: list[str]
    failed: int
    taken_by: str
    """Who deploys: ECS, CODE_DEPLOY or EXTERNAL."""

    @property
    def deploying(self) -> bool:
        """Whether a deployment goes on, or one that failed was left as it is."""
        return len(self.deployments) != 1 or not self.deployments[0].endswith("COMPLETED")

    @property
    def whole(self) -> bool:
        """Whether it has all that it wants."""
        return self.status == "ACTIVE" and self.running >= self.desired and not self.pending

    @property
    def steady(self) -> bool:
        return self.whole and (self.taken_by != "ECS" or not self.deploying)

    def __str__(self) -> str:
        pending = f", {self.pending} are pending" if self.pending else ""
        return f"{self.running} tasks run{pending}, and {self.desired} are desired"


def service_named(client: Aws, access: Access, cluster: str, written: str) -> Service:
    """The service of that name or ARN. Raises Refused when there is none."""
    found = client.call(
        access, "ecs", "describe_services",
        cluster=access.named(cluster), services=[access.named(written)],
    )["services"]  # fmt: skip
    if not found or found[0]["status"] == "INACTIVE":
        raise Refused(f"no service {written!r} in cluster {cluster!r} in {access.region}")
    (one,) = found
    return Service(
        name=one["serviceName"],
        status=one["status"],
        desired=one["desiredCount"],
        running=one["runningCount"],
        pending=one["pendingCount"],
        deployments=[
            f"{each['status']} is {each.get('rolloutState', 'COMPLETED')}"
            for each in one.get("deployments", ())
        ],
        failed=sum(each.get("failedTasks", 0) for each in one.get("deployments", ())),
        taken_by=one.get("deploymentController", {}).get("type", "ECS"),
    )


def tasks_of(client: Aws, access: Access, cluster: str, service: str) -> list[dict[str, Any]]:
    """The tasks of a service that run or are on their way, as ECS describes them."""
    arns = client.pages(
        access, "ecs", "list_tasks", "taskArns", cluster=cluster, serviceName=service
    )
    return tasks_named(client, access, cluster, arns)


def tasks_named(client: Aws, access: Access, cluster: str, arns: list[str]) -> list[dict[str, Any]]:
    """Those of these tasks that ECS still knows, as it describes them, by their ARN."""
    found: list[dict[str, Any]] = []
    for start in range(0, len(arns), _AT_ONCE):
        found += client.call(
            access, "ecs", "describe_tasks",
            cluster=cluster, tasks=arns[start : start + _AT_ONCE], include=["TAGS"],
        )["tasks"]  # fmt: skip
    return sorted(found, key=lambda task: str(task["taskArn"]))
