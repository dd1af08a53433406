"""A table takes less: its throughput is brought down, and put back exactly."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission
from chaosrun.providers.aws.access import (
    MARK_KEY,
    Access,
    access_of,
    belonging,
    iam,
    labels_of,
    undo,
)  # fmt: skip
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.marks import tags, value
from chaosrun.providers.aws.tables import (
    Throughput,
    described,
    is_settled,
    need_a_decrease,
    need_no_scaling,
    throughput_of,
)
from chaosrun.targeting import Target
from chaosrun.units import JSON

_Units = Annotated[int, Meta(ge=1)]


class Table(Access, frozen=True, kw_only=True):
    """One DynamoDB table."""

    table: Annotated[str, Meta(description="The table's name", min_length=1)]


class DynamodbThrottle(Fault[Aws], frozen=True, kw_only=True):
    """Let a DynamoDB table take only so much a second; what comes beyond that is throttled.

    With provisioned capacity that is lowered, on demand the table's maximum. Never raised, and
    its indexes are left alone. What a table saved up it still serves for some minutes, and a
    maximum on demand is AWS' best effort: give it time, and a `timeout`. AWS counts decreases of
    a day: when no more are allowed, or Auto Scaling would undo it, nothing is begun. The way back
    is an increase (or the former maximum), which AWS does not count.
    """

    name: ClassVar[str] = "aws.dynamodb-throttle"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "dynamodb:DescribeTable",
        "dynamodb:UpdateTable",
        "dynamodb:TagResource",
        "dynamodb:UntagResource",
        "dynamodb:ListTagsOfResource",
        "application-autoscaling:DescribeScalableTargets",
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"table": "orders"},
        "with": {"read": 1, "write": 1},
    }

    target: Table
    read: Annotated[
        _Units | None, Meta(description="The most read units a second; left alone if unset")
    ] = None
    write: Annotated[
        _Units | None, Meta(description="The most write units a second; left alone if unset")
    ] = None

    def __post_init__(self) -> None:
        if self.read is None and self.write is None:
            raise ValueError("say what to lower: read, write or both")

    def plan(self, client: Aws, rng: random.Random) -> Hold:  # noqa: ARG002
        access, name = client.settle(self.target.access()), self.target.table
        table = described(client, access, name)
        if not is_settled(table):
            raise Refused(f"{name} is being changed by somebody", hint="wait until it is ACTIVE")
        before = throughput_of(table)
        wanted = before.lowered(self.read, self.write)
        if wanted == before:
            raise Refused(f"{name} takes {before}: that is not more than asked for")
        if not before.on_demand:
            need_a_decrease(table)
            need_no_scaling(client, access, name)
        return Hold(
            fault=self.name,
            targets=(
                Target(
                    kind="dynamodb-table",
                    id=table["TableArn"],
                    name=name,
                    labels=labels_of(_tags(client, access, table["TableArn"])),
                    groups=belonging(access, zone=""),
                ),
            ),
            population=1,
            effect=f"it takes {wanted} a second",
            undo=undo(access, before=to_plain(before), wanted=to_plain(wanted)),
            way_back=f"chaosrun lets it take {before} again",
            mechanism="UpdateTable",
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access, arn = access_of(hold), hold.targets[0].id
        client.call(access, "dynamodb", "tag_resource", ResourceArn=arn, Tags=tags(hold))
        _change(hold, client, of="before", to="wanted")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        _await_settled(hold, client)
        _change(hold, client, of="wanted", to="before")
        if _marked(hold, client):
            client.call(
                access_of(hold), "dynamodb", "untag_resource",
                ResourceArn=hold.targets[0].id, TagKeys=[MARK_KEY],
            )  # fmt: skip

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        now = throughput_of(described(client, access_of(hold), hold.targets[0].name))
        return Evidence(now == _said(hold, "wanted"), f"it takes {now}")

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        now = throughput_of(described(client, access_of(hold), hold.targets[0].name))
        tagged = _marked(hold, client)
        return Evidence(
            now == _said(hold, "before") and not tagged,
            f"it takes {now}" + ("; it is still tagged" if tagged else ""),
        )


def _said(hold: Hold, when: str) -> Throughput:
    return from_plain(hold.undo[when], Throughput)


def _change(hold: Hold, client: Aws, *, of: str, to: str) -> None:
    """From one throughput to the other; what somebody else has set meanwhile stays."""
    access, name = access_of(hold), hold.targets[0].name
    if throughput_of(described(client, access, name)) == _said(hold, of):
        asked = _said(hold, to).asked()
        client.call(access, "dynamodb", "update_table", TableName=name, **asked)
    _await_settled(hold, client)


def _await_settled(hold: Hold, client: Aws) -> None:
    access, name = access_of(hold), hold.targets[0].name
    until(lambda: is_settled(described(client, access, name)), f"{name} should be ACTIVE")


def _marked(hold: Hold, client: Aws) -> bool:
    found = _tags(client, access_of(hold), hold.targets[0].id)
    return any(tag["Key"] == MARK_KEY and tag["Value"] == value(hold) for tag in found)


def _tags(client: Aws, access: Access, arn: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = client.pages(
        access, "dynamodb", "list_tags_of_resource", "Tags", ResourceArn=arn
    )
    return found
