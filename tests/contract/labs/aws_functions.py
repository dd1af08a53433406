"""Worlds of AWS: functions, what triggers them, and our layer in them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from chaosrun.providers.aws import layer as layer_files
from chaosrun.testing import Lab
from chaosrun.units import JSON
from tests.contract.aws_lab import AwsLab


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
    ThrottleOfAFunctionThatMotoStillAnswersLab,
    ThrottleOfAReservedFunctionLab,
    TriggerLab,
]
