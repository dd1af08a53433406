"""Worlds of AWS: Auto Scaling groups, and node groups that stand on them."""

from __future__ import annotations

from typing import Any

from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.contract.aws_lab import AwsLab


class GroupLab(AwsLab):
    """A group of three in two zones. moto replaces what is terminated at once."""

    def made(self) -> None:
        made = self.network()
        self.name = "shop"
        self.group(self.name, [made["a"], made["b"]], 2, 3)

    def described(self) -> dict[str, Any]:
        found: dict[str, Any] = self.service("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=[self.name]
        )["AutoScalingGroups"][0]
        return found

    def snapshot(self) -> JSON:
        now = self.described()
        return {
            "serving": len([i for i in now["Instances"] if i["LifecycleState"] == "InService"]),
            "suspended": sorted(one["ProcessName"] for one in now["SuspendedProcesses"]),
            "desired": now["DesiredCapacity"],
            "tags": sorted(tag["Key"] for tag in now["Tags"]),
        }


class GroupTerminateLab(GroupLab):
    fault = "aws.asg-terminate"
    found_by_sweep = False  # what is terminated bears no mark

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"group": self.name, "pick": "one"}}


class SuspendLab(GroupLab):
    """One of the processes was suspended before, and stays so."""

    fault = "aws.asg-suspend"

    def made(self) -> None:
        super().made()
        self.service("autoscaling").suspend_processes(
            AutoScalingGroupName=self.name, ScalingProcesses=["AZRebalance"]
        )

    def arguments(self) -> dict[str, JSON]:
        return {
            "target": {"group": self.name},
            "with": {"processes": ["Launch", "AZRebalance"]},
        }


class NodegroupThatMotoHasNoNodesForLab(GroupLab):
    """A node group whose Auto Scaling group the lab made, for moto makes none."""

    fault = "aws.eks-nodegroup-terminate"
    found_by_sweep = False  # what is terminated bears no mark

    def made(self) -> None:
        made = self.network()
        eks = self.service("eks")
        subnets = [made["a"], made["b"]]
        role = "arn:aws:iam::123456789012:role/eks"
        eks.create_cluster(name="shop", roleArn=role, resourcesVpcConfig={"subnetIds": subnets})
        nodegroup = eks.create_nodegroup(
            clusterName="shop", nodegroupName="workers", subnets=subnets, nodeRole=role
        )["nodegroup"]
        self.name = nodegroup["resources"]["autoScalingGroups"][0]["name"]
        self.group(self.name, subnets, 2, 3)

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"cluster": "shop", "nodegroup": "workers", "pick": "one"}}


LABS: list[type[Lab]] = [
    GroupTerminateLab,
    SuspendLab,
    NodegroupThatMotoHasNoNodesForLab,
]
