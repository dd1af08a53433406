"""The tags that a fault leaves on what it touches, and the sweep that finds them.

Law: the tags are put on before the harm and taken away after it. One says whose it is; others hold
what the way back needs, as far as it fits, so that a sweep can revert what no journal knows. Who
asked with which credentials is not in them (law L9). The sweep looks with the credentials and in
the Region that are the default; other ones are chosen as for the AWS command line.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec
from msgspec.structs import replace

from chaosrun.codec import from_json, to_json
from chaosrun.fault import Found, Hold
from chaosrun.providers.aws.access import MARK_KEY, Access, access_of, undo
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.instances import ENDED, look
from chaosrun.targeting import Target
from chaosrun.units import JSON

_UNDO_KEYS = tuple(f"chaosrun:undo-{number}" for number in range(6))
_A_VALUE = 250  # of the 256 letters that a tag's value may have
_ON_EC2 = (
    ("describe_security_groups", "SecurityGroups", "GroupId"),
    ("describe_network_acls", "NetworkAcls", "NetworkAclId"),
    ("describe_route_tables", "RouteTables", "RouteTableId"),
)
_BY_TAGGING_API = ["dynamodb:table", "elasticloadbalancing:targetgroup", "lambda:function"]
Tags = Mapping[str, str]


class _WayBack(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a hold has that is not in the mark, and is no secret."""

    targets: tuple[Target, ...]
    undo: dict[str, JSON] = {}


def value(hold: Hold) -> str:
    """The value of the tag that is the mark: whose it is, and of which fault."""
    return f"{hold.mark}/{hold.fault}"


def tags(hold: Hold) -> list[dict[str, str]]:
    """The mark as most services take it."""
    return [{"Key": MARK_KEY, "Value": value(hold)}]


def with_way_back(hold: Hold) -> list[dict[str, str]]:
    """The mark, and the tags that hold the way back where it is short enough."""
    targets = tuple(replace(target, labels=None, groups={}) for target in hold.targets)
    found = _WayBack(targets, {k: v for k, v in hold.undo.items() if k != "access"})
    packed = base64.urlsafe_b64encode(zlib.compress(to_json(found), 9)).decode()
    parts = [packed[start : start + _A_VALUE] for start in range(0, len(packed), _A_VALUE)]
    if len(parts) > len(_UNDO_KEYS):
        return tags(hold)
    more = zip(_UNDO_KEYS, parts, strict=False)
    return [*tags(hold), *({"Key": key, "Value": part} for key, part in more)]


def keys(hold: Hold) -> list[str]:
    """The keys of all these tags."""
    return [tag["Key"] for tag in with_way_back(hold)]


def on_creation(hold: Hold, kind: str) -> list[dict[str, object]]:
    """The tags for what EC2 is about to create."""
    return [{"ResourceType": kind, "Tags": with_way_back(hold)}]


def put(hold: Hold, client: Aws, ids: Sequence[str]) -> None:
    """Tag EC2 resources."""
    if ids:
        client.call(
            access_of(hold), "ec2", "create_tags", Resources=list(ids), Tags=with_way_back(hold)
        )


def take(hold: Hold, client: Aws, ids: Sequence[str]) -> None:
    """Take our tags, and no other's, from EC2 resources."""
    if ids:
        client.call(
            access_of(hold), "ec2", "delete_tags", Resources=list(ids), Tags=with_way_back(hold)
        )


def find(client: Aws) -> tuple[Found, ...]:
    """Each mark once, with all that bears it; none where AWS is not configured."""
    if not client.configured():
        return ()
    access = client.settle(Access())
    bearers: dict[str, dict[str, Tags]] = {}
    for tagged, resource_id in (*_of_ec2(client, access), *_of_others(client, access)):
        bearers.setdefault(tagged[MARK_KEY], {})[resource_id] = tagged
    where = f"account {access.account}, {access.region}"
    return tuple(
        Found(
            fault=written.partition("/")[2],
            mark=written.partition("/")[0],
            target=", ".join(sorted(found)),
            detail=f"tagged {MARK_KEY} in {where}",
            hold=_hold(written, found.values(), access),
        )
        for written, found in sorted(bearers.items())
    )


def _hold(written: str, bearers: Iterable[Tags], access: Access) -> Hold | None:
    """The hold that the tags of some bearer tell, or None where none tells it whole."""
    mark, _, fault = written.partition("/")
    for tagged in bearers:
        packed = "".join(tagged.get(key, "") for key in _UNDO_KEYS)
        try:
            text = zlib.decompress(base64.urlsafe_b64decode(packed))
            found = from_json(text, _WayBack)
        except (binascii.Error, zlib.error, ValueError, msgspec.MsgspecError):
            continue
        return Hold(
            fault=fault,
            targets=found.targets,
            population=len(found.targets),
            effect="found by a sweep",
            undo=undo(access, **found.undo),
            mark=mark,
        )
    return None


def _plain(written: Iterable[dict[str, str]]) -> Tags:
    return {tag["Key"]: tag["Value"] for tag in written}


def _of_ec2(client: Aws, access: Access) -> Iterator[tuple[Tags, str]]:
    """The tags of each bearer, and its id. EC2's list of tags keeps what is gone."""
    tagged = [{"Name": "tag-key", "Values": [MARK_KEY]}]
    for instance in look(client, access, filters=tagged):
        if instance.state not in ENDED:
            yield instance.marks, instance.id
    for operation, key, name in _ON_EC2:
        for one in client.pages(access, "ec2", operation, key, Filters=tagged):
            yield _plain(one["Tags"]), one[name]


def _of_others(client: Aws, access: Access) -> Iterator[tuple[Tags, str]]:
    groups: dict[str, dict[str, str]] = {}
    for tag in client.pages(
        access, "autoscaling", "describe_tags", "Tags",
        Filters=[{"Name": "key", "Values": [MARK_KEY, *_UNDO_KEYS]}],
    ):  # fmt: skip
        groups.setdefault(tag["ResourceId"], {})[tag["Key"]] = tag["Value"]
    for name, tagged in groups.items():
        if MARK_KEY in tagged:
            yield tagged, name
    for one in client.pages(
        access, "resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList",
        TagFilters=[{"Key": MARK_KEY}], ResourceTypeFilters=_BY_TAGGING_API,
    ):  # fmt: skip
        yield _plain(one["Tags"]), one["ResourceARN"]
    for one in client.pages(access, "fis", "list_experiment_templates", "experimentTemplates"):
        if MARK_KEY in one.get("tags", {}):
            yield one["tags"], one["arn"]
