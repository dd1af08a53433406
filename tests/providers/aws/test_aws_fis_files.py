"""Templates of FIS become experiments and templates again; what does not map is said."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from chaosrun.codec import from_plain, to_json
from chaosrun.loading import load_file
from chaosrun.providers.aws.fis_export import template_of
from chaosrun.providers.aws.fis_import import experiment_of
from chaosrun.providers.aws.fis_template import Action, Template
from chaosrun.spec import Experiment

ACCOUNT = "123456789012"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/fis"
ALARM = f"arn:aws:cloudwatch:eu-west-1:{ACCOUNT}:alarm:shop-errors"
IDS = [
    "aws:fis:inject-api-internal-error",
    "aws:fis:inject-api-throttle-error",
    "aws:fis:wait",
    "aws:fis:inject-api-unavailable-error",
    "aws:arc:start-zonal-autoshift",
    "aws:cloudwatch:assert-alarm-state",
    "aws:ec2:stop-instances",
    "aws:ec2:reboot-instances",
    "aws:ec2:terminate-instances",
    "aws:ec2:send-spot-instance-interruptions",
    "aws:ec2:api-insufficient-instance-capacity-error",
    "aws:ec2:asg-insufficient-instance-capacity-error",
    "aws:ebs:pause-volume-io",
    "aws:ebs:volume-io-latency",
    "aws:ecs:drain-container-instances",
    "aws:ecs:stop-task",
    "aws:ecs:task-cpu-stress",
    "aws:ecs:task-io-stress",
    "aws:ecs:task-kill-process",
    "aws:ecs:task-network-blackhole-port",
    "aws:ecs:task-network-latency",
    "aws:ecs:task-network-packet-loss",
    "aws:eks:inject-kubernetes-custom-resource",
    "aws:eks:terminate-nodegroup-instances",
    "aws:eks:pod-cpu-stress",
    "aws:eks:pod-memory-stress",
    "aws:eks:pod-io-stress",
    "aws:eks:pod-delete",
    "aws:eks:pod-network-blackhole-port",
    "aws:eks:pod-network-latency",
    "aws:eks:pod-network-packet-loss",
    "aws:elasticache:replicationgroup-interrupt-az-power",
    "aws:lambda:invocation-add-delay",
    "aws:lambda:invocation-error",
    "aws:lambda:invocation-http-integration-response",
    "aws:network:disrupt-connectivity",
    "aws:network:disrupt-vpc-endpoint",
    "aws:network:route-table-disrupt-cross-region-connectivity",
    "aws:network:transit-gateway-disrupt-cross-region-connectivity",
    "aws:rds:failover-db-cluster",
    "aws:rds:reboot-db-instances",
    "aws:dynamodb:global-table-pause-replication",
    "aws:s3:bucket-pause-replication",
    "aws:ssm:send-command",
    "aws:ssm:start-automation-execution",
    "aws:of-the:future",
]

NOT_KNOWN_TO_BE_UNDONE = {
    "aws:ec2:stop-instances",  # without startInstancesAfterDuration
    "aws:ec2:reboot-instances",
    "aws:ec2:terminate-instances",
    "aws:ec2:send-spot-instance-interruptions",
    "aws:ecs:drain-container-instances",
    "aws:ecs:stop-task",
    "aws:ecs:task-kill-process",
    "aws:eks:inject-kubernetes-custom-resource",
    "aws:eks:terminate-nodegroup-instances",
    "aws:eks:pod-delete",
    "aws:elasticache:replicationgroup-interrupt-az-power",
    "aws:rds:failover-db-cluster",
    "aws:rds:reboot-db-instances",
    "aws:ssm:send-command",  # but for documents of AWS
    "aws:ssm:start-automation-execution",
    "aws:of-the:future",
}


def template(**more: Any) -> dict[str, Any]:
    return {
        "description": "the shop",
        "targets": {
            "web": {
                "resourceType": "aws:ec2:instance",
                "resourceTags": {"app": "shop"},
                "filters": [{"path": "State.Name", "values": ["running"]}],
                "selectionMode": "PERCENT(50)",
            }
        },
        "actions": {
            "act": {
                "actionId": "aws:ec2:stop-instances",
                "parameters": {"startInstancesAfterDuration": "PT5M"},
                "targets": {"Instances": "web"},
            }
        },
        "stopConditions": [{"source": "aws:cloudwatch:alarm", "value": ALARM}],
        "roleArn": ROLE,
        **more,
    }


def imported(written: dict[str, Any], tmp_path: Path) -> tuple[Experiment, dict[str, str]]:
    """The experiment, as a file that is read and found valid; and the notes."""
    document, notes = experiment_of(from_plain(written, Template), "from-fis")
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(document, sort_keys=False))
    loaded = load_file(file, sets={} if written.get("stopConditions") else {"alarm": "a"})
    return loaded.experiment, {note.where: note.said for note in notes}


@pytest.mark.parametrize("action", IDS)
def test_every_published_action_survives_the_way_there_and_back(
    action: str, tmp_path: Path
) -> None:
    target = {
        "resourceType": "aws:some:thing",
        "resourceTags": {"app": "shop"},
        "selectionMode": "COUNT(2)",
    }
    one = {"actionId": action, "parameters": {"duration": "PT5M"}, "targets": {"Things": "them"}}
    written = template(targets={"them": target}, actions={"act": one})
    experiment, notes = imported(written, tmp_path)
    (step,) = experiment.spec.method
    never = action in NOT_KNOWN_TO_BE_UNDONE
    assert step.fault == ("aws.fis-irreversible" if never else "aws.fis")
    assert str(step.hold) == "5m"
    assert notes["actions.act"].startswith(f"{action} is run by FIS, as {step.fault}")
    back, _ = template_of(experiment)
    assert json.loads(to_json(back)) == written


@pytest.mark.parametrize(
    ("document", "undone"),
    [
        ("arn:aws:ssm:eu-west-1::document/AWSFIS-Run-Kill-Process", True),
        ("arn:aws-cn:ssm:cn-north-1::document/AWSFIS-Run-Network-Latency", True),
        (f"arn:aws:ssm:eu-west-1:{ACCOUNT}:document/AWSFIS-Run-Network-Latency", False),
        ("arn:aws:ssm:eu-west-1::document/AWS-RunShellScript", False),
        (f"arn:aws:ssm:eu-west-1:{ACCOUNT}:document/my-AWSFIS-Run-x", False),
        ("", False),
    ],
)
def test_a_command_is_undone_by_documents_of_aws_alone(document: str, undone: bool) -> None:
    one = Action(action_id="aws:ssm:send-command", parameters={"documentArn": document})
    assert one.is_undone is undone


def test_what_chaosrun_does_itself_survives_too(tmp_path: Path) -> None:
    stress = {
        "actionId": "aws:ssm:send-command",
        "parameters": {
            "duration": "PT2M",
            "documentArn": "arn:aws:ssm:eu-west-1::document/AWSFIS-Run-CPU-Stress",
            "documentParameters": json.dumps(
                {"DurationSeconds": "120", "CPU": "2", "InstallDependencies": "True"}
            ),
        },
        "targets": {"Instances": "busy"},
        "startAfter": ["stop"],
    }
    cluster = f"arn:aws:rds:eu-west-1:{ACCOUNT}:cluster:orders"
    failover = {"actionId": "aws:rds:failover-db-cluster", "targets": {"Clusters": "failover"}}
    web = template()["targets"]["web"]
    stop = {**template()["actions"]["act"], "targets": {"Instances": "stop"}}
    end = {"actionId": "aws:ec2:terminate-instances", "targets": {"Instances": "end"},
           "startAfter": ["stop", "busy"]}  # fmt: skip
    database = {
        "resourceType": "aws:rds:cluster",
        "resourceArns": [cluster],
        "selectionMode": "ALL",
    }
    zone = {
        **web,
        "filters": [
            {"path": "Placement.AvailabilityZone", "values": ["eu-west-1a"]},
            *web["filters"],
        ],
    }
    written = template(
        targets={"stop": zone, "busy": web, "end": web, "failover": database},
        actions={"stop": stop, "busy": stress, "end": end, "failover": failover},
    )
    experiment, notes = imported(written, tmp_path)
    faults = {step.name: step.fault for step in experiment.spec.method}
    assert faults == {
        "stop": "aws.ec2-stop", "busy": "aws.ssm-stress", "end": "aws.ec2-terminate",
        "failover": "aws.rds-failover",
    }  # fmt: skip
    assert experiment.spec.accept_irreversible == ("aws.ec2-terminate",)
    assert "aws.ec2-stop, by chaosrun itself" in notes["actions.stop"]
    back, _ = template_of(experiment, ROLE)
    assert json.loads(to_json(back)) == written


def test_an_alarm_is_the_steady_state_and_ends_the_run(tmp_path: Path) -> None:
    experiment, _ = imported(template(), tmp_path)
    (check,), (guard,) = experiment.spec.steady_state, experiment.spec.abort_when
    assert check.with_ == {"alarm": "shop-errors", "region": "eu-west-1", "account": ACCOUNT}
    assert (check.expect, guard.when) == ('state != "ALARM"', 'state == "ALARM"')


def test_what_has_no_place_in_an_experiment_is_said(tmp_path: Path) -> None:
    busy = {**template()["actions"]["act"], "actionId": "aws:ssm:start-automation-execution"}
    written = template(
        stopConditions=[],
        actions={"act": template()["actions"]["act"], "busy": busy},
        logConfiguration={"logSchemaVersion": 2},
        experimentReportConfiguration={"preExperimentDuration": "PT5M"},
        experimentOptions={
            "accountTargeting": "multi-account", "emptyTargetResolutionMode": "skip"
        },
    )  # fmt: skip
    _, notes = imported(written, tmp_path)
    assert set(notes) >= {
        "stopConditions", "targets.web", "limits", "logConfiguration",
        "experimentReportConfiguration", "experimentOptions.accountTargeting",
        "experimentOptions.emptyTargetResolutionMode",
    }  # fmt: skip
    assert "picks once for act and busy" in notes["targets.web"]


def test_what_fis_has_no_words_for_is_said(tmp_path: Path) -> None:
    experiment = load_file(Path("experiments/aws/10-survives-a-throttled-function.yaml"))
    made, notes = template_of(experiment.experiment)
    said = {note.where: note.said for note in notes}
    assert made is None
    assert "no action for aws.lambda-throttle" in said["method.throttle the function"]
    assert "does not look at a steady state" in said["steadyState.users are served"]
    assert "limits" in said


def chaosrun(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chaosrun", *words], capture_output=True, text=True, timeout=60
    )


def test_the_commands_write_and_say(tmp_path: Path) -> None:
    file, experiment = tmp_path / "template.json", tmp_path / "experiment.yaml"
    answer = {"experimentTemplate": {"id": "EXT1", "tags": {"Name": "x"}, **template()}}
    file.write_text(json.dumps(answer))
    there = chaosrun("import", "fis", str(file))
    assert there.returncode == 0
    assert "tags: left out" in there.stderr
    assert "id:" not in there.stderr
    experiment.write_text(there.stdout)
    assert chaosrun("validate", str(experiment)).returncode == 0
    back = chaosrun("export", "fis", str(experiment))
    assert back.returncode == 2
    assert "give --role ARN" in back.stderr
    back = chaosrun("export", "fis", str(experiment), "--role", ROLE)
    assert json.loads(back.stdout)["actions"]["act"]["actionId"] == "aws:ec2:stop-instances"
    assert "steadyState.shop-errors is quiet: left out" in back.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [("not json", "is not a template of FIS"), ("[]", "is not a template of FIS"),
     ("{}", "missing required field"), (None, "cannot read")],
)  # fmt: skip
def test_a_file_that_is_no_template_is_refused(tmp_path: Path, text: str | None, said: str) -> None:
    if text is not None:
        (tmp_path / "x.json").write_text(text)
    done = chaosrun("import", "fis", str(tmp_path / "x.json"))
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr
