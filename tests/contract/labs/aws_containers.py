"""Worlds of AWS: clusters of containers, and the tasks of their services."""

from __future__ import annotations

import json
import os

from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.contract.aws_lab import AwsLab


class ContainersLab(AwsLab):
    """A cluster on three container instances in two zones."""

    cluster = "shop"

    def made(self) -> None:
        made, ecs = self.network(), self.service("ecs")
        ecs.create_cluster(clusterName=self.cluster)
        self.hosts = [
            *self.instances(made["a"], 2, app="containers"),
            *self.instances(made["b"], 1, app="containers"),
        ]
        self.arns = [
            ecs.register_container_instance(
                cluster=self.cluster,
                instanceIdentityDocument=json.dumps({"instanceId": host}),
            )["containerInstance"]["containerInstanceArn"]
            for host in self.hosts
        ]


class DrainLab(ContainersLab):
    fault = "aws.ecs-drain"

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"cluster": self.cluster, "pick": 2}}

    def snapshot(self) -> JSON:
        ecs, ec2 = self.service("ecs"), self.service("ec2")
        found = ecs.describe_container_instances(
            cluster=self.cluster, containerInstances=self.arns
        )["containerInstances"]
        hosts = ec2.describe_instances(InstanceIds=self.hosts)["Reservations"]
        return {
            "states": {one["containerInstanceArn"]: one["status"] for one in found},
            "tags": {
                one["InstanceId"]: sorted(tag["Key"] for tag in one["Tags"])
                for each in hosts
                for one in each["Instances"]
            },
        }


class TasksThatMotoDoesNotReplaceLab(ContainersLab):
    """A service of three tasks; that another is started for one of them is the lab's doing."""

    fault = "aws.ecs-stop-task"
    found_by_sweep = False  # what is stopped is gone

    def made(self) -> None:
        super().made()
        ecs = self.service("ecs")
        container = {"name": "web", "image": "web", "memory": 64}
        ecs.register_task_definition(family="web", containerDefinitions=[container])
        os.environ["MOTO_ECS_SERVICE_RUNNING"] = "3"
        try:
            ecs.create_service(
                cluster=self.cluster, serviceName="web", desiredCount=3, taskDefinition="web"
            )
        finally:
            del os.environ["MOTO_ECS_SERVICE_RUNNING"]
        ecs.start_task(
            cluster=self.cluster, taskDefinition="web", containerInstances=self.arns,
            group="service:web",
        )  # fmt: skip

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"cluster": self.cluster, "service": "web", "pick": "one"}}

    def snapshot(self) -> JSON:
        ecs = self.service("ecs")
        arns = ecs.list_tasks(cluster=self.cluster, serviceName="web")["taskArns"]
        tasks = ecs.describe_tasks(cluster=self.cluster, tasks=arns)["tasks"]
        return {"running": len([one for one in tasks if one["lastStatus"] == "RUNNING"])}


LABS: list[type[Lab]] = [
    DrainLab,
    TasksThatMotoDoesNotReplaceLab,
]
