"""Worlds of AWS, by a server of moto's that speaks AWS' protocols over real HTTP.

The server forgets everything before each world. What a fault calls is recorded by the vendor's own
hooks: a call that is not among the fault's permissions breaks the lab.
"""

from __future__ import annotations

import contextlib
import functools
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from chaosrun.lab.aws import gaps
from chaosrun.providers.aws import layer as layer_files
from chaosrun.providers.aws import marks
from chaosrun.testing import BrokenPromise, Lab
from chaosrun.units import JSON

ACCOUNT = "123456789012"
REGION = "eu-west-1"
_PREFIXES = {"monitoring": "cloudwatch", "tagging": "tag"}


@functools.cache
def endpoint() -> str:
    """A server of moto's in this process, for as long as it lives, with its gaps filled."""
    from moto.server import ThreadedMotoServer

    gaps.fill()

    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    return f"http://{host}:{port}"


def enter(cleanup: contextlib.ExitStack) -> None:
    """Point this process, and those that it starts, at the server, which forgets what it had."""
    forget = urllib.request.Request(f"{endpoint()}/moto-api/reset", method="POST")
    with urllib.request.urlopen(forget, timeout=10):
        pass
    settings = {
        "AWS_ENDPOINT_URL": endpoint(),
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    for name, value in settings.items():
        before = os.environ.get(name)
        os.environ[name] = value
        if before is None:
            cleanup.callback(os.environ.pop, name, None)
        else:
            cleanup.callback(os.environ.__setitem__, name, before)


@functools.cache
def _outside(name: str) -> Any:
    import boto3

    return boto3.client(
        name,
        region_name=REGION,
        endpoint_url=endpoint(),
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )


def _in_a_sweep() -> bool:
    """A sweep is nobody's fault: what it calls is no fault's to declare."""
    frame = sys._getframe()
    while frame is not None and frame.f_code is not marks.find.__code__:
        frame = frame.f_back  # type: ignore[assignment]
    return frame is not None


class AwsLab(Lab):
    """A world in one Region, whose `made` makes it."""

    settles = 2.0

    def build(self, cleanup: contextlib.ExitStack) -> None:
        enter(cleanup)
        self.calls: set[str] = set()
        self.made()

    def service(self, name: str) -> Any:
        """A client of our own, to make the world and to look at it."""
        return _outside(name)

    def made(self) -> None:
        """Make the world."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        super().__enter__()
        self.client.observers.append(self._called)
        return self

    def _called(self, service: str, name: str) -> None:
        if not _in_a_sweep():
            self.calls.add(f"{_PREFIXES.get(service, service)}:{name}")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        declared = {permission.action for permission in self.kind().permissions}
        if kind is None and (undeclared := self.calls - declared):
            raise BrokenPromise(f"{self.fault} calls what it does not declare: {undeclared}")

    def network(self, zones: str = "ab") -> dict[str, str]:
        """A VPC with a subnet in each zone; `vpc`, and a subnet's id by its zone."""
        ec2 = self.service("ec2")
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        made = {"vpc": vpc}
        for number, zone in enumerate(zones):
            made[zone] = ec2.create_subnet(
                VpcId=vpc,
                CidrBlock=f"10.0.{number}.0/24",
                AvailabilityZone=f"{REGION}{zone}",
            )["Subnet"]["SubnetId"]
        return made

    def instances(self, subnet: str, count: int, **tags: str) -> list[str]:
        """Running instances with these tags."""
        spec = {
            "ResourceType": "instance",
            "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
        }
        made = self.service("ec2").run_instances(
            ImageId="ami-12c6146b",
            MinCount=count,
            MaxCount=count,
            SubnetId=subnet,
            TagSpecifications=[spec],
        )
        return [one["InstanceId"] for one in made["Instances"]]

    def group(self, name: str, subnets: list[str], least: int, desired: int) -> None:
        """An Auto Scaling group."""
        self.service("ec2").create_launch_template(
            LaunchTemplateName=f"{name}-template",
            LaunchTemplateData={"ImageId": "ami-12c6146b", "InstanceType": "t3.micro"},
        )
        self.service("autoscaling").create_auto_scaling_group(
            AutoScalingGroupName=name,
            MinSize=least,
            MaxSize=2 * desired,
            DesiredCapacity=desired,
            LaunchTemplate={"LaunchTemplateName": f"{name}-template"},
            VPCZoneIdentifier=",".join(subnets),
        )


class InstancesLab(AwsLab):
    """Three instances of an application, and one that is not of it."""

    pick: JSON = 2

    def made(self) -> None:
        made = self.network()
        self.app = "shop"
        self.instances(made["a"], 2, app=self.app)
        self.instances(made["b"], 1, app=self.app)
        self.instances(made["b"], 1, app="other")
        self.vpc = made["vpc"]

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"tags": {"app": self.app}, "vpc": self.vpc, "pick": self.pick}}

    def snapshot(self) -> JSON:
        ec2 = self.service("ec2")
        here = [{"Name": "vpc-id", "Values": [self.vpc]}]
        found = ec2.describe_instances(Filters=here)["Reservations"]
        return {
            "instances": {
                one["InstanceId"]: [
                    one["State"]["Name"],
                    sorted(tag["Key"] for tag in one["Tags"]),
                    [
                        [nic["NetworkInterfaceId"], sorted(g["GroupId"] for g in nic["Groups"])]
                        for nic in one["NetworkInterfaces"]
                    ],
                ]
                for reservation in found
                for one in reservation["Instances"]
            },
            "groups": sorted(
                group["GroupId"]
                for group in ec2.describe_security_groups(Filters=here)["SecurityGroups"]
            ),
        }


class StopLab(InstancesLab):
    fault = "aws.ec2-stop"


class StopWithAScheduleThatMotoNeverFiresLab(InstancesLab):
    """moto keeps the schedule; that AWS acts on it is what a test of its own plays."""

    fault = "aws.ec2-stop"
    only_said = True

    def arguments(self) -> dict[str, JSON]:
        role = f"arn:aws:iam::{ACCOUNT}:role/restart"
        return {**super().arguments(), "with": {"restartRole": role}}

    def snapshot(self) -> JSON:
        schedules = self.service("scheduler").list_schedules()["Schedules"]
        return {"schedules": [one["Name"] for one in schedules], "all": super().snapshot()}


class TerminateLab(InstancesLab):
    fault = "aws.ec2-terminate"
    found_by_sweep = False  # what is gone for good bears no mark


class RebootThatMotoDoesNotShowLab(InstancesLab):
    """moto posts a console at each look; the lab has it as AWS does, at each boot."""

    fault = "aws.ec2-reboot"
    found_by_sweep = False  # it heals by itself, so nothing is left to find


class IsolateLab(InstancesLab):
    """moto lets a security group be deleted while it is used; the snapshot sees which is used."""

    fault = "aws.ec2-isolate"


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


class ThrottleOfAFunctionThatMotoStillAnswersLab(AwsLab):
    """A function without reserved concurrency. moto keeps the number, and does not act on it."""

    fault = "aws.lambda-throttle"
    before: int | None = None

    def made(self) -> None:
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("code.py", "def handle(event, context): pass")
        trust = {"Version": "2012-10-17", "Statement": []}
        role = self.service("iam").create_role(
            RoleName="shop", AssumeRolePolicyDocument=json.dumps(trust)
        )["Role"]["Arn"]
        self.arn = self.service("lambda").create_function(
            FunctionName="shop",
            Runtime="python3.12",
            Role=role,
            Handler="code.handle",
            Code={"ZipFile": code.getvalue()},
        )["FunctionArn"]
        if self.before is not None:
            self.service("lambda").put_function_concurrency(
                FunctionName="shop", ReservedConcurrentExecutions=self.before
            )

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"function": "shop"}}

    def snapshot(self) -> JSON:
        reserved = self.service("lambda").get_function_concurrency(FunctionName="shop")
        return {
            "reserved": reserved.get("ReservedConcurrentExecutions"),
            "tags": self.service("lambda").list_tags(Resource=self.arn)["Tags"],
        }


class ThrottleOfAReservedFunctionLab(ThrottleOfAFunctionThatMotoStillAnswersLab):
    """A function that had a number of its own."""

    before = 7


class TriggerLab(ThrottleOfAFunctionThatMotoStillAnswersLab):
    """A function that two queues feed, and a third one that is disabled and stays so."""

    fault = "aws.lambda-disable-trigger"

    def made(self) -> None:
        super().made()
        for number in range(3):
            url = self.service("sqs").create_queue(QueueName=f"orders-{number}")["QueueUrl"]
            arn = self.service("sqs").get_queue_attributes(
                QueueUrl=url, AttributeNames=["QueueArn"]
            )["Attributes"]["QueueArn"]
            self.service("lambda").create_event_source_mapping(
                EventSourceArn=arn, FunctionName="shop", Enabled=number < 2
            )

    def snapshot(self) -> JSON:
        found = self.service("lambda").list_event_source_mappings(FunctionName="shop")
        states = {one["UUID"]: one["State"] for one in found["EventSourceMappings"]}
        return {
            "states": states,
            "tags": self.service("lambda").list_tags(Resource=self.arn)["Tags"],
        }


class FailoverLab(AwsLab):
    """A cluster of a writer and two readers."""

    fault = "aws.rds-failover"
    found_by_sweep = False  # it heals by the failover itself, so nothing is left to find

    def made(self) -> None:
        rds = self.service("rds")
        rds.create_db_cluster(
            DBClusterIdentifier="shop",
            Engine="aurora-mysql",
            MasterUsername="root",
            MasterUserPassword="long-enough",
        )
        for name in ("one", "two", "three"):
            rds.create_db_instance(
                DBInstanceIdentifier=name,
                DBClusterIdentifier="shop",
                Engine="aurora-mysql",
                DBInstanceClass="db.r5.large",
            )

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"cluster": "shop"}}

    def snapshot(self) -> JSON:
        (now,) = self.service("rds").describe_db_clusters(DBClusterIdentifier="shop")["DBClusters"]
        writers = [one for one in now["DBClusterMembers"] if one["IsClusterWriter"]]
        return {"status": now["Status"], "of": len(now["DBClusterMembers"]), "w": len(writers)}


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


class RebootOfADatabaseThatMotoIgnoresLab(AwsLab):
    """A database with a standby. That a reboot is an event, and moves it, is the lab's doing."""

    fault = "aws.rds-reboot"
    found_by_sweep = False  # it heals by itself, so nothing is left to find
    failover = False

    def made(self) -> None:
        self.service("rds").create_db_instance(
            DBInstanceIdentifier="orders",
            Engine="mysql",
            DBInstanceClass="db.r5.large",
            MasterUsername="root",
            MasterUserPassword="long-enough",
            AllocatedStorage=20,
            MultiAZ=True,
        )

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"instance": "orders"}, "with": {"failover": self.failover}}

    def snapshot(self) -> JSON:
        rds = self.service("rds")
        (now,) = rds.describe_db_instances(DBInstanceIdentifier="orders")["DBInstances"]
        return {"status": now["DBInstanceStatus"]}


class FailoverOfADatabaseThatMotoIgnoresLab(RebootOfADatabaseThatMotoIgnoresLab):
    failover = True


class CacheFailoverThatMotoLacksLab(AwsLab):
    """Two replicas for a primary, of which the lab makes one the primary."""

    fault = "aws.elasticache-failover"
    found_by_sweep = False  # it heals by itself, so nothing is left to find
    more: dict[str, Any] = {"ReplicasPerNodeGroup": 2}

    def made(self) -> None:
        self.service("elasticache").create_replication_group(
            ReplicationGroupId="sessions",
            ReplicationGroupDescription="of users",
            AutomaticFailoverEnabled=True,
            **self.more,
        )

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"replicationGroup": "sessions", "pick": "one"}}

    def snapshot(self) -> JSON:
        (now,) = self.service("elasticache").describe_replication_groups(
            ReplicationGroupId="sessions"
        )["ReplicationGroups"]
        shards = {one["NodeGroupId"]: len(one["NodeGroupMembers"]) for one in now["NodeGroups"]}
        return {"status": now["Status"], "shards": shards}


class CacheFailoverInClusterModeLab(CacheFailoverThatMotoLacksLab):
    """Three shards that do not tell who is their primary."""

    more = {"ClusterMode": "enabled", "NumNodeGroups": 3, "ReplicasPerNodeGroup": 1}


class ProvisionedTableLab(AwsLab):
    """A table with capacity units. moto keeps the number, and does not throttle."""

    fault = "aws.dynamodb-throttle"
    mode: dict[str, Any] = {
        "BillingMode": "PROVISIONED",
        "ProvisionedThroughput": {"ReadCapacityUnits": 40, "WriteCapacityUnits": 20},
    }

    def made(self) -> None:
        self.arn = self.service("dynamodb").create_table(
            TableName="shop",
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            **self.mode,
        )["TableDescription"]["TableArn"]

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"table": "shop"}, "with": {"read": 2, "write": 30}}

    def snapshot(self) -> JSON:
        table = self.service("dynamodb").describe_table(TableName="shop")["Table"]
        given = table["ProvisionedThroughput"]
        most = table.get("OnDemandThroughput", {})
        tags = self.service("dynamodb").list_tags_of_resource(ResourceArn=self.arn)["Tags"]
        return {
            "provisioned": [given["ReadCapacityUnits"], given["WriteCapacityUnits"]],
            "most": [most.get(f"Max{way}RequestUnits", -1) for way in ("Read", "Write")],
            "tags": {tag["Key"]: tag["Value"] for tag in tags},  # moto keeps one twice
        }


class TableOnDemandOfAnAdapterLab(ProvisionedTableLab):
    """A table without a maximum. Moto does not keep one: our adapter in it does."""

    mode = {"BillingMode": "PAY_PER_REQUEST"}


class FisOfAnAdapterLab(InstancesLab):
    """A template that stops one of three. Moto runs nothing: our adapter in it stops and starts."""

    fault = "aws.fis"
    action = "aws:ec2:stop-instances"
    parameters: dict[str, str] = {"startInstancesAfterDuration": "PT10M"}

    def made(self) -> None:
        super().made()
        one = {
            "resourceType": "aws:ec2:instance",
            "resourceTags": {"app": self.app},
            "filters": [{"path": "State.Name", "values": ["running"]}],
            "selectionMode": "COUNT(2)",
        }
        self.template = {
            "description": "two of the shop",
            "targets": {"shop": one},
            "actions": {
                "stop": {
                    "actionId": self.action,
                    "parameters": self.parameters,
                    "targets": {"Instances": "shop"},
                }
            },
            "stopConditions": [{"source": "none"}],
            "roleArn": f"arn:aws:iam::{ACCOUNT}:role/fis",
        }
        made = self.service("fis").create_experiment_template(**self.template)
        self.id = made["experimentTemplate"]["id"]

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"template": self.id}}

    def snapshot(self) -> JSON:
        fis = self.service("fis")
        return {
            **super().snapshot(),
            "templates": len(fis.list_experiment_templates()["experimentTemplates"]),
            "running": [
                one["state"]["status"]
                for one in fis.list_experiments()["experiments"]
                if one["state"]["status"] == "running"
            ],
        }


class FisInlineOfAnAdapterLab(FisOfAnAdapterLab):
    """The same, given inline: the default run looks only whether it takes effect."""

    slow = (
        "a_failure_at_any_call_can_be_reverted",
        "a_sweep_finds_it",
        "another_process_can_revert",
        "injecting_twice_is_once",
        "it_ends_though_the_runner_is_killed",
        "reverting_twice_is_once",
    )

    def arguments(self) -> dict[str, JSON]:
        return {"with": {"inline": self.template}}


class FisIrreversibleOfAnAdapterLab(FisOfAnAdapterLab):
    """A template that terminates. Moto runs nothing, nor does our adapter, but FIS' states are."""

    fault = "aws.fis-irreversible"
    action = "aws:ec2:terminate-instances"
    parameters: dict[str, str] = {}


BOOTSTRAP = """
import importlib, json, os, sys
module, _, name = os.environ["_HANDLER"].rpartition(".")
try:
    print(json.dumps(getattr(importlib.import_module(module), name)({"n": 7}, None)))
except Exception as error:
    print(type(error).__name__, error)
"""
"""What Lambda's own does, in short."""


def invoked(task: Path, environment: dict[str, str]) -> str:
    """What a function answers, started as Lambda starts it with our layer in /opt."""
    layer = Path(layer_files.__file__).parent
    done = subprocess.run(
        [str(layer / "chaosrun-wrapper"), sys.executable, "-c", BOOTSTRAP],
        env={
            "PATH": os.environ["PATH"], "_HANDLER": "code.handle", **environment,
            "PYTHONPATH": f"{layer / 'python'}:{task}",
        },
        capture_output=True, text=True, timeout=20,
    )  # fmt: skip
    return (done.stdout or done.stderr[-500:]).strip()


class InjectOfAFunctionThatIsStartedHereLab(ThrottleOfAFunctionThatMotoStillAnswersLab):
    """A function with our layer. Moto keeps its environment; it is started here, as by Lambda."""

    fault = "aws.lambda-inject"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        self.task = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        (self.task / "code.py").write_text("def handle(event, context): return event['n'] * 6")
        super().build(cleanup)

    def made(self) -> None:
        super().made()
        lambda_ = self.service("lambda")
        published = lambda_.publish_layer_version(
            LayerName="chaosrun", Content={"ZipFile": layer_files.zipped()}
        )
        lambda_.update_function_configuration(
            FunctionName="shop", Layers=[published["LayerVersionArn"]],
            Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": layer_files.WRAPPER, "A": "1"}},
        )  # fmt: skip

    def arguments(self) -> dict[str, JSON]:
        return {"target": {"function": "shop"}, "with": {"error": "as was asked"}}

    def variables(self) -> dict[str, str]:
        found = self.service("lambda").get_function_configuration(FunctionName="shop")
        variables: dict[str, str] = found["Environment"]["Variables"]
        return variables

    def snapshot(self) -> JSON:
        """What it answers. Past its deadline the switch may be there, and switches nothing."""
        variables = self.variables()
        answer = invoked(self.task, variables)
        return {"answer": answer, "others": {**variables, layer_files.SWITCH: ""}}


LABS: list[type[Lab]] = [
    InjectOfAFunctionThatIsStartedHereLab,
    FisOfAnAdapterLab,
    FisInlineOfAnAdapterLab,
    FisIrreversibleOfAnAdapterLab,
    ProvisionedTableLab,
    TableOnDemandOfAnAdapterLab,
    StopLab,
    StopWithAScheduleThatMotoNeverFiresLab,
    TerminateLab,
    IsolateLab,
    GroupTerminateLab,
    SuspendLab,
    ZoneLab,
    RouteLab,
    BalancedLab,
    ThrottleOfAFunctionThatMotoStillAnswersLab,
    ThrottleOfAReservedFunctionLab,
    TriggerLab,
    FailoverLab,
    RebootThatMotoDoesNotShowLab,
    NodegroupThatMotoHasNoNodesForLab,
    DrainLab,
    TasksThatMotoDoesNotReplaceLab,
    RebootOfADatabaseThatMotoIgnoresLab,
    CacheFailoverThatMotoLacksLab,
]
