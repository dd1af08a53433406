"""Worlds of AWS: what passes between instances, by zones, routes and load balancers."""

from __future__ import annotations

from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.contract.aws_lab import REGION, AwsLab


class ZoneLab(AwsLab):
    """Two subnets in one zone, one of them with an ACL of its own, and one in another zone.

    A group launches in both zones, and one in the first alone.
    """

    fault = "aws.az-outage"

    def made(self) -> None:
        made = self.network()
        ec2 = self.service("ec2")
        self.vpc = made["vpc"]
        second = ec2.create_subnet(
            VpcId=self.vpc, CidrBlock="10.0.9.0/24", AvailabilityZone=f"{REGION}a"
        )["Subnet"]["SubnetId"]
        acl = ec2.create_network_acl(VpcId=self.vpc)["NetworkAcl"]["NetworkAclId"]
        here = [{"Name": "association.subnet-id", "Values": [second]}]
        for one in ec2.describe_network_acls(Filters=here)["NetworkAcls"][0]["Associations"]:
            if one["SubnetId"] == second:
                ec2.replace_network_acl_association(
                    AssociationId=one["NetworkAclAssociationId"], NetworkAclId=acl
                )
        self.group("spread", [second, made["b"], made["a"]], 1, 2)
        self.group("local", [made["a"]], 1, 1)
        self.service("autoscaling").suspend_processes(
            AutoScalingGroupName="spread", ScalingProcesses=["AlarmNotification"]
        )

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"vpc": self.vpc, "zone": f"{REGION}a"}}

    def snapshot(self) -> JSON:
        here = [{"Name": "vpc-id", "Values": [self.vpc]}]
        groups = self.service("autoscaling").describe_auto_scaling_groups(
            AutoScalingGroupNames=["spread", "local"]
        )["AutoScalingGroups"]
        return {
            "acls": {
                acl["NetworkAclId"]: sorted(one["SubnetId"] for one in acl["Associations"])
                for acl in self.service("ec2").describe_network_acls(Filters=here)["NetworkAcls"]
            },
            "groups": {
                one["AutoScalingGroupName"]: [
                    one["VPCZoneIdentifier"],
                    sorted(process["ProcessName"] for process in one["SuspendedProcesses"]),
                    sorted(each["InstanceId"] for each in one["Instances"]),
                ]
                for one in groups
            },
        }


class RouteLab(AwsLab):
    """A route table with a way out."""

    fault = "aws.route-blackhole"

    def made(self) -> None:
        ec2 = self.service("ec2")
        vpc = self.network()["vpc"]
        gateway = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        ec2.attach_internet_gateway(InternetGatewayId=gateway, VpcId=vpc)
        self.table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.create_route(
            RouteTableId=self.table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway
        )

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"table": self.table, "destination": "0.0.0.0/0"}}

    def snapshot(self) -> JSON:
        (table,) = self.service("ec2").describe_route_tables(RouteTableIds=[self.table])[
            "RouteTables"
        ]
        routes = [[one["DestinationCidrBlock"], one["GatewayId"]] for one in table["Routes"]]
        return {"routes": sorted(routes), "tags": table["Tags"]}


class BalancedLab(AwsLab):
    """Three instances behind a load balancer. moto says that each is healthy, always."""

    fault = "aws.elb-deregister"

    def made(self) -> None:
        made = self.network()
        elb = self.service("elbv2")
        self.arn = elb.create_target_group(
            Name="shop", Protocol="HTTP", Port=80, VpcId=made["vpc"], TargetType="instance"
        )["TargetGroups"][0]["TargetGroupArn"]
        ids = [
            *self.instances(made["a"], 2, app="balanced"),
            *self.instances(made["b"], 1, app="balanced"),
        ]
        elb.register_targets(TargetGroupArn=self.arn, Targets=[{"Id": i, "Port": 80} for i in ids])

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"targetGroup": "shop", "pick": 2}}

    def snapshot(self) -> JSON:
        elb = self.service("elbv2")
        health = elb.describe_target_health(TargetGroupArn=self.arn)["TargetHealthDescriptions"]
        tags = elb.describe_tags(ResourceArns=[self.arn])["TagDescriptions"]
        return {
            "healthy": sorted([one["Target"]["Id"], one["Target"]["Port"]] for one in health),
            "tags": [tag["Key"] for one in tags for tag in one["Tags"]],
        }


LABS: list[type[Lab]] = [
    ZoneLab,
    RouteLab,
    BalancedLab,
]
