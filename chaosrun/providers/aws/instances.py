"""EC2 instances: which ones a person means, and how they are now.

Law: nothing is selected by omission; some criterion must be given.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.aws.access import (
    MARK_KEY,
    OURS,
    Access,
    access_of,
    belonging,
    labels_of,
)  # fmt: skip
from chaosrun.providers.aws.client import Aws, until
from chaosrun.providers.aws.picking import Per, picked
from chaosrun.targeting import Pick, Target, populations

GROUP_TAG = "aws:autoscaling:groupName"
ENDED = ("shutting-down", "terminated")
_A_FILTER, _A_PAGE = 200, 1000  # values that one filter takes; results that one page has


class Instance(msgspec.Struct, frozen=True, kw_only=True):
    """One instance as EC2 describes it; `interfaces` maps each to its security groups,
    and `marks` are the tags that are ours."""

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
    marks: dict[str, str]
    interfaces: dict[str, list[str]]

    @property
    def mark(self) -> str:
        return self.marks.get(MARK_KEY, "")

    def target(self, undo: Any = None) -> Target:
        groups = belonging(Access(account=self.account), workload=self.group, group=self.group)
        return Target(
            kind="ec2-instance", id=self.id, name=self.name, domain=self.zone, undo=undo,
            labels=self.tags, groups=groups,
        )  # fmt: skip


class Instances(Access, frozen=True, kw_only=True):
    """Running EC2 instances: all that meet every criterion given, and of them the picked ones."""

    ids: Annotated[tuple[str, ...], Meta(description="Instance ids or ARNs")] = ()
    tags: Annotated[dict[str, str], Meta(description="Tags and their values")] = {}
    group: Annotated[str, Meta(description="The name or ARN of an Auto Scaling group")] = ""
    filters: Annotated[
        dict[str, list[str]], Meta(description="Filters of EC2's DescribeInstances")
    ] = {}
    vpc: Annotated[str, Meta(description="The id or ARN of a VPC")] = ""
    subnet: Annotated[str, Meta(description="The id or ARN of a subnet")] = ""
    zone: Annotated[str, Meta(description="The name of an availability zone")] = ""
    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")
    per: Per = "all"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.ids or self.tags or self.group or self.filters) and not (
            self.vpc or self.subnet or self.zone
        ):
            raise ValueError("say which: ids, tags, group, filters, vpc, subnet or zone")

    def criteria(self, access: Access) -> list[dict[str, Any]]:
        """All but `ids`, as EC2's filters."""
        wanted = {f"tag:{key}": [value] for key, value in self.tags.items()} | self.filters
        for name, value in (
            (f"tag:{GROUP_TAG}", self.group),
            ("vpc-id", self.vpc),
            ("subnet-id", self.subnet),
            ("availability-zone", self.zone),
        ):
            if value:
                wanted[name] = [access.named(value)]
        return [{"Name": name, "Values": values} for name, values in sorted(wanted.items())]

    def running(self, client: Aws, access: Access) -> list[Instance]:
        """Those that run, by id. Raises Refused when one that is named does not exist."""
        ids = [access.named(written) for written in self.ids]
        found = look(client, access, ids, self.criteria(access))
        if missing := sorted(set(ids) - {each.id for each in found}):
            raise Refused(f"{', '.join(missing)}: not in {access.region} as selected")
        return [each for each in found if each.state == "running"]

    def choose(self, client: Aws, access: Access, rng: random.Random) -> Chosen:
        """Pick among those that run. Raises Refused when they cannot give that many."""
        running = self.running(client, access)
        population = [each.target() for each in running]
        targets = picked(population, self.pick, rng, per=self.per)
        by_id = {each.id: each for each in running}
        return Chosen(
            targets=targets,
            instances=tuple(by_id[target.id] for target in targets),
            population=len(population),
            populations=populations(population),
        )


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """Running instances that were picked, as targets and as EC2 describes them."""

    targets: tuple[Target, ...]
    instances: tuple[Instance, ...]
    population: int
    populations: dict[str, int]

    @property
    def ids(self) -> list[str]:
        return [target.id for target in self.targets]

    def refuse_members(self) -> None:
        """Raise Refused when one is of an Auto Scaling group, which would replace it."""
        for target, each in zip(self.targets, self.instances, strict=True):
            if each.group:
                raise Refused(
                    f"{target.label} is of the group {each.group}, which would replace it",
                    hint="use aws.asg-terminate",
                )

    def refuse_protected(self, client: Aws, access: Access, attribute: str, said: str) -> None:
        """Raise Refused when one is protected by this attribute of EC2."""
        for target in self.targets:
            found = client.call(
                access, "ec2", "describe_instance_attribute",
                InstanceId=target.id, Attribute=attribute,
            )  # fmt: skip
            if found[attribute[0].upper() + attribute[1:]].get("Value"):
                raise Refused(f"{target.label} has {said} protection")


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


def described(client: Aws, access: Access, targets: Sequence[Target]) -> tuple[Target, ...]:
    """Targets that are EC2 instances, with the name and the labels that EC2 has for them."""
    found = {each.id: each for each in look(client, access, [target.id for target in targets])}
    return tuple(
        replace(target, name=found[target.id].name, labels=found[target.id].tags)
        if target.id in found
        else target
        for target in targets
    )


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
        tags=labels_of(written.get("Tags", ())),
        account=account,
        root=written.get("RootDeviceType", ""),
        lifecycle=written.get("InstanceLifecycle", ""),
        marks={key: value for key, value in tags.items() if key.startswith(OURS)},
        interfaces={
            one["NetworkInterfaceId"]: sorted(group["GroupId"] for group in one["Groups"])
            for one in written.get("NetworkInterfaces", ())
        },
    )
