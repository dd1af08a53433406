"""The shop that experiments/aws speak of, made in a new world of AWS.

Law: what was made is what the experiments' parameters are called; the caller is told their values.
"""

from __future__ import annotations

import io
import json
import os
import zipfile
from typing import Any

from chaosrun.providers.aws import layer
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws

REGION = "eu-west-1"
ZONES = (f"{REGION}a", f"{REGION}b")
NAME = "shop"
_IMAGE = "ami-12c6146b"


class Shop:
    """Makes the parts of the shop; `parameters` are what its experiments must be told."""

    def __init__(self, client: Aws, access: Access) -> None:
        self._client, self._access = client, access
        self.parameters: dict[str, str] = {"zone": ZONES[0]}

    def make(self) -> None:
        subnets = self._network()
        self._instances(subnets)
        self._groups(subnets)
        self._containers(subnets)
        self._function()
        self._databases()
        self._alarm()

    def _do(self, service: str, operation: str, **arguments: Any) -> Any:
        return self._client.call(self._access, service, operation, **arguments)

    def _network(self) -> list[str]:
        """A VPC with a subnet in each zone, and a way out."""
        vpc = self._do("ec2", "create_vpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.parameters["vpc"] = vpc
        subnets = []
        for number, zone in enumerate(ZONES):
            made = self._do(
                "ec2", "create_subnet",
                VpcId=vpc, CidrBlock=f"10.0.{number}.0/24", AvailabilityZone=zone,
                TagSpecifications=_tagged("subnet", NAME),
            )  # fmt: skip
            subnets.append(made["Subnet"]["SubnetId"])
        gateway = self._do("ec2", "create_internet_gateway")["InternetGateway"]["InternetGatewayId"]
        self._do("ec2", "attach_internet_gateway", InternetGatewayId=gateway, VpcId=vpc)
        table = self._do("ec2", "create_route_table", VpcId=vpc)["RouteTable"]["RouteTableId"]
        out = "0.0.0.0/0"
        self._do(
            "ec2", "create_route",
            RouteTableId=table, DestinationCidrBlock=out, GatewayId=gateway,
        )  # fmt: skip
        self.parameters["table"] = table
        return subnets

    def _run(self, subnet: str, count: int, app: str, **more: Any) -> list[str]:
        made = self._do(
            "ec2", "run_instances",
            ImageId=_IMAGE, MinCount=count, MaxCount=count, SubnetId=subnet,
            TagSpecifications=_tagged("instance", app), **more,
        )  # fmt: skip
        return [one["InstanceId"] for one in made["Instances"]]

    def _instances(self, subnets: list[str]) -> None:
        """Servers, some behind a load balancer, a batch worker on Spot, and a disk."""
        self._run(subnets[0], 2, NAME)
        self._run(subnets[1], 1, NAME)
        self._run(subnets[1], 1, "other")
        self._run(subnets[0], 1, "batch", InstanceMarketOptions={"MarketType": "spot"})
        self._do(
            "ec2", "create_volume",
            AvailabilityZone=ZONES[0], Size=8, TagSpecifications=_tagged("volume", NAME),
        )  # fmt: skip
        arn = self._do(
            "elbv2", "create_target_group",
            Name=NAME, Protocol="HTTP", Port=80, VpcId=self.parameters["vpc"],
            TargetType="instance",
        )["TargetGroups"][0]["TargetGroupArn"]  # fmt: skip
        ids = [*self._run(subnets[0], 2, "balanced"), *self._run(subnets[1], 1, "balanced")]
        targets = [{"Id": one, "Port": 80} for one in ids]
        self._do("elbv2", "register_targets", TargetGroupArn=arn, Targets=targets)

    def _groups(self, subnets: list[str]) -> None:
        """A group that is well, one that would not heal, and one that is rolled out."""
        self._group(NAME, subnets)
        self._group("stuck", subnets)
        self._do(
            "autoscaling", "suspend_processes",
            AutoScalingGroupName="stuck", ScalingProcesses=["Launch"],
        )  # fmt: skip
        self._group("rolling", subnets)
        self._do("autoscaling", "start_instance_refresh", AutoScalingGroupName="rolling")
        self.parameters |= {"02/group": "stuck", "29/group": "rolling"}

    def _group(self, name: str, subnets: list[str]) -> None:
        template = f"{name}-template"
        self._do(
            "ec2", "create_launch_template",
            LaunchTemplateName=template,
            LaunchTemplateData={"ImageId": _IMAGE, "InstanceType": "t3.micro"},
        )  # fmt: skip
        self._do(
            "autoscaling", "create_auto_scaling_group",
            AutoScalingGroupName=name, MinSize=2, MaxSize=6, DesiredCapacity=3,
            LaunchTemplate={"LaunchTemplateName": template}, VPCZoneIdentifier=",".join(subnets),
        )  # fmt: skip

    def _containers(self, subnets: list[str]) -> None:
        """A service of three tasks on three hosts, and a node group of Kubernetes."""
        self._do("ecs", "create_cluster", clusterName=NAME)
        hosts = [*self._run(subnets[0], 2, "containers"), *self._run(subnets[1], 1, "containers")]
        arns = [
            self._do(
                "ecs", "register_container_instance",
                cluster=NAME, instanceIdentityDocument=json.dumps({"instanceId": host}),
            )["containerInstance"]["containerInstanceArn"]
            for host in hosts
        ]  # fmt: skip
        container = {"name": "web", "image": "web", "memory": 64}
        self._do("ecs", "register_task_definition", family="web", containerDefinitions=[container])
        os.environ["MOTO_ECS_SERVICE_RUNNING"] = str(len(hosts))  # moto is in this process
        self._do(
            "ecs", "create_service",
            cluster=NAME, serviceName="web", desiredCount=len(hosts), taskDefinition="web",
        )  # fmt: skip
        del os.environ["MOTO_ECS_SERVICE_RUNNING"]
        self._do(
            "ecs", "start_task",
            cluster=NAME, taskDefinition="web", containerInstances=arns, group="service:web",
        )  # fmt: skip
        role = "arn:aws:iam::123456789012:role/eks"
        self._do(
            "eks", "create_cluster",
            name=NAME, roleArn=role, resourcesVpcConfig={"subnetIds": subnets},
        )  # fmt: skip
        made = self._do(
            "eks", "create_nodegroup",
            clusterName=NAME, nodegroupName="workers", subnets=subnets, nodeRole=role,
        )["nodegroup"]  # fmt: skip
        self._group(made["resources"]["autoScalingGroups"][0]["name"], subnets)

    def _function(self) -> None:
        """A function with chaosrun's layer, fed by a queue."""
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("code.py", "def handle(event, context): return 'served'\n")
        trust = json.dumps({"Version": "2012-10-17", "Statement": []})
        role = self._do("iam", "create_role", RoleName=NAME, AssumeRolePolicyDocument=trust)
        published = self._do(
            "lambda", "publish_layer_version",
            LayerName="chaosrun", Content={"ZipFile": layer.zipped()},
        )  # fmt: skip
        self._do(
            "lambda", "create_function",
            FunctionName=NAME, Runtime="python3.12", Role=role["Role"]["Arn"],
            Handler="code.handle", Code={"ZipFile": code.getvalue()},
            Layers=[published["LayerVersionArn"]],
            Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": layer.WRAPPER}},
        )  # fmt: skip
        url = self._do("sqs", "create_queue", QueueName="orders-0")["QueueUrl"]
        told = self._do("sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=["QueueArn"])
        queue = told["Attributes"]["QueueArn"]
        self._do("lambda", "create_event_source_mapping", FunctionName=NAME, EventSourceArn=queue)

    def _databases(self) -> None:
        self._do(
            "dynamodb", "create_table",
            TableName=NAME, KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "id", "AttributeType": "S"}],
            ProvisionedThroughput={"ReadCapacityUnits": 40, "WriteCapacityUnits": 20},
        )  # fmt: skip
        self._do(
            "rds", "create_db_cluster",
            DBClusterIdentifier=NAME, Engine="aurora-mysql", MasterUsername="admin",
            MasterUserPassword="long-enough",
        )  # fmt: skip
        for name in ("one", "two", "three"):
            self._do(
                "rds", "create_db_instance",
                DBInstanceIdentifier=name, DBClusterIdentifier=NAME, Engine="aurora-mysql",
                DBInstanceClass="db.r5.large",
            )  # fmt: skip

        self._do(
            "rds", "create_db_instance",
            DBInstanceIdentifier="orders", Engine="mysql", DBInstanceClass="db.r5.large",
            MasterUsername="admin", MasterUserPassword="long-enough", AllocatedStorage=20,
            MultiAZ=True,
        )  # fmt: skip
        self._do(
            "elasticache", "create_replication_group",
            ReplicationGroupId="sessions", ReplicationGroupDescription="of users",
            AutomaticFailoverEnabled=True, ReplicasPerNodeGroup=2,
        )  # fmt: skip

    def _alarm(self) -> None:
        alarm = f"{NAME}-errors"
        self._do(
            "cloudwatch", "put_metric_alarm",
            AlarmName=alarm, Namespace="Shop", MetricName="Errors", Statistic="Sum", Period=60,
            EvaluationPeriods=1, Threshold=1, ComparisonOperator="GreaterThanThreshold",
        )  # fmt: skip
        self._do(
            "cloudwatch", "set_alarm_state",
            AlarmName=alarm, StateValue="OK", StateReason="nobody has complained",
        )  # fmt: skip


def _tagged(kind: str, app: str) -> list[dict[str, Any]]:
    return [{"ResourceType": kind, "Tags": [{"Key": "app", "Value": app}]}]
