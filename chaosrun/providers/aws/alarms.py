"""CloudWatch alarms: the probe `aws.alarm` and the gate `aws.alarms-ok`.

Law (L4): an alarm without data is not OK, and one that does not exist closes the gate.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Permission
from chaosrun.gate import Measured
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.looking import AwsGate, AwsProbe
from chaosrun.units import JSON

_BOTH = ["MetricAlarm", "CompositeAlarm"]
_AT_ONCE = 100


class AlarmState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What an alarm says."""

    state: Annotated[str, Meta(description="OK, ALARM or INSUFFICIENT_DATA")]
    reason: Annotated[str, Meta(description="Why, in CloudWatch's words")]


class AlarmProbe(AwsProbe[AlarmState], frozen=True, kw_only=True):
    """Looks at a CloudWatch alarm, of a metric or composite."""

    name: ClassVar[str] = "aws.alarm"
    Result = AlarmState
    permissions: ClassVar[tuple[Permission, ...]] = iam("cloudwatch:DescribeAlarms")
    example: ClassVar[dict[str, JSON]] = {
        "with": {"alarm": "checkout-5xx"},
        "expect": 'state == "OK"',
    }

    alarm: Annotated[str, Meta(description="The alarm's name", min_length=1)]

    def look(self, client: Aws, access: Access) -> AlarmState:
        found = _states(client, access, [self.alarm])
        if self.alarm not in found:
            raise Refused(f"no alarm {self.alarm!r} in {access.region}")
        return found[self.alarm]


class AlarmsOk(AwsGate, frozen=True, kw_only=True):
    """Open while every one of these CloudWatch alarms is OK."""

    name: ClassVar[str] = "aws.alarms-ok"
    permissions: ClassVar[tuple[Permission, ...]] = iam("cloudwatch:DescribeAlarms")
    example: ClassVar[dict[str, JSON]] = {"alarms": ["checkout-5xx", "checkout-latency"]}

    alarms: Annotated[
        tuple[str, ...], Meta(description="Names of metric or composite alarms", min_length=1)
    ]

    def ask(self, client: Aws, access: Access) -> Measured:
        found = _states(client, access, sorted(set(self.alarms)))
        states = {
            name: found[name].state if name in found else "not there"
            for name in sorted(set(self.alarms))
        }
        bad = [f"{name} is {state}" for name, state in states.items() if state != "OK"]
        return Measured(
            open=not bad,
            measured="; ".join(bad) or f"{len(states)} alarms are OK",
            rule="every alarm must be OK",
            hint="wait until they are, or see why: aws cloudwatch describe-alarms" if bad else "",
        )


def _states(client: Aws, access: Access, names: list[str]) -> dict[str, AlarmState]:
    found: dict[str, AlarmState] = {}
    for start in range(0, len(names), _AT_ONCE):
        answer = client.call(
            access, "cloudwatch", "describe_alarms",
            AlarmNames=names[start : start + _AT_ONCE], AlarmTypes=_BOTH, MaxRecords=_AT_ONCE,
        )  # fmt: skip
        for alarm in [*answer.get("MetricAlarms", ()), *answer.get("CompositeAlarms", ())]:
            found[alarm["AlarmName"]] = AlarmState(
                state=alarm["StateValue"], reason=alarm.get("StateReason", "")
            )
    return found
