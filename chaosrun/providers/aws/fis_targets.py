"""What a template's targets come to, chosen before FIS would choose (law L8).

Law: what runs is what the plan showed. A target is written anew with the ARNs that were picked;
where that cannot be done, it is said, and somebody must have agreed that FIS chooses.
"""

from __future__ import annotations

import random
import re
from typing import Any

import msgspec
from msgspec.structs import replace

from chaosrun.errors import Refused
from chaosrun.providers.aws.access import Access, belonging, labels_of
from chaosrun.providers.aws.client import Aws
from chaosrun.providers.aws.fis_template import FisTarget, Template
from chaosrun.providers.aws.instances import look
from chaosrun.targeting import Pick, Target, pick, populations

_INSTANCES = ("aws:ec2:instance", "aws:ec2:spot-instance")
_BY_TAG = {
    "aws:dynamodb:global-table": "dynamodb:table",
    "aws:ec2:ebs-volume": "ec2:volume",
    "aws:ec2:subnet": "ec2:subnet",
    "aws:ecs:cluster": "ecs:cluster",
    "aws:ecs:task": "ecs:task",
    "aws:eks:nodegroup": "eks:nodegroup",
    "aws:lambda:function": "lambda:function",
    "aws:rds:cluster": "rds:cluster",
    "aws:rds:db": "rds:db",
    "aws:s3:bucket": "s3",
}
_KINDS = {
    "aws:dynamodb:global-table": "dynamodb-table",
    "aws:lambda:function": "lambda",
    "aws:rds:cluster": "rds-cluster",
}
_PATHS = {
    "Placement.AvailabilityZone": "availability-zone",
    "State.Name": "instance-state-name",
    "SubnetId": "subnet-id",
    "VpcId": "vpc-id",
}
_MODE = re.compile(r"(ALL|COUNT|PERCENT)(?:\(([0-9.]+)\))?")


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A template with its targets chosen; `left` names those that are left to FIS, and why."""

    template: Template
    targets: tuple[Target, ...]
    population: int
    populations: dict[str, int]
    left: tuple[str, ...]


def choose(client: Aws, access: Access, template: Template, rng: random.Random) -> Chosen:
    """Pick as FIS would, but now. Reads only."""
    targets: dict[str, FisTarget] = {}
    picked: dict[str, Target] = {}
    every: dict[str, Target] = {}
    left: list[str] = []
    for name, wanted in sorted(template.targets.items()):
        found, why = _found(client, access, wanted)
        if why:
            left.append(f"{name} ({why})")
            targets[name] = wanted
            continue
        try:
            chosen = pick(list(found.values()), _how(wanted.selection_mode), rng)
        except Refused as error:
            raise Refused(f"FIS target {name}: {error}", hint=error.hint) from None
        arns = {target.key: arn for arn, target in found.items()}
        every |= {target.key: target for target in found.values()}
        picked |= {target.key: target for target in chosen}
        targets[name] = replace(
            wanted,
            resource_arns=tuple(arns[target.key] for target in chosen),
            resource_tags={},
            filters=(),
            selection_mode="ALL",
        )
    return Chosen(
        template=replace(template, targets=targets),
        targets=tuple(picked[key] for key in sorted(picked)),
        population=len(every),
        populations=populations(every.values()),
        left=tuple(left),
    )


def only_fis(wanted: FisTarget) -> str:
    """Why only FIS can choose these; empty when they can be chosen before."""
    if wanted.resource_arns and not wanted.filters:
        return ""
    if wanted.parameters:
        return "its parameters are for FIS to read"
    known = _PATHS.keys() if wanted.resource_type in _INSTANCES else set()
    if strange := {one.path for one in wanted.filters} - known:
        return f"filter {', '.join(sorted(strange))}"
    if wanted.resource_type in (*_INSTANCES, *_BY_TAG):
        return ""
    return f"{wanted.resource_type} is not found by tags"


def _found(client: Aws, access: Access, wanted: FisTarget) -> tuple[dict[str, Target], str]:
    """The population by ARN; or why only FIS can tell."""
    kind = wanted.resource_type
    if why := only_fis(wanted):
        return {}, why
    if wanted.resource_arns and not wanted.filters:
        known = _instances(client, access, wanted) if kind in _INSTANCES else {}
        return {arn: known.get(arn, _target(access, kind, arn)) for arn in wanted.resource_arns}, ""
    if kind in _INSTANCES:
        return _instances(client, access, wanted), ""
    listed = client.pages(
        access, "resourcegroupstaggingapi", "get_resources", "ResourceTagMappingList",
        TagFilters=[{"Key": k, "Values": [v]} for k, v in sorted(wanted.resource_tags.items())],
        ResourceTypeFilters=[_BY_TAG[kind]],
    )  # fmt: skip
    return {
        one["ResourceARN"]: _target(access, kind, one["ResourceARN"], labels_of(one["Tags"]))
        for one in listed
    }, ""


def _instances(client: Aws, access: Access, wanted: FisTarget) -> dict[str, Target]:
    filters: list[dict[str, Any]] = [
        {"Name": f"tag:{key}", "Values": [value]}
        for key, value in sorted(wanted.resource_tags.items())
    ]
    filters += [{"Name": _PATHS[f.path], "Values": list(f.values)} for f in wanted.filters]
    ids = tuple(arn.rpartition("/")[2] for arn in wanted.resource_arns)
    spot = wanted.resource_type == "aws:ec2:spot-instance"
    return {
        f"arn:aws:ec2:{access.region}:{access.account}:instance/{one.id}": one.target()
        for one in look(client, access, ids, filters)
        if one.state == "running" and (one.lifecycle == "spot" or not spot)
    }


def _target(access: Access, kind: str, arn: str, labels: dict[str, str] | None = None) -> Target:
    """The same key as other faults give it, so that no two act on it at once.

    What it belongs to is said where it is sure: what is not said, policies do not take for none.
    """
    if kind in _INSTANCES:
        return Target(kind="ec2-instance", id=arn.rpartition("/")[2])
    name = re.split(r"[:/]", arn)[-1]
    alone = kind in _KINDS
    groups = belonging(access, zone="") if alone else {"account": access.account, "namespace": ""}
    return Target(
        kind=_KINDS.get(kind, "aws-resource"), id=arn, name=name, labels=labels, groups=groups
    )


def _how(mode: str) -> Pick:
    found = _MODE.fullmatch(mode)
    assert found is not None, mode
    match found[1]:
        case "COUNT":
            return Pick.parse(int(float(found[2])))
        case "PERCENT":
            return Pick.parse(f"{found[2]}%")
    return Pick("all")
