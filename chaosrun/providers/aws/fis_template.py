"""An experiment template of AWS' Fault Injection Service, as its own JSON has it.

Law: what is read is written again unchanged, but for what is said here. An action that is not known
to be undone is not undone. Pure.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from chaosrun.codec import to_plain
from chaosrun.units import JSON

UNDONE = frozenset({
    "aws:arc:start-zonal-autoshift",
    "aws:cloudwatch:assert-alarm-state",
    "aws:dynamodb:global-table-pause-replication",
    "aws:ebs:pause-volume-io",
    "aws:ebs:volume-io-latency",
    "aws:ec2:api-insufficient-instance-capacity-error",
    "aws:ec2:asg-insufficient-instance-capacity-error",
    "aws:ecs:task-cpu-stress",
    "aws:ecs:task-io-stress",
    "aws:ecs:task-network-blackhole-port",
    "aws:ecs:task-network-latency",
    "aws:ecs:task-network-packet-loss",
    "aws:eks:pod-cpu-stress",
    "aws:eks:pod-io-stress",
    "aws:eks:pod-memory-stress",
    "aws:eks:pod-network-blackhole-port",
    "aws:eks:pod-network-latency",
    "aws:eks:pod-network-packet-loss",
    "aws:fis:inject-api-internal-error",
    "aws:fis:inject-api-throttle-error",
    "aws:fis:inject-api-unavailable-error",
    "aws:fis:wait",
    "aws:lambda:invocation-add-delay",
    "aws:lambda:invocation-error",
    "aws:lambda:invocation-http-integration-response",
    "aws:network:disrupt-connectivity",
    "aws:network:disrupt-vpc-endpoint",
    "aws:network:route-table-disrupt-cross-region-connectivity",
    "aws:network:transit-gateway-disrupt-cross-region-connectivity",
    "aws:s3:bucket-pause-replication",
})  # fmt: skip
"""What FIS is known to undo, at the action's end and when it is stopped. Unknown means not undone:
also of a custom resource, whose controller does what it does, and of what leaves a failover."""
HARMLESS = ("aws:cloudwatch:assert-alarm-state", "aws:fis:wait")
"""What does nothing to anything."""
SEND = "aws:ssm:send-command"
STOP, RESTART_AFTER = "aws:ec2:stop-instances", "startInstancesAfterDuration"
_LASTING = ("duration", RESTART_AFTER)
_BY_AWS = re.compile(r"arn:[\w-]+:ssm:[\w-]*::document/AWSFIS-Run-[\w-]+")
"""Documents of AWS' own for FIS, which undo what they do: they are in no customer's account."""
_DURATION = re.compile(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?")


class _Part(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True,
    omit_defaults=True, rename="camel",
):  # fmt: skip
    """A part of a template."""


class Filter(_Part, frozen=True, kw_only=True):
    """Only resources that have one of these values at this path."""

    path: str
    values: tuple[str, ...]


class FisTarget(_Part, frozen=True, kw_only=True):
    """What actions act on."""

    resource_type: Annotated[str, Meta(examples=["aws:ec2:instance"])]
    resource_arns: tuple[str, ...] = ()
    resource_tags: dict[str, str] = {}
    filters: tuple[Filter, ...] = ()
    selection_mode: Annotated[str, Meta(pattern=r"^(ALL|COUNT\([0-9]+\)|PERCENT\([0-9.]+\))$")]
    parameters: dict[str, str] = {}


class Action(_Part, frozen=True, kw_only=True):
    """One action; without `startAfter` it starts at once."""

    action_id: Annotated[str, Meta(examples=["aws:ebs:pause-volume-io"])]
    description: str = ""
    parameters: dict[str, str] = {}
    targets: dict[str, str] = {}
    start_after: tuple[str, ...] = ()

    @property
    def is_undone(self) -> bool:
        """Whether FIS is known to undo it at its end or when it is stopped."""
        if self.action_id == STOP:
            return RESTART_AFTER in self.parameters
        if self.action_id == SEND:
            return _BY_AWS.fullmatch(self.parameters.get("documentArn", "")) is not None
        return self.action_id in UNDONE


class StopCondition(_Part, frozen=True, kw_only=True):
    """An alarm that ends the experiment."""

    source: str
    value: str = ""


class Template(_Part, frozen=True, kw_only=True):
    """A template of the Fault Injection Service."""

    description: str = ""
    targets: dict[str, FisTarget] = {}
    actions: Annotated[dict[str, Action], Meta(min_length=1)]
    stop_conditions: tuple[StopCondition, ...] = ()
    role_arn: Annotated[str, Meta(description="The role that FIS acts as", min_length=1)]
    log_configuration: dict[str, JSON] = {}
    experiment_options: dict[str, JSON] = {}
    experiment_report_configuration: dict[str, JSON] = {}

    def __post_init__(self) -> None:
        for name, action in self.actions.items():
            for wanted in action.targets.values():
                if wanted not in self.targets:
                    raise ValueError(f"action `{name}` has no target named `{wanted}`")
            for before in action.start_after:
                if before not in self.actions:
                    raise ValueError(f"action `{name}` starts after `{before}`, which is not there")

    @property
    def not_undone(self) -> list[str]:
        """The ids of actions that nobody is known to undo."""
        return sorted({one.action_id for one in self.actions.values() if not one.is_undone})

    def no_longer_than(self, seconds: float) -> Template:
        """The same, but no action lasts longer; FIS counts in whole minutes."""
        most = max(1, math.ceil(seconds / 60))

        def cut(action: Action) -> Action:
            parameters = {
                key: f"PT{most}M" if key in _LASTING and in_seconds(value) > most * 60 else value
                for key, value in action.parameters.items()
            }
            return replace(action, parameters=parameters)

        return replace(self, actions={name: cut(one) for name, one in self.actions.items()})

    def request(self) -> dict[str, Any]:
        """As CreateExperimentTemplate wants it."""
        plain: dict[str, Any] = to_plain(self)
        plain.setdefault("description", "chaosrun")
        plain.setdefault("targets", {})
        plain.setdefault("stopConditions", [{"source": "none"}])
        options = plain.get("experimentOptions")
        if options:  # it is given at the start, not in a template
            options.pop("actionsMode", None)
        return plain


def in_seconds(written: str) -> float:
    """The seconds of a duration as FIS writes it, such as PT5M; 0 for anything else."""
    found = _DURATION.fullmatch(written)
    days, hours, minutes, seconds = map(int, found.groups(default="0")) if found else (0, 0, 0, 0)
    return 86400 * days + 3600 * hours + 60 * minutes + seconds


def of_answer(written: dict[str, Any]) -> dict[str, Any]:
    """Of what FIS tells of a template, what a template is made of."""
    known = {field.encode_name for field in msgspec.structs.fields(Template)}
    return {key: value for key, value in written.items() if key in known and value is not None}
