"""Jobs: how many pods one may lose before it fails for good, and how many it wants. Pure.

Law (L1): nothing starts a failed Job again, so what may count as its failure counts. The rules
are those of Kubernetes' documentation of Jobs: `backoffLimit`, `podFailurePolicy`, of which the
first rule that matches decides, `backoffLimitPerIndex`, and work queues, which have no
`completions`.
"""

from __future__ import annotations

import math

from chaosrun.providers.kubernetes.kinds import Object

_BY_SIGNAL = (137, 143)
"""The exit codes of a program that SIGKILL or SIGTERM ended: how a pod that is ended may end."""
_FATAL = ("FailJob", "FailIndex")
_OWN_END = ("DeadlineExceeded",)
"""Why a Job may fail whatever becomes of its pods."""
_INDEX_FAILED = "batch.kubernetes.io/job-index-failure-count"


def may_lose(job: Object, *, disrupting: bool) -> float:
    """How many pods it may lose. `disrupting`: they are evicted, by a call or by a taint.

    Such a pod gets the condition DisruptionTarget; one that is deleted does not.
    """
    spec, status = job["spec"], job.get("status") or {}
    done = int(status.get("succeeded", 0))
    if spec.get("completions") is None and done:
        return 0  # a work queue that has begun to end starts no new pods
    match _action(spec.get("podFailurePolicy") or {}, disrupting=disrupting):
        case "Ignore":
            return math.inf
        case "Count":
            return max(0, int(spec.get("backoffLimit", 6)) - int(status.get("failed", 0)))
    return 0


def may_lose_index(job: Object, annotations: dict[str, str], *, disrupting: bool) -> bool:
    """Whether the index of a pod with these annotations may lose it."""
    spec = job["spec"]
    if "backoffLimitPerIndex" not in spec:
        return True
    policy = spec.get("podFailurePolicy") or {}
    failed = int(annotations.get(_INDEX_FAILED) or 0)
    return (
        failed < int(spec["backoffLimitPerIndex"])
        or _action(policy, disrupting=disrupting) == "Ignore"
    )


def wants(job: Object) -> int:
    """How many pods should run now: none once it is over by itself, or suspended.

    One that failed of its pods wants those that it has lost.
    """
    spec, status = job.get("spec") or {}, job.get("status") or {}
    if spec.get("suspend") or _over(status):
        return 0
    most, done = int(spec.get("parallelism", 1)), int(status.get("succeeded", 0))
    if spec.get("completions") is None:
        return 0 if done else most
    return max(0, min(most, int(spec["completions"]) - done))


def _over(status: Object) -> bool:
    return any(
        one["status"] == "True"
        and (
            one["type"] in ("Complete", "SuccessCriteriaMet")
            or (one["type"] == "Failed" and one.get("reason") in _OWN_END)
        )
        for one in status.get("conditions") or ()
    )


def _action(policy: Object, *, disrupting: bool) -> str:
    """What becomes of a pod that is ended; the worst of what its exit code may lead to."""
    counts = False
    for rule in policy.get("rules") or ():
        action = rule["action"]
        conditions = rule.get("onPodConditions") or ()
        if disrupting and any(
            one["type"] == "DisruptionTarget" and one.get("status", "True") == "True"
            for one in conditions
        ):
            return "Count" if counts and action == "Ignore" else str(action)
        codes = rule.get("onExitCodes")
        if codes and any(
            (code in codes["values"]) is (codes["operator"] == "In") for code in _BY_SIGNAL
        ):
            if action in _FATAL:
                return str(action)
            counts = counts or action == "Count"
    return "Count"
