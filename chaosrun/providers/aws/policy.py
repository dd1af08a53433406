"""The smallest IAM policy that the parts of an experiment need. Pure.

Law: an action is given for everything only where IAM knows no resource for it, or the experiment
does not say which.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from chaosrun.errors import Rejected
from chaosrun.network import has_reference
from chaosrun.rights import Need
from chaosrun.units import JSON

_FUNCTION = "arn:aws:lambda:{region}:{account}:function:{function}"
_TABLE = "arn:aws:dynamodb:{region}:{account}:table/{table}"
_GROUP = "arn:aws:autoscaling:{region}:{account}:autoScalingGroup:*:autoScalingGroupName/{group}"
_INSTANCE = "arn:aws:ec2:{region}:{account}:instance/{ids}"
_TARGET_GROUP = "arn:aws:elasticloadbalancing:{region}:{account}:targetgroup/{targetGroup}/*"
_FIS = "arn:aws:fis:{region}:{account}:"
_RESOURCES: tuple[tuple[str, tuple[str, ...]], ...] = (  # the first that matches
    ("sts:*", ("*",)),
    ("lambda:ListEventSourceMappings", ("*",)),
    ("lambda:*EventSourceMapping", ("arn:aws:lambda:{region}:{account}:event-source-mapping:*",)),
    ("lambda:*", (_FUNCTION,)),
    ("dynamodb:*", (_TABLE,)),
    ("autoscaling:Describe*", ("*",)),
    ("autoscaling:*", (_GROUP,)),
    ("ec2:Describe*", ("*",)),
    ("ec2:*Instances", (_INSTANCE,)),
    ("ec2:*", ("arn:aws:ec2:{region}:{account}:*/*",)),
    ("elasticloadbalancing:Describe*", ("*",)),
    ("elasticloadbalancing:*", (_TARGET_GROUP,)),
    ("fis:List*", ("*",)),
    ("fis:GetSafetyLever", (_FIS + "safety-lever/*",)),
    ("fis:*Template", (_FIS + "experiment-template/*", _FIS + "action/*")),
    ("fis:*", (_FIS + "experiment/*", _FIS + "experiment-template/*", _FIS + "action/*")),
    ("iam:PassRole", ("{role}",)),
    ("iam:GetRole", ("arn:aws:iam::{account}:role/*",)),
    ("rds:*DBCluster*", ("arn:aws:rds:{region}:{account}:cluster:{cluster}",)),
    ("scheduler:*", ("arn:aws:scheduler:{region}:{account}:schedule/default/*",)),
    ("ssm:SendCommand", (_INSTANCE, "arn:aws:ssm:{region}::document/AWS-RunShellScript")),
)


def document(needs: Iterable[Need], name: str, subject: str) -> str:  # noqa: ARG001
    """The policy as JSON, as `aws iam create-policy` takes it. Raises Rejected for a subject."""
    if subject:
        raise Rejected(
            "an IAM policy says nothing of whom it grants: --subject is for others",
            hint="attach it: aws iam put-role-policy --role-name ROLE --policy-document file://...",
        )
    by_action: dict[str, set[str]] = {}
    for need in needs:
        found = by_action.setdefault(need.permission.action, set())
        found.update(_resources(need))
        if role := _text(place_of(need.arguments).get("role")):
            by_action.setdefault("sts:AssumeRole", set()).add(role)
    actions: dict[tuple[str, ...], list[str]] = {}
    for action, resources in sorted(by_action.items()):
        least = ("*",) if "*" in resources else tuple(sorted(resources))
        actions.setdefault(least, []).append(action)
    statements = [
        {"Effect": "Allow", "Action": allowed, "Resource": _one_or_all(resources)}
        for resources, allowed in sorted(actions.items())
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, indent=2)


def _resources(need: Need) -> list[str]:
    """The ARNs that the action needs here."""
    action = need.permission.action
    patterns = next((arns for known, arns in _RESOURCES if fnmatchcase(action, known)), ("*",))
    written = need.arguments
    place = place_of(written)
    words: dict[str, list[str]] = {
        name: [_text(place.get(name)) or "*"] for name in ("region", "account")
    }
    for name in ("function", "table", "cluster", "targetGroup", "group"):
        words[name] = [_text(place.get(name) or written.get(name)) or "*"]
    words["ids"] = [_text(one) or "*" for one in place.get("ids") or ("*",)]
    inline = written.get("inline")
    role = inline.get("roleArn") if isinstance(inline, dict) else written.get("restartRole")
    words["role"] = [_text(role) or f"arn:aws:iam::{words['account'][0]}:role/*"]
    return [arn for pattern in patterns for arn in _filled(pattern, words)]


def _filled(pattern: str, words: dict[str, list[str]]) -> list[str]:
    """The pattern with each of the words that it has; a word that is an ARN stands for all."""
    filled = [pattern]
    for name, values in words.items():
        if f"{{{name}}}" in pattern:
            filled = [
                value if value.startswith("arn:") else one.replace(f"{{{name}}}", value)
                for one in filled
                for value in values
            ]
    return filled


def place_of(written: Mapping[str, JSON]) -> Mapping[str, JSON]:
    """Where account and Region are written: in a fault's target, else among the arguments."""
    target = written.get("target")
    return target if isinstance(target, dict) else written


def _text(value: Any) -> str:
    """What is known of it: nothing, if it is a secret or not there."""
    return value if isinstance(value, str) and not has_reference(value) else ""


def _one_or_all(found: tuple[str, ...]) -> str | list[str]:
    return found[0] if len(found) == 1 else list(found)
