"""What moto lacks of whole services: an adapter in moto's own process. Nothing of AWS is touched.

- DynamoDB keeps the maximum of a table on demand.
- FIS goes on: an experiment runs as long as its longest action, ends when it is stopped, when an
  alarm of its stop conditions rings, or by the safety lever; `aws:ec2:stop-instances` stops.
- Systems Manager reaches no instance, and says so: nobody is there to run a script.
- IAM simulates policies, by moto's own reading of them.
"""

from __future__ import annotations

import importlib
import json
import re
import time
from functools import cache
from typing import Any

_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?")
_ALL = json.dumps({"Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
_ENDED = ("completed", "stopped", "failed", "cancelled")


@cache
def fill() -> None:
    """Fill them, once in a process, before moto answers anything."""
    _tables_on_demand()
    _fis_that_goes_on()
    _safety_lever()
    _simulated_policies()
    _nobody_managed()


def _moto(module: str) -> Any:
    """A module of moto's, as one that may be added to."""
    return importlib.import_module(f"moto.{module}")


def _tables_on_demand() -> None:
    tables = _moto("dynamodb.models").Table
    handler = _moto("dynamodb.responses").DynamoHandler

    plainly, updating = tables.describe, handler.update_table

    def describe(self: Any, base_key: str = "TableDescription") -> Any:
        said = plainly(self, base_key)
        if most := getattr(self, "chaosrun_on_demand", None):
            said[base_key]["OnDemandThroughput"] = most
        return said

    def update_table(self: Any) -> Any:
        if most := self.body.get("OnDemandThroughput"):
            self.dynamodb_backend.get_table(self.body["TableName"]).chaosrun_on_demand = most
        return updating(self)

    tables.describe, handler.update_table = describe, update_table


def seconds(written: str) -> float:
    """The seconds of a duration as FIS writes it: PT1H, PT5M, PT30S."""
    found = _DURATION.fullmatch(written)
    hours, minutes, rest = found.groups(default="0") if found else ("0", "0", "0")
    return int(hours) * 3600 + int(minutes) * 60 + float(rest)


class _Going:
    """How one FIS experiment goes on."""

    def __init__(self, experiment: Any) -> None:
        self.experiment = experiment
        self.ended = ""
        self.stopped: list[str] = []
        if (experiment.experiment_options or {}).get("actionsMode") == "skip-all":
            self.end("completed", "Experiment completed, actions were skipped.")
            return
        for action in experiment.actions.values():
            if action["actionId"] == "aws:ec2:stop-instances":
                self.stopped += self._instances(action)
        if self.stopped:
            self._ec2().stop_instances(self.stopped)

    def status(self) -> str:
        if not self.ended and _lever(self.experiment).get("status") == "engaged":
            self.end("cancelled", "Experiment cancelled as the safety lever is engaged.")
        if not self.ended and self._an_alarm_rings():
            self.end("stopped", "Experiment halted by stop condition.")
        if not self.ended and time.time() - self.experiment.start_time >= self._longest():
            self.end("completed", "Experiment completed.")
        return self.ended or "running"

    def end(self, status: str, reason: str) -> None:
        if self.ended:
            return
        self.ended = status
        self.experiment.STATUS_REASONS = {**self.experiment.STATUS_REASONS, status: reason}
        if self.stopped:
            self._ec2().start_instances(self.stopped)

    def _ec2(self) -> Any:
        ec2_backends = _moto("ec2.models").ec2_backends

        return ec2_backends[self.experiment.account_id][self.experiment.region_name]

    def _instances(self, action: dict[str, Any]) -> list[str]:
        found: list[str] = []
        for name in (action.get("targets") or {}).values():
            target = self.experiment.targets[name]
            found += [arn.rpartition("/")[2] for arn in target.get("resourceArns") or ()]
        return found

    def _longest(self) -> float:
        given = [
            value
            for action in self.experiment.actions.values()
            for key, value in (action.get("parameters") or {}).items()
            if "duration" in key.lower()
        ]
        return max(map(seconds, given), default=0.0)

    def _an_alarm_rings(self) -> bool:
        cloudwatch_backends = _moto("cloudwatch.models").cloudwatch_backends

        backend = cloudwatch_backends[self.experiment.account_id][self.experiment.region_name]
        arns = {
            condition.get("value")
            for condition in self.experiment.stop_conditions
            if condition["source"] != "none"
        }
        return any(
            alarm.state_value == "ALARM" and alarm.alarm_arn in arns
            for alarm in backend.alarms.values()
        )


def _fis_that_goes_on() -> None:
    experiments = _moto("fis.models").Experiment

    beginning = experiments.__init__

    def begin(self: Any, **given: Any) -> None:
        beginning(self, **given)
        self.chaosrun_going = _Going(self)

    def status(self: Any) -> str:
        return str(self.chaosrun_going.status())

    def told(self: Any, asked: str) -> None:
        if asked == "stopping":
            self.chaosrun_going.end("stopped", "Experiment stopped by user.")

    experiments.__init__ = begin
    experiments.status = property(status, told)
    experiments.advance = lambda _: None
    experiments.TERMINAL_STATUSES = list(_ENDED)


def _lever(of: Any) -> dict[str, str]:
    """The safety lever of a backend or experiment's account and Region."""
    fis_backends = _moto("fis.models").fis_backends

    backend = fis_backends[of.account_id][of.region_name]
    if not hasattr(backend, "chaosrun_lever"):
        backend.chaosrun_lever = {"status": "disengaged", "reason": ""}
    found: dict[str, str] = backend.chaosrun_lever
    return found


def _safety_lever() -> None:
    urls = _moto("fis.urls")
    answers = _moto("fis.responses").FISResponse

    def said(self: Any) -> str:
        backend = self.fis_backend
        arn = f"arn:aws:fis:{backend.region_name}:{backend.account_id}:safety-lever/default"
        lever = {"id": "default", "arn": arn, "state": _lever(backend)}
        return json.dumps({"safetyLever": lever})

    def update_safety_lever_state(self: Any) -> str:
        _lever(self.fis_backend).update(self._get_param("state"))
        return said(self)

    answers.get_safety_lever = said
    answers.update_safety_lever_state = update_safety_lever_state
    for path in ("safetyLevers/(?P<id>[^/]+)$", "safetyLevers/(?P<id>[^/]+)/state$"):
        urls.url_paths[f"{{0}}/{path}"] = answers.dispatch


def _simulated_policies() -> None:
    result = _moto("core.responses").ActionResult
    policy_of = _moto("iam.access_control").IAMPolicy
    verdict = _moto("iam.access_control").PermissionResult
    answers = _moto("iam.responses").IamResponse

    def policies(backend: Any, arn: str) -> list[Any]:
        name = arn.rpartition("/")[2]
        if ":user/" in arn and name not in [
            one.name for one in backend.list_users("/", None, None)
        ]:
            return [_ALL]  # whoever comes with any key, as long as moto lets everybody do all
        if ":role/" in arn:
            inline = [backend.get_role_policy(name, p)[1] for p in backend.list_role_policies(name)]
            return [*inline, *backend.list_attached_role_policies(name)[0]]
        inline = [backend.get_user_policy(name, p) for p in backend.list_user_policies(name)]
        return [*inline, *backend.list_attached_user_policies(name)[0]]

    def decision(found: list[Any], action: str, resource: str) -> str:
        said = {policy_of(policy).is_action_permitted(action, resource) for policy in found}
        if verdict.DENIED in said:
            return "explicitDeny"
        return "allowed" if verdict.PERMITTED in said else "implicitDeny"

    def simulate_principal_policy(self: Any) -> Any:
        found = policies(self.backend, self._get_param("PolicySourceArn"))
        results = [
            {
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": decision(found, action, resource),
            }
            for action in self._get_param("ActionNames", [])
            for resource in self._get_param("ResourceArns", None) or ["*"]
        ]
        return result({"EvaluationResults": results, "IsTruncated": False})

    answers.simulate_principal_policy = simulate_principal_policy


def _nobody_managed() -> None:
    answers = _moto("ssm.responses").SimpleSystemManagerResponse
    result = _moto("core.responses").ActionResult
    if not hasattr(answers, "describe_instance_information"):
        answers.describe_instance_information = lambda _: result({"InstanceInformationList": []})
