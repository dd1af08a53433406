"""What Envoy Gateway makes of a policy: whose it is, and which gateways have read it.

Law (L2, L6): a policy acts once a gateway has accepted it as it is now, and no longer once every
gateway that had read it has read it again. The object alone shows neither: a gateway passes over
what it does not know, and Envoy goes on with what it was told last.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from chaosrun.fault import Evidence
from chaosrun.providers.kubernetes.kinds import Kind, Object, Ref, labels_of

GROUP = "gateway.networking.k8s.io"
TARGETS = {
    "HTTPRoute": Kind(f"{GROUP}/v1", "HTTPRoute", "httproutes"),
    "GRPCRoute": Kind(f"{GROUP}/v1", "GRPCRoute", "grpcroutes"),
    "Gateway": Kind(f"{GROUP}/v1", "Gateway", "gateways"),
}
"""What a policy may be for."""


class Reading(msgspec.Struct, frozen=True):
    """What one gateway says of a policy, or of a part of it, and of which generation."""

    gateway: str
    generation: int
    accepted: bool
    said: str


def readings(policy: Object) -> tuple[Reading, ...]:
    """Whether each gateway that has read it has accepted it."""
    return tuple(
        _reading(ancestor, one)
        for ancestor, one in _conditions(policy)
        if one["type"] == "Accepted"
    )


def accepted(policy: Object, ref: Ref) -> Evidence:
    """Whether a gateway has accepted all of the policy as it is now; else why not."""
    told, now = readings(policy), _generation(policy)
    if not told:
        return Evidence(False, f"no gateway has read {ref.label}: it has no status")
    fresh = [one for one in told if one.generation == now]
    if not fresh:
        return Evidence(False, f"no gateway has read {ref.label} since it was changed")
    yes = {one.gateway for one in fresh} - {one.gateway for one in fresh if not one.accepted}
    notes = [
        str(one["message"])
        for _, one in _conditions(policy)
        if one["type"] in ("Merged", "Overridden") and one["status"] == "True"
    ]
    said = "; ".join(dict.fromkeys([*(one.said for one in fresh), *notes]))
    return Evidence(bool(yes), f"{ref.label}: {said}")


def reaches(policy: Object, target: Ref, found: Object) -> bool:
    """Whether something of the target is left that no other policy overrides, as far as it is told.

    What may be overridden as a whole, though it cannot be told for sure, counts as not reached.
    """
    if target.kind.kind == "Gateway":
        listeners = (found.get("status") or {}).get("listeners") or ()
        there = max((one.get("attachedRoutes", 0) for one in listeners), default=0)
        return there > len(_overriding(policy, "these routes"))
    return max(1, len(found["spec"].get("rules") or ())) > len(
        _overriding(policy, "these route rules")
    )


def behind(policy: Object, since: int) -> bool:
    """Whether a gateway may still do what the policy said after its generation `since`."""
    return any(since < one.generation < _generation(policy) for one in readings(policy))


def unread(policy: Object, since: int) -> bool:
    """Whether a gateway that had read its generation `since` has not read it as it is now."""
    return any(since <= one.generation < _generation(policy) for one in readings(policy))


def concerning(policies: list[Object], target: Ref, found: Object) -> list[Object]:
    """The policies that are for all of a route or gateway; only the first of them counts."""
    return sorted(
        (one for one in policies if _names(one, target) or _selects(one, target, found)),
        key=lambda one: (one["metadata"]["creationTimestamp"], one["metadata"]["name"]),
    )


def others(policy: Object, target: Ref) -> list[str]:
    """What else a policy is for, in words."""
    found = [
        f"{one.get('kind')} {one.get('name')}"
        for one in _references(policy)
        if not _is(one, target)
    ]
    return found + ["what it selects by labels"] * bool(policy["spec"].get("targetSelectors"))


def _conditions(policy: Object) -> Iterator[tuple[Object, Object]]:
    """Each condition, and of which gateway or part of one it is told."""
    for ancestor in (policy.get("status") or {}).get("ancestors") or ():
        for one in ancestor.get("conditions") or ():
            yield ancestor["ancestorRef"], one


def _reading(ancestor: Object, condition: Object) -> Reading:
    place = "/".join(filter(None, (ancestor.get("namespace"), ancestor["name"])))
    gateway = f"{ancestor.get('kind', 'Gateway')} {place}"
    yes = condition["status"] == "True"
    said = f"{gateway} accepts it"
    if not yes:
        why = f"{condition.get('reason')}: {condition.get('message')}"
        said = f"{gateway} does not accept it: {why}"
    return Reading(gateway, int(condition.get("observedGeneration", 0)), yes, said)


def _overriding(policy: Object, what: str) -> set[str]:
    """The names of what overrides the policy, as the gateways write them."""
    return {
        name
        for _, one in _conditions(policy)
        if one["type"] == "Overridden" and one["status"] == "True"
        for names in re.findall(rf"{what}: \[([^]]*)\]", str(one["message"]))
        for name in names.split()
    }


def _generation(policy: Object) -> int:
    return int(policy["metadata"]["generation"])


def _references(policy: Object) -> Iterator[Any]:
    spec = policy["spec"]
    yield from spec.get("targetRefs") or ()
    if spec.get("targetRef"):
        yield spec["targetRef"]


def _is(reference: Any, target: Ref) -> bool:
    """Whether it means all of the target: a part of it, a rule or a listener, goes by itself."""
    meant = (reference.get("kind"), reference.get("name"), reference.get("sectionName"))
    return meant == (target.kind.kind, target.name, None)


def _names(policy: Object, target: Ref) -> bool:
    return any(_is(one, target) for one in _references(policy))


def _selects(policy: Object, target: Ref, found: Object) -> bool:
    """Whether it may select it; what else a selector asks for is taken to be so."""
    labels = labels_of(found).items()
    return any(
        one.get("kind") == target.kind.kind and (one.get("matchLabels") or {}).items() <= labels
        for one in policy["spec"].get("targetSelectors") or ()
    )
