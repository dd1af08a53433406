"""Worlds of AWS: experiments of its own Fault Injection Service."""

from __future__ import annotations

from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.contract.aws_lab import ACCOUNT
from tests.contract.labs.aws_instances import InstancesLab


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


LABS: list[type[Lab]] = [
    FisOfAnAdapterLab,
    FisInlineOfAnAdapterLab,
    FisIrreversibleOfAnAdapterLab,
]
