"""The probe `aws.sqs-depth`: how much waits in a queue."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.fault import Permission
from chaosrun.providers.aws.access import Access, iam
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.looking import AwsProbe
from chaosrun.units import JSON

_COUNTS = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


class Depth(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How much is in a queue. SQS counts approximately, and is late by up to a minute."""

    waiting: Annotated[int, Meta(description="Messages that may be received")]
    in_flight: Annotated[int, Meta(description="Messages received, and not deleted yet")]
    delayed: Annotated[int, Meta(description="Messages that may not be received yet")]
    total: Annotated[int, Meta(description="All of these")]


class QueueProbe(AwsProbe[Depth], frozen=True, kw_only=True):
    """Looks how many messages are in an SQS queue."""

    name: ClassVar[str] = "aws.sqs-depth"
    Result = Depth
    permissions: ClassVar[tuple[Permission, ...]] = iam("sqs:GetQueueUrl", "sqs:GetQueueAttributes")
    example: ClassVar[dict[str, JSON]] = {
        "with": {"queue": "orders"},
        "expect": "waiting < 1000",
    }

    queue: Annotated[str, Meta(description="The queue's name, ARN or URL", min_length=1)]

    def look(self, client: Aws, access: Access) -> Depth:
        url = self.queue
        if not url.startswith(("https://", "http://")):
            name = access.named(self.queue)
            url = client.call(access, "sqs", "get_queue_url", QueueName=name)["QueueUrl"]
        found = client.call(
            access, "sqs", "get_queue_attributes", QueueUrl=url, AttributeNames=list(_COUNTS)
        )["Attributes"]
        waiting, in_flight, delayed = (int(found[name]) for name in _COUNTS)
        return Depth(
            waiting=waiting,
            in_flight=in_flight,
            delayed=delayed,
            total=waiting + in_flight + delayed,
        )
