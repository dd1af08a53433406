"""A function hears of nothing new: its event source mappings are disabled.

Law (L2): what Lambda lists may be old, so each is told what it should be, however it looks.
"""

from __future__ import annotations

import random
from typing import Annotated, Any, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission
from chaosrun.providers.aws.access import access_of, belonging, iam, undo
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.functions import Function, labels, mark, marked, unmark
from chaosrun.targeting import Pick, Target, pick
from chaosrun.units import JSON


class Triggers(Function, frozen=True, kw_only=True):
    """Event source mappings of one Lambda function."""

    source: Annotated[str, Meta(description="Only the mapping of the source with this ARN")] = ""
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("all")


class LambdaDisableTrigger(Fault[Aws], frozen=True, kw_only=True):
    """Disable what feeds a Lambda function (queues, streams), and enable it when the hold ends.

    What is queued meanwhile waits, as long as the queue or stream keeps it. Lambda takes up to
    a minute for either, so give the step a `timeout`.
    """

    name: ClassVar[str] = "aws.lambda-disable-trigger"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "lambda:GetFunctionConfiguration",
        "lambda:ListEventSourceMappings",
        "lambda:UpdateEventSourceMapping",
        "lambda:ListTags",
        "lambda:TagResource",
        "lambda:UntagResource",
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"function": "checkout", "pick": "all"}}

    target: Triggers

    def plan(self, client: Aws, rng: random.Random) -> Hold:
        access, wanted = client.settle(self.target.access()), self.target
        function = client.call(
            access, "lambda", "get_function_configuration", FunctionName=wanted.function
        )
        found = client.pages(
            access, "lambda", "list_event_source_mappings", "EventSourceMappings",
            FunctionName=function["FunctionName"],
        )  # fmt: skip
        enabled = [one for one in found if one["State"] == "Enabled"]
        tags = labels(client, access, function["FunctionArn"])
        targets = pick(
            [
                Target(
                    kind="lambda-trigger",
                    id=one["UUID"],
                    name=one.get("EventSourceArn", "").rpartition(":")[2],
                    labels=tags,
                    groups=belonging(access, workload=function["FunctionName"], zone=""),
                )
                for one in enabled
                if wanted.source in ("", one.get("EventSourceArn", ""))
            ],
            wanted.pick,
            rng,
        )
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(enabled),
            populations={f"lambda-trigger workload={function['FunctionName']}": len(found)},
            effect=f"{function['FunctionName']} is not fed by them",
            undo=undo(access, function=function["FunctionArn"], name=function["FunctionName"]),
            way_back="chaosrun enables them again",
            mechanism="UpdateEventSourceMapping",
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        now = _states(hold, client)
        if lost := [target.label for target in hold.targets if target.id not in now]:
            raise Refused(f"{', '.join(lost)} were deleted since they were planned")
        mark(hold, client, hold.undo["function"])
        _set(hold, client, "Disabled")

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        _set(hold, client, "Enabled")
        unmark(hold, client, hold.undo["function"])

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        now = _states(hold, client)
        off = [target.id for target in hold.targets if now.get(target.id) == "Disabled"]
        return Evidence(len(off) == len(hold.targets), _in_words(hold, now))

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        now = _states(hold, client)
        on = [target.id for target in hold.targets if now.get(target.id) == "Enabled"]
        tagged = marked(hold, client, hold.undo["function"])
        return Evidence(
            len(on) == len(hold.targets) and not tagged,
            _in_words(hold, now) + ("; the function is still tagged" if tagged else ""),
        )


def _states(hold: Hold, client: Aws) -> dict[str, str]:
    """The state of each mapping of the function, by its id."""
    found: list[dict[str, Any]] = client.pages(
        access_of(hold), "lambda", "list_event_source_mappings", "EventSourceMappings",
        FunctionName=hold.undo["name"],
    )  # fmt: skip
    return {one["UUID"]: one["State"] for one in found}


def _set(hold: Hold, client: Aws, wanted: str) -> None:
    """Bring each that is still there to this state. One that is on its way cannot be changed."""
    ours = [target.id for target in hold.targets]

    def all_in(*states: str) -> bool:
        now = _states(hold, client)
        return all(now[one] in states for one in ours if one in now)

    names = ", ".join(target.label for target in hold.targets)
    until(lambda: all_in("Enabled", "Disabled"), f"{names} should be settled")
    now = _states(hold, client)
    for one in ours:
        if one in now:
            client.call(
                access_of(hold), "lambda", "update_event_source_mapping",
                UUID=one, Enabled=wanted == "Enabled",
            )  # fmt: skip
    until(lambda: all_in(wanted), f"{names} should be {wanted}")


def _in_words(hold: Hold, now: dict[str, str]) -> str:
    return "; ".join(f"{t.label} is {now.get(t.id, 'gone').lower()}" for t in hold.targets)
