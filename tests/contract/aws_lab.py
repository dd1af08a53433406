"""What all worlds of AWS have in common: a server of moto's, which speaks AWS' protocols over HTTP.

The server forgets everything before each world. Law: what a fault calls is recorded by the vendor's
own hooks, and a call that is not among the fault's permissions breaks the lab.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import urllib.request
from types import TracebackType
from typing import Any, Self

from chaosrun.lab.aws import gaps
from chaosrun.providers.aws import marks
from chaosrun.testing import BrokenPromise, Lab
from tests.contract.sweeps import in_a_sweep

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


class AwsLab(Lab):
    """A world in one Region, whose `made` makes it."""

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
        if not in_a_sweep(marks.find):
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
