"""What a Job may lose, by the rules that Kubernetes has for it, and how many pods it wants.

Law (L1): what may count as a failure that nothing would undo counts as one.
"""

from __future__ import annotations

import math
from typing import Any

import pytest

from chaosrun.providers.kubernetes.jobs import may_lose, may_lose_index, wants


def rule(action: str, **pattern: Any) -> Any:
    return {"action": action, **pattern}


def by_code(action: str, operator: str, *codes: int) -> Any:
    return rule(action, onExitCodes={"operator": operator, "values": list(codes)})


def by_disruption(action: str) -> Any:
    return rule(action, onPodConditions=[{"type": "DisruptionTarget", "status": "True"}])


@pytest.mark.parametrize(
    ("rules", "evicted", "deleted"),
    [
        ([], 2, 2),
        ([by_code("FailJob", "In", 42)], 2, 2),
        ([by_code("FailJob", "In", 42, 137)], 0, 0),
        ([by_code("FailIndex", "NotIn", 1, 2)], 0, 0),
        ([by_code("FailJob", "NotIn", 137, 143)], 2, 2),
        ([by_code("Ignore", "In", 137, 143)], 2, 2),  # it may end with another code
        ([by_disruption("Ignore")], math.inf, 2),
        ([by_disruption("FailJob")], 0, 2),
        ([by_disruption("Count"), by_disruption("Ignore")], 2, 2),
        ([by_code("FailJob", "In", 42), by_disruption("Ignore")], math.inf, 2),
        ([by_code("FailJob", "In", 143), by_disruption("Ignore")], 0, 0),
        ([by_code("Count", "In", 143), by_disruption("Ignore")], 2, 2),
        ([rule("FailJob", onPodConditions=[{"type": "ConfigIssue", "status": "True"}])], 2, 2),
    ],
)
def test_the_first_rule_that_may_match_says_what_a_lost_pod_means(
    rules: list[Any], evicted: float, deleted: float
) -> None:
    job = {"spec": {"completions": 1, "backoffLimit": 3, "podFailurePolicy": {"rules": rules}},
           "status": {"failed": 1}}  # fmt: skip
    assert may_lose(job, disrupting=True) == evicted
    assert may_lose(job, disrupting=False) == deleted


def test_without_rules_it_is_the_backoff_limit() -> None:
    assert may_lose({"spec": {"completions": 1}}, disrupting=True) == 6
    assert may_lose({"spec": {"completions": 1, "backoffLimit": 0}}, disrupting=True) == 0


def test_a_work_queue_that_has_begun_to_end_may_lose_none() -> None:
    queue = {"spec": {"parallelism": 3, "backoffLimit": 6}, "status": {}}
    assert may_lose(queue, disrupting=True) == 6
    assert wants(queue) == 3
    ending = {**queue, "status": {"succeeded": 1, "ready": 2}}
    assert may_lose(ending, disrupting=True) == 0
    assert wants(ending) == 0


def test_an_index_may_have_a_limit_of_its_own() -> None:
    job: Any = {"spec": {"completions": 3, "backoffLimitPerIndex": 1}}
    failed = {"batch.kubernetes.io/job-index-failure-count": "1"}
    assert may_lose_index(job, {}, disrupting=True)
    assert not may_lose_index(job, failed, disrupting=True)
    job["spec"]["podFailurePolicy"] = {"rules": [by_disruption("Ignore")]}
    assert may_lose_index(job, failed, disrupting=True)
    assert not may_lose_index(job, failed, disrupting=False)
    assert may_lose_index({"spec": {"completions": 3}}, failed, disrupting=True)


@pytest.mark.parametrize(
    ("spec", "status", "wanted"),
    [
        ({"completions": 5, "parallelism": 2}, {}, 2),
        ({"completions": 5, "parallelism": 2}, {"succeeded": 4}, 1),
        ({"completions": 5, "parallelism": 2, "suspend": True}, {}, 0),
        ({"completions": 5}, {"conditions": [{"type": "Complete", "status": "True"}]}, 0),
        (
            {"completions": 1},
            {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]},
            0,
        ),
        (
            {"completions": 1},
            {"conditions": [
                {"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}
            ]},
            1,
        ),
    ],
)  # fmt: skip
def test_one_that_is_over_by_itself_wants_nothing_and_one_that_failed_of_its_pods_does(
    spec: Any, status: Any, wanted: int
) -> None:
    assert wants({"spec": spec, "status": status}) == wanted
