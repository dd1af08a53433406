"""Worlds of AWS: instances that are stopped, terminated, rebooted, or cut off."""

from __future__ import annotations

import contextlib

from chaosrun.providers.aws import ec2_stop
from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.contract.aws_lab import ACCOUNT, AwsLab


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
    """moto shows nothing that is old, so two looks need not be far apart."""

    fault = "aws.ec2-stop"

    def build(self, cleanup: contextlib.ExitStack) -> None:
        cleanup.callback(setattr, ec2_stop, "APART", ec2_stop.APART)
        ec2_stop.APART = 0.0
        super().build(cleanup)


class StopWithAScheduleThatMotoNeverFiresLab(StopLab):
    """moto keeps the schedule; that AWS acts on it is what a test of its own plays."""

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


LABS: list[type[Lab]] = [
    StopLab,
    StopWithAScheduleThatMotoNeverFiresLab,
    TerminateLab,
    IsolateLab,
    RebootThatMotoDoesNotShowLab,
]
