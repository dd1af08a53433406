"""The probe `aws.cloudwatch-metric`: the newest value of a metric, or of math over metrics.

Law (L5, L6): one metric, one number. Where there is none the sample is unknown, unless the
check says what no data means. What CloudWatch could not read whole is not "no data": it is no
sample at all, and a guard that gets none has tripped.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused, Transient
from chaosrun.fault import Permission
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.looking import AwsProbe
from chaosrun.units import JSON, Duration


class MetricValue(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What the metric said."""

    value: Annotated[float, Meta(description="The newest value")]
    values: Annotated[list[float], Meta(description="All values of the range, oldest first")]
    age: Annotated[Duration, Meta(description="How long ago the newest value's period began")]
    empty: Annotated[bool, Meta(description="Whether there was none, and `value` is `noData`")]


class Metric(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    rename="camel",
):
    """One metric and its statistic."""

    namespace: Annotated[str, Meta(examples=["AWS/ApplicationELB"], min_length=1)]
    metric: Annotated[str, Meta(examples=["HTTPCode_Target_5XX_Count"], min_length=1)]
    dimensions: dict[str, str] = {}
    statistic: Annotated[
        str, Meta(description="Average, Sum, Minimum, Maximum, SampleCount, p99, ...")
    ] = "Average"


class MetricProbe(AwsProbe[MetricValue], frozen=True, kw_only=True):
    """Asks CloudWatch for a metric, or for math over several.

    CloudWatch is late by a minute or more, so its newest value tells of the past.
    """

    name: ClassVar[str] = "aws.cloudwatch-metric"
    Result = MetricValue
    permissions: ClassVar[tuple[Permission, ...]] = iam("cloudwatch:GetMetricData")
    example: ClassVar[dict[str, JSON]] = {
        "with": {
            "metrics": {
                "errors": {
                    "namespace": "AWS/ApplicationELB",
                    "metric": "HTTPCode_Target_5XX_Count",
                    "dimensions": {"LoadBalancer": "app/checkout/0a1b2c3d4e5f6071"},
                    "statistic": "Sum",
                }
            },
            "noData": 0,
        },
        "expect": "value < 10.0",
    }

    metrics: Annotated[
        dict[str, Metric], Meta(description="Metrics, each under a name for `math`", min_length=1)
    ]
    math: Annotated[
        str, Meta(description="CloudWatch's metric math", examples=["100 * errors / requests"])
    ] = ""
    period: Annotated[Duration, Meta(description="The length of one value's period")] = Duration(60)
    range: Annotated[Duration, Meta(description="How far back to look")] = Duration(300)
    no_data: Annotated[float | None, Meta(description="The value that no data stands for")] = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.math and len(self.metrics) != 1:
            raise ValueError("several metrics need `math`, which makes one number of them")
        for name in self.metrics:
            if not (name.isidentifier() and name.isascii() and name[0].islower()):
                raise ValueError(f"a metric's name begins with a small letter: {name!r}")
        seconds = self.period.seconds
        if seconds not in (1, 5, 10, 20, 30) and (seconds < 60 or seconds % 60):
            raise ValueError("a period is 1s, 5s, 10s, 20s, 30s or whole minutes")
        if self.range < self.period:
            raise ValueError("the range is shorter than a period")

    def look(self, client: Aws, access: Access) -> MetricValue:
        now = datetime.now(UTC)
        found = client.pages(
            access, "cloudwatch", "get_metric_data", "MetricDataResults",
            MetricDataQueries=self._queries(),
            StartTime=now - timedelta(seconds=self.range.seconds),
            EndTime=now + timedelta(seconds=self.period.seconds),  # the period that is not over
            ScanBy="TimestampAscending",
        )  # fmt: skip
        _refuse_what_is_not_one(found)
        numbers = sorted(
            (when, float(value))
            for one in found
            for when, value in zip(one["Timestamps"], one["Values"], strict=True)
            if math.isfinite(value)
        )
        if not numbers:
            if self.no_data is None:
                raise Transient("CloudWatch has no data", hint="look further back, or say `noData`")
            age = Duration(self.range.seconds)
            return MetricValue(value=self.no_data, values=[], age=age, empty=True)
        newest = numbers[-1][0].timestamp()
        return MetricValue(
            value=numbers[-1][1],
            values=[number for _, number in numbers],
            age=Duration(max(0.0, now.timestamp() - newest)),
            empty=False,
        )

    def _queries(self) -> list[dict[str, Any]]:
        queries: list[dict[str, Any]] = [
            {
                "Id": name,
                "ReturnData": not self.math,
                "MetricStat": {
                    "Metric": {
                        "Namespace": one.namespace,
                        "MetricName": one.metric,
                        "Dimensions": [
                            {"Name": key, "Value": value}
                            for key, value in sorted(one.dimensions.items())
                        ],
                    },
                    "Period": int(self.period.seconds),
                    "Stat": one.statistic,
                },
            }
            for name, one in sorted(self.metrics.items())
        ]
        if self.math:
            queries.append({"Id": "chaosrun_math", "Expression": self.math, "ReturnData": True})
        return queries


def _refuse_what_is_not_one(found: list[dict[str, Any]]) -> None:
    """Raise Transient when CloudWatch did not read all of it, Refused when it is several series."""
    last = {(one["Id"], one.get("Label", "")): one for one in found}
    for one in found:
        status = one.get("StatusCode", "Complete")
        more = status == "PartialData" and one not in last.values()  # it goes on on another page
        if status != "Complete" and not more:
            said = "; ".join(f"{m.get('Code')}: {m.get('Value')}" for m in one.get("Messages", ()))
            raise Transient(f"CloudWatch says {status}{said and ': '}{said}")
    times = [when for one in found for when in one["Timestamps"]]
    if len(last) > 1 or len(set(times)) < len(times):
        raise Refused(
            "CloudWatch answers with several series, of which no one number can be made",
            hint="make one series of them by `math`, such as SUM(SEARCH(...))",
        )
