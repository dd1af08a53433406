"""A one-shot schedule of EventBridge that starts stopped instances, whatever becomes of us.

Law (L3): it is made before the instances are stopped, is due at the lease's deadline, and is taken
away by AWS when it has done its work, or by the revert.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime

from chaosrun.fault import Hold
from chaosrun.providers.aws.access import access_of
from chaosrun.providers.aws.client import Aws, NotFound
from chaosrun.providers.aws.instances import ids_of

RIGHTS = (
    "iam:PassRole",
    "scheduler:CreateSchedule",
    "scheduler:DeleteSchedule",
    "scheduler:GetSchedule",
)
_TRIES, _SECONDS = 60, 3600  # an instance that is still stopping cannot be started yet


def arm(hold: Hold, client: Aws) -> None:
    """Have AWS start the targets at the deadline. Twice is once."""
    if armed(hold, client):
        return
    role = hold.undo["restart"]
    partition = role.split(":")[1]
    due = datetime.fromtimestamp(math.ceil(hold.deadline), UTC)
    client.call(
        access_of(hold), "scheduler", "create_schedule",
        Name=_name(hold),
        Description="chaosrun starts again what it stopped",
        ScheduleExpression=f"at({due:%Y-%m-%dT%H:%M:%S})",
        ScheduleExpressionTimezone="UTC",
        FlexibleTimeWindow={"Mode": "OFF"},
        ActionAfterCompletion="DELETE",
        Target={
            "Arn": f"arn:{partition}:scheduler:::aws-sdk:ec2:startInstances",
            "RoleArn": role,
            "Input": json.dumps({"InstanceIds": ids_of(hold)}),
            "RetryPolicy": {
                "MaximumRetryAttempts": _TRIES, "MaximumEventAgeInSeconds": _SECONDS,
            },
        },
    )  # fmt: skip


def disarm(hold: Hold, client: Aws) -> None:
    """Take the schedule away, where there is one."""
    if not armed(hold, client):
        return
    try:
        client.call(access_of(hold), "scheduler", "delete_schedule", Name=_name(hold))
    except NotFound:  # it was due just now
        return


def armed(hold: Hold, client: Aws) -> bool:
    """Whether the schedule is there."""
    if not hold.undo.get("restart"):
        return False
    try:
        client.call(access_of(hold), "scheduler", "get_schedule", Name=_name(hold))
    except NotFound:
        return False
    return True


def _name(hold: Hold) -> str:
    """A name as schedules have them."""
    return re.sub(r"[^0-9A-Za-z_.-]", "-", hold.mark)[-64:]
