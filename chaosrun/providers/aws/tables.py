"""DynamoDB tables: how much they may take, and what AWS lets be changed now.

Law: a change whose way back AWS would not allow is refused before it begins.
"""

from __future__ import annotations

import time
from typing import Any

import msgspec

from chaosrun.errors import Refused
from chaosrun.providers.aws.access import Access
from chaosrun.providers.aws.client import Aws

_AN_HOUR = 3600.0
_MOST_DECREASES, _AT_FIRST = 27, 4
_NO_MAXIMUM = -1


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """What a table may take a second. On demand, None is no maximum."""

    on_demand: bool
    read: int | None
    write: int | None

    def lowered(self, read: int | None, write: int | None) -> Throughput:
        """The same, with what is given and lower than it is."""
        return Throughput(
            on_demand=self.on_demand,
            read=_lower(self.read, read),
            write=_lower(self.write, write),
        )

    def asked(self) -> dict[str, Any]:
        """As UpdateTable wants it."""
        if self.on_demand:
            return {
                "OnDemandThroughput": {
                    "MaxReadRequestUnits": _NO_MAXIMUM if self.read is None else self.read,
                    "MaxWriteRequestUnits": _NO_MAXIMUM if self.write is None else self.write,
                }
            }
        return {
            "ProvisionedThroughput": {
                "ReadCapacityUnits": self.read,
                "WriteCapacityUnits": self.write,
            }
        }

    def __str__(self) -> str:
        unit = "request units on demand" if self.on_demand else "capacity units"
        read = "any" if self.read is None else self.read
        return f"{read} read and {'any' if self.write is None else self.write} write {unit}"


def _lower(before: int | None, wanted: int | None) -> int | None:
    if wanted is None or (before is not None and before <= wanted):
        return before
    return wanted


def described(client: Aws, access: Access, name: str) -> dict[str, Any]:
    """The table as DynamoDB describes it."""
    found: dict[str, Any] = client.call(access, "dynamodb", "describe_table", TableName=name)
    table: dict[str, Any] = found["Table"]
    return table


def throughput_of(table: dict[str, Any]) -> Throughput:
    mode = table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    if mode == "PAY_PER_REQUEST":
        most = table.get("OnDemandThroughput", {})
        return Throughput(
            on_demand=True,
            read=_maximum(most.get("MaxReadRequestUnits")),
            write=_maximum(most.get("MaxWriteRequestUnits")),
        )
    given = table["ProvisionedThroughput"]
    return Throughput(
        on_demand=False, read=given["ReadCapacityUnits"], write=given["WriteCapacityUnits"]
    )


def _maximum(written: int | None) -> int | None:
    return None if written in (None, _NO_MAXIMUM) else written


def is_settled(table: dict[str, Any]) -> bool:
    """Whether neither the table nor one of its indexes is being changed."""
    indexes = table.get("GlobalSecondaryIndexes") or ()
    states = [table["TableStatus"], *(one.get("IndexStatus", "ACTIVE") for one in indexes)]
    return all(state == "ACTIVE" for state in states)


def need_a_decrease(table: dict[str, Any]) -> None:
    """Raise Refused when AWS allows no more decreases of provisioned throughput now.

    A day (UTC) begins with four in its first hour; then there is one for each hour without.
    """
    given = table["ProvisionedThroughput"]
    count = int(given.get("NumberOfDecreasesToday", 0))
    last = given.get("LastDecreaseDateTime")
    since = time.time() - last.timestamp() if last is not None else _AN_HOUR
    name = table["TableName"]
    if count >= _MOST_DECREASES:
        raise Refused(
            f"{name}: its throughput was decreased {count} times today, all that AWS allows",
            hint="wait until midnight UTC",
        )
    if count >= _AT_FIRST and since < _AN_HOUR:
        raise Refused(
            f"{name}: its throughput was decreased {count} times today, and {since / 60:.0f} "
            "minutes ago: AWS allows the next one an hour after the last",
            hint=f"wait {(_AN_HOUR - since) / 60:.0f} minutes",
        )


def need_no_scaling(client: Aws, access: Access, name: str) -> None:
    """Raise Refused when Application Auto Scaling would change the throughput meanwhile."""
    found = client.pages(
        access, "application-autoscaling", "describe_scalable_targets", "ScalableTargets",
        ServiceNamespace="dynamodb", ResourceIds=[f"table/{name}"],
    )  # fmt: skip
    active = sorted(
        one["ScalableDimension"].rpartition(":")[2]
        for one in found
        if not all(
            one.get("SuspendedState", {}).get(f"Dynamic{way}Suspended")
            for way in ("ScalingIn", "ScalingOut")
        )
    )
    if active:
        raise Refused(
            f"{name}: Application Auto Scaling would change its {' and '.join(active)} back",
            hint="suspend it first: aws application-autoscaling register-scalable-target "
            f"--service-namespace dynamodb --resource-id table/{name} --suspended-state ...",
        )
