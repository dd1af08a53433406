"""EC2 instances: which ones a person means, and how they are now.

Law: nothing is selected by omission; some criterion must be given.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.aws.access import MARK_KEY, Access, access_of, belonging
from chaosrun.providers.aws.client import Aws, until
from chaosrun.targeting import Pick, Target

GROUP_TAG = "aws:autoscaling:groupName"
ENDED = ("shutting-down", "terminated")
_A_FILTER, _A_PAGE = 200, 1000  # values that one filter takes; results that one page has


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One instance as EC2 describes it; `interfaces` maps each to its security groups."""

    id: str
    state: str
    name: str
    zone: str
    vpc: str
    group: str
    tags: dict[str, str]
    account: str
    root: str
    lifecycle: str
    mark: str
    interfaces: dict[str, list[str]]

    def target(self, undo: Any = None) -> Target:
        groups = belonging(Access(account=self.account), workload=self.group, group=self.group)
        return Target(
            kind="ec2-instance", id=self.id, name=self.name, domain=self.zone, undo=undo,
            labels=self.tags, groups=groups,
        )  # fmt: skip


class Instances(Access, frozen=True, kw_only=True):
    """Running EC2 instances: all that meet every criterion given, and of them the picked ones."""

    ids: Annotated[tuple[str, ...], Meta(description="Instance ids")] = ()
    tags: Annotated[dict[str, str], Meta(description="Tags and their values")] = {}
    group: Annotated[str, Meta(description="The name of an Auto Scaling group")] = ""
    filters: Annotated[
        dict[str, list[str]], Meta(description="Filters of EC2's DescribeInstances")
    ] = {}
    vpc: Annotated[str, Meta(description="The id of a VPC")] = ""
    subnet: Annotated[str, Meta(description="The id of a subnet")] = ""
    zone: Annotated[str, Meta(description="The name of an availability zone")] = ""
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.ids or self.criteria()):
            raise ValueError("say which: ids, tags, group, filters, vpc, subnet or zone")

    def criteria(self) -> list[dict[str, Any]]:
        """All but `ids`, as EC2's filters."""
        wanted = {f"tag:{key}": [value] for key, value in self.tags.items()} | self.filters
        for name, value in (
            (f"tag:{GROUP_TAG}", self.group),
            ("vpc-id", self.vpc),
            ("subnet-id", self.subnet),
            ("availability-zone", self.zone),
        ):
            if value:
                wanted[name] = [value]
        return [{"Name": name, "Values": values} for name, values in sorted(wanted.items())]

    def running(self, client: Aws, access: Access) -> list[Instance]:
        """Those that run, by id. Raises Refused when one that is named does not exist."""
        found = look(client, access, self.ids, self.criteria())
        if missing := sorted(set(self.ids) - {each.id for each in found}):
            raise Refused(f"{', '.join(missing)}: not in {access.region} as selected")
        return [each for each in found if each.state == "running"]


def look(
    client: Aws, access: Access, ids: Sequence[str] = (), filters: Iterable[Any] = ()
) -> list[Instance]:
    """Instances as they are now, by id. Those that EC2 has forgotten are left out."""
    found: list[Instance] = []
    rest = list(filters)
    for start in range(0, len(ids) or 1, _A_FILTER):
        some = list(ids[start : start + _A_FILTER])
        asked = [*rest, {"Name": "instance-id", "Values": some}] if some else rest
        for reservation in client.pages(
            access, "ec2", "describe_instances", "Reservations",
            Filters=asked, PaginationConfig={"PageSize": _A_PAGE},
        ):  # fmt: skip
            found += [_instance(one, access.account) for one in reservation["Instances"]]
    return sorted(found, key=lambda each: each.id)


def held(hold: Hold, client: Aws) -> list[Instance]:
    """The hold's targets as they are now."""
    return look(client, access_of(hold), ids_of(hold))


def ids_of(hold: Hold) -> list[str]:
    return [target.id for target in hold.targets]


def await_state(hold: Hold, client: Aws, ids: Sequence[str], *states: str) -> None:
    """Wait until each of them is in one of these states, or has ended."""
    if not ids:
        return
    access = access_of(hold)

    def there() -> bool:
        return all(each.state in (*states, *ENDED) for each in look(client, access, ids))

    until(there, f"{', '.join(ids)} should be {' or '.join(states)}")


def in_words(hold: Hold, now: Iterable[Instance]) -> str:
    """The state of each target: `web-1 is stopped; web-2 is gone`."""
    states = {each.id: each.state for each in now}
    return "; ".join(
        f"{target.label} is {states.get(target.id, 'gone')}" for target in hold.targets
    )


def _instance(written: dict[str, Any], account: str) -> Instance:
    tags = {tag["Key"]: tag["Value"] for tag in written.get("Tags", ())}
    return Instance(
        id=written["InstanceId"],
        state=written["State"]["Name"],
        name=tags.get("Name", ""),
        zone=written.get("Placement", {}).get("AvailabilityZone", ""),
        vpc=written.get("VpcId", ""),
        group=tags.get(GROUP_TAG, ""),
        tags={key: value for key, value in tags.items() if key != MARK_KEY},
        account=account,
        root=written.get("RootDeviceType", ""),
        lifecycle=written.get("InstanceLifecycle", ""),
        mark=tags.get(MARK_KEY, ""),
        interfaces={
            one["NetworkInterfaceId"]: sorted(group["GroupId"] for group in one["Groups"])
            for one in written.get("NetworkInterfaces", ())
        },
    )
