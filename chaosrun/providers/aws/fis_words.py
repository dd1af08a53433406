"""Words that FIS and chaosrun share: targets, durations and picks, in both directions. Pure."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from chaosrun.providers.aws.fis_template import Filter, FisTarget, in_seconds
from chaosrun.units import JSON, Duration

INSTANCE = "aws:ec2:instance"
CPU_STRESS = "AWSFIS-Run-CPU-Stress"
_RUNNING = Filter(path="State.Name", values=("running",))
_PATHS = {"VpcId": "vpc", "SubnetId": "subnet", "Placement.AvailabilityZone": "zone"}


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Something that does not map, or not exactly: where it stands, and what becomes of it."""

    where: str
    said: str


def hold_of(written: str) -> str:
    """chaosrun's words for a duration of FIS: PT5M is 5m."""
    return str(Duration(in_seconds(written)))


def fis_duration(seconds: float) -> str:
    """FIS' words for a duration; it counts in whole minutes."""
    return f"PT{max(1, -int(-seconds // 60))}M"


def pick_of(mode: str) -> JSON:
    """chaosrun's words for ALL, COUNT(2) and PERCENT(30)."""
    kind, _, number = mode.rstrip(")").partition("(")
    return {"ALL": "all", "COUNT": int(number or 0)}.get(kind, f"{number}%")


def mode_of(pick: JSON) -> str:
    """FIS' words for a pick; empty for what it has none for."""
    if pick == "all":
        return "ALL"
    text = "1" if pick == "one" else str(pick)
    if text.endswith("%"):
        return f"PERCENT({text[:-1]})"
    return f"COUNT({text})" if text.isdigit() else ""


def instances_of(target: FisTarget) -> dict[str, JSON] | None:
    """A step's target for instances that FIS selects; None when only FIS can select them."""
    if target.resource_type != INSTANCE or target.parameters:
        return None
    found: dict[str, JSON] = {}
    for one in target.filters:
        if one == _RUNNING:
            continue  # chaosrun picks running ones anyway
        if one.path not in _PATHS or len(one.values) != 1:
            return None
        found[_PATHS[one.path]] = one.values[0]
    if target.resource_arns:
        found["ids"] = [arn.rpartition("/")[2] for arn in target.resource_arns]
    if target.resource_tags:
        found["tags"] = dict(target.resource_tags)
    return {**found, "pick": pick_of(target.selection_mode)} if found else None


def fis_instances(target: dict[str, Any], arns: list[str]) -> tuple[FisTarget | None, str]:
    """FIS' words for a step's target of instances; or None, and what it has none for."""
    known = {"ids", "tags", "pick", "region", "account", *_PATHS.values()}
    if strange := sorted(set(target) - known):
        return None, f"FIS does not select by {', '.join(strange)}"
    mode = mode_of(target.get("pick", "one"))
    if not mode:
        return None, f"FIS has no words for the pick {target.get('pick')}"
    chosen = [
        Filter(path=path, values=(str(target[name]),))
        for path, name in _PATHS.items()
        if name in target
    ]
    return FisTarget(
        resource_type=INSTANCE,
        resource_arns=tuple(arns),
        resource_tags={} if arns else dict(target.get("tags", {})),
        filters=() if arns else (*chosen, _RUNNING),
        selection_mode=mode,
    ), ""


def slug(text: str) -> str:
    """A name as chaosrun wants it."""
    found = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    return found[:60].rstrip("-") or "from-fis"
