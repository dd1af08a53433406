"""The tag that a fault leaves on what it touches, and the sweep that finds it.

Law: the tag is put on before the harm and taken away after it. The sweep looks with the
credentials and in the Region that are the default; other ones are chosen as for the AWS
command line.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from chaosrun.fault import Found, Hold
from chaosrun.providers.aws.access import MARK_KEY, Access, access_of
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.instances import ENDED, look

_ON_EC2 = (
    ("describe_security_groups", "SecurityGroups", "GroupId"),
    ("describe_network_acls", "NetworkAcls", "NetworkAclId"),
    ("describe_route_tables", "RouteTables", "RouteTableId"),
)
_BY_TAGGING_API = ["dynamodb:table", "elasticloadbalancing:targetgroup", "lambda:function"]


def value(hold: Hold) -> str:
    """The tag's value: whose it is, and of which fault."""
    return f"{hold.mark}/{hold.fault}"


def tags(hold: Hold) -> list[dict[str, str]]:
    """The tag as most services take it."""
    return [{"Key": MARK_KEY, "Value": value(hold)}]


def on_creation(hold: Hold, kind: str) -> list[dict[str, object]]:
    """The tag for what EC2 is about to create."""
    return [{"ResourceType": kind, "Tags": tags(hold)}]


def put(hold: Hold, client: Aws, ids: Sequence[str]) -> None:
    """Tag EC2 resources."""
    if ids:
        access = access_of(hold)
        client.call(access, "ec2", "create_tags", Resources=list(ids), Tags=tags(hold))


def take(hold: Hold, client: Aws, ids: Sequence[str]) -> None:
    """Take our tag, and no other, from EC2 resources."""
    if ids:
        access = access_of(hold)
        client.call(access, "ec2", "delete_tags", Resources=list(ids), Tags=tags(hold))


def find(client: Aws) -> tuple[Found, ...]:
    """Each mark once, with all that bears it; none where AWS is not configured."""
    if not client.configured():
        return ()
    access = client.settle(Access())
    bearers = [*_of_ec2(client, access), *_of_others(client, access)]
    found: dict[str, list[str]] = {}
    for written, resource_id in sorted(set(bearers)):
        found.setdefault(written, []).append(resource_id)
    where = f"account {access.account}, {access.region}"
    return tuple(
        Found(
            fault=written.partition("/")[2],
            mark=written.partition("/")[0],
            target=", ".join(ids),
            detail=f"tagged {MARK_KEY} in {where}",
        )
        for written, ids in found.items()
    )


def _of_ec2(client: Aws, access: Access) -> Iterator[tuple[str, str]]:
    """Each mark and what bears it. EC2's list of tags keeps what is gone."""
    tagged = [{"Name": "tag-key", "Values": [MARK_KEY]}]
    for instance in look(client, access, filters=tagged):
        if instance.state not in ENDED:
            yield instance.mark, instance.id
    for operation, key, name in _ON_EC2:
        for one in client.pages(access, "ec2", operation, key, Filters=tagged):
            yield from ((tag["Value"], one[name]) for tag in one["Tags"] if tag["Key"] == MARK_KEY)


def _of_others(client: Aws, access: Access) -> Iterator[tuple[str, str]]:
    for tag in client.pages(
        access, "autoscaling", "describe_tags", "Tags",
        Filters=[{"Name": "key", "Values": [MARK_KEY]}],
    ):  # fmt: skip
        yield tag["Value"], tag["ResourceId"]
    for one in client.pages(
        access, "resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList",
        TagFilters=[{"Key": MARK_KEY}], ResourceTypeFilters=_BY_TAGGING_API,
    ):  # fmt: skip
        arn = one["ResourceARN"]
        yield from ((tag["Value"], arn) for tag in one["Tags"] if tag["Key"] == MARK_KEY)
    for one in client.pages(access, "fis", "list_experiment_templates", "experimentTemplates"):
        tagged = one.get("tags", {})
        if MARK_KEY in tagged:
            yield tagged[MARK_KEY], one["arn"]
