"""What a gateway's status of a policy means, as a real one writes it; no cluster is needed."""

from __future__ import annotations

import re
from typing import Any

import pytest

from chaosrun.providers.kubernetes import gateway_policies as policies
from chaosrun.providers.kubernetes.kinds import BACKEND_POLICY, Object, Ref

POLICY = Ref(BACKEND_POLICY, "own", "shop")
ROUTE = Ref(policies.TARGETS["HTTPRoute"], "checkout", "shop")
GATEWAY = Ref(policies.TARGETS["Gateway"], "edge", "shop")


def condition(kind: str, status: str, generation: int, message: str = "", **more: str) -> Object:
    found = {"type": kind, "status": status, "observedGeneration": generation, "message": message}
    return {**found, "reason": kind, **more}


def policy(generation: int, *conditions: Object, **spec: Any) -> Object:
    """A policy of that generation, and what one gateway says of it, if anything."""
    reference = {"kind": "Gateway", "namespace": "shop", "name": "edge", "sectionName": "http"}
    told = {"ancestorRef": reference, "controllerName": "c", "conditions": list(conditions)}
    return {
        "metadata": {
            "name": "own",
            "generation": generation,
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": spec,
        **({"status": {"ancestors": [told]}} if conditions else {}),
    }


@pytest.mark.parametrize(
    ("found", "seen", "said"),
    [
        (policy(1), False, "no gateway has read BackendTrafficPolicy shop/own: it has no status"),
        (policy(2, condition("Accepted", "True", 1)), False, "has read .* since it was changed"),
        (policy(2, condition("Accepted", "True", 2)), True, "Gateway shop/edge accepts it"),
        (
            policy(1, condition("Accepted", "False", 1, "another", reason="Conflicted")),
            False,
            "Gateway shop/edge does not accept it: Conflicted: another",
        ),
        (
            policy(
                1,
                condition("Accepted", "True", 1),
                condition("Overridden", "True", 1, "overridden for these routes: [shop/a]"),
            ),
            True,
            r"accepts it; overridden for these routes: \[shop/a\]",
        ),
    ],
    ids=["no status", "an older one", "accepted", "conflicted", "overridden"],
)
def test_only_what_is_accepted_as_it_is_now_acts(found: Object, seen: bool, said: str) -> None:
    told = policies.accepted(found, POLICY)
    assert told.seen is seen
    assert re.search(said, told.detail), told.detail


def test_a_part_that_is_not_accepted_is_not_all_of_it() -> None:
    """What cannot be merged is told of a listener; of the gateway it is told that all is well."""
    found = policy(1, condition("Accepted", "True", 1))
    part = {"kind": "Gateway", "namespace": "shop", "name": "edge"}
    wrong = condition("Accepted", "False", 1, "cannot be merged", reason="Invalid")
    found["status"]["ancestors"].append({"ancestorRef": part, "conditions": [wrong]})
    assert not policies.accepted(found, POLICY).seen
    other = {**part, "name": "other"}
    found["status"]["ancestors"][1]["ancestorRef"] = other
    seen = policies.accepted(found, POLICY)
    assert seen.seen
    assert "Gateway shop/other does not accept it: Invalid: cannot be merged" in seen.detail


@pytest.mark.parametrize(
    ("read", "now", "acts", "unread"),
    [
        (5, 7, False, True),  # it has not read the fault either, as far as it says
        (6, 7, True, True),
        (7, 7, False, False),
        (3, 7, False, False),  # a gateway that reads no more since long ago
    ],
)
def test_what_was_read_with_the_fault_acts_until_it_is_read_again(
    read: int, now: int, acts: bool, unread: bool
) -> None:
    found = policy(now, condition("Accepted", "True", read))
    assert policies.behind(found, 5) is acts
    assert policies.unread(found, 5) is unread


def overridden(message: str) -> Object:
    return policy(1, condition("Accepted", "True", 1), condition("Overridden", "True", 1, message))


@pytest.mark.parametrize(
    ("message", "left"),
    [
        ("for these routes: [shop/a shop/b]", True),
        ("for these routes: [shop/a shop/b shop/c]", False),
        ("for these listenersets: [shop/x] and these routes: [shop/a shop/b shop/c]", False),
    ],
)
def test_a_gateway_is_reached_while_a_route_is_left(message: str, left: bool) -> None:
    gateway = {"status": {"listeners": [{"attachedRoutes": 3}, {"attachedRoutes": 1}]}}
    assert policies.reaches(overridden(message), GATEWAY, gateway) is left
    assert policies.reaches(policy(1), GATEWAY, gateway)
    assert not policies.reaches(policy(1), GATEWAY, {})


def test_a_route_is_reached_while_a_rule_is_left() -> None:
    route = {"spec": {"rules": [{"name": "a"}, {"name": "b"}]}}
    assert policies.reaches(overridden("for these route rules: [a]"), ROUTE, route)
    assert not policies.reaches(overridden("for these route rules: [a b]"), ROUTE, route)


def test_the_oldest_policy_for_all_of_the_route_counts() -> None:
    own = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "checkout"}
    old = policy(1, targetRefs=[own])
    new = policy(1, targetRef=own)
    new["metadata"] = {**new["metadata"], "creationTimestamp": "2026-01-02T00:00:00Z"}
    part = policy(1, targetRefs=[{**own, "sectionName": "rule"}])
    other = policy(1, targetRefs=[{**own, "kind": "GRPCRoute"}])
    chosen = policy(1, targetSelectors=[{"kind": "HTTPRoute", "matchLabels": {"app": "x"}}])
    route = {"metadata": {"labels": {"app": "y"}}}
    every = [new, part, other, chosen, old]
    assert policies.concerning(every, ROUTE, route) == [old, new]
    assert policies.concerning([chosen], ROUTE, {"metadata": {"labels": {"app": "x"}}}) == [chosen]
    assert policies.others(old, ROUTE) == []
    assert policies.others(part, ROUTE) == ["HTTPRoute checkout"]
    assert policies.others(chosen, ROUTE) == ["what it selects by labels"]
