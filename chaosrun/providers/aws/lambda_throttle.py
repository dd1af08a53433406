"""A function answers nobody: its reserved concurrency is brought down.

Law (L2): what Lambda shows may be old, so the number is put back also where it seems to be back.
One that is neither ours nor the one before is somebody else's, and stays.
"""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission
from chaosrun.providers.aws.access import Access, access_of, belonging, iam, undo
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.functions import Function, labels, mark, marked, unmark
from chaosrun.targeting import Target
from chaosrun.units import JSON


class LambdaThrottle(Fault[Aws], frozen=True, kw_only=True):
    """Let a Lambda function run at most so many times at once; with 0, not at all.

    Callers beyond that are told to slow down (429). When the hold ends, the reserved concurrency is
    as it was; if there was none, there is none again.
    """

    name: ClassVar[str] = "aws.lambda-throttle"
    permissions: ClassVar[tuple[Permission, ...]] = iam(
        "lambda:GetFunctionConfiguration",
        "lambda:GetFunctionConcurrency",
        "lambda:PutFunctionConcurrency",
        "lambda:DeleteFunctionConcurrency",
        "lambda:ListTags",
        "lambda:TagResource",
        "lambda:UntagResource",
    )
    example: ClassVar[dict[str, JSON]] = {"target": {"function": "checkout"}}

    target: Function
    concurrency: Annotated[int, Meta(description="How many may run at once", ge=0, le=1000)] = 0

    def plan(self, client: Aws, rng: random.Random) -> Hold:  # noqa: ARG002
        access, name = client.settle(self.target.access()), self.target.function
        found = client.call(access, "lambda", "get_function_configuration", FunctionName=name)
        before = _concurrency(client, access, found["FunctionArn"])
        if before is not None and before <= self.concurrency:
            raise Refused(f"at most {before} of {name} run at once already")
        return Hold(
            fault=self.name,
            targets=(
                Target(
                    kind="lambda",
                    id=found["FunctionArn"],
                    name=found["FunctionName"],
                    labels=labels(client, access, found["FunctionArn"]),
                    groups=belonging(access, zone=""),
                ),
            ),
            population=1,
            effect=f"at most {self.concurrency} run at once",
            undo=undo(access, before=before, wanted=self.concurrency),
            way_back="chaosrun puts the reserved concurrency back",
            mechanism="PutFunctionConcurrency",
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Aws) -> None:
        access, arn = access_of(hold), hold.targets[0].id
        mark(hold, client, arn)
        client.call(
            access, "lambda", "put_function_concurrency",
            FunctionName=arn, ReservedConcurrentExecutions=hold.undo["wanted"],
        )  # fmt: skip

    @classmethod
    def revert(cls, hold: Hold, client: Aws) -> None:
        access, arn, before = access_of(hold), hold.targets[0].id, hold.undo["before"]
        if _concurrency(client, access, arn) in (hold.undo["wanted"], before):
            if before is None:
                client.call(access, "lambda", "delete_function_concurrency", FunctionName=arn)
            else:
                client.call(
                    access, "lambda", "put_function_concurrency",
                    FunctionName=arn, ReservedConcurrentExecutions=before,
                )  # fmt: skip
        unmark(hold, client, arn)

    @classmethod
    def took_effect(cls, hold: Hold, client: Aws) -> Evidence:
        now = _concurrency(client, access_of(hold), hold.targets[0].id)
        return Evidence(now == hold.undo["wanted"], _in_words(now))

    @classmethod
    def restored(cls, hold: Hold, client: Aws) -> Evidence:
        now = _concurrency(client, access_of(hold), hold.targets[0].id)
        tagged = marked(hold, client, hold.targets[0].id)
        return Evidence(
            now == hold.undo["before"] and not tagged,
            _in_words(now) + ("; the function is still tagged" if tagged else ""),
        )


def _concurrency(client: Aws, access: Access, arn: str) -> int | None:
    said = client.call(access, "lambda", "get_function_concurrency", FunctionName=arn)
    found: int | None = said.get("ReservedConcurrentExecutions")
    return found


def _in_words(now: int | None) -> str:
    return "no concurrency is reserved" if now is None else f"at most {now} run at once"
