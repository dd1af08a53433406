"""Lambda functions: which one a person means, and the tag that a fault leaves on it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from chaosrun.fault import Hold
from chaosrun.providers.aws import marks
from chaosrun.providers.aws.access import MARK_KEY, OURS, Access, access_of
from chaosrun.providers.aws.client import Aws


class Function(Access, frozen=True, kw_only=True):
    """One Lambda function."""

    function: Annotated[str, Meta(description="The function's name or ARN", min_length=1)]


def labels(client: Aws, access: Access, arn: str) -> dict[str, str]:
    """The function's tags, without ours."""
    found = client.call(access, "lambda", "list_tags", Resource=arn)["Tags"]
    return {key: value for key, value in found.items() if not key.startswith(OURS)}


def mark(hold: Hold, client: Aws, arn: str) -> None:
    """Tag the function."""
    tags = {tag["Key"]: tag["Value"] for tag in marks.with_way_back(hold)}
    client.call(access_of(hold), "lambda", "tag_resource", Resource=arn, Tags=tags)


def marked(hold: Hold, client: Aws, arn: str) -> bool:
    """Whether the function has our tag, and not another's."""
    tags = client.call(access_of(hold), "lambda", "list_tags", Resource=arn)["Tags"]
    return bool(tags.get(MARK_KEY) == marks.value(hold))


def unmark(hold: Hold, client: Aws, arn: str) -> None:
    """Take our tags, and no other's, from the function."""
    if marked(hold, client, arn):
        keys = marks.keys(hold)
        client.call(access_of(hold), "lambda", "untag_resource", Resource=arn, TagKeys=keys)
