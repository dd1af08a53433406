"""How agents are, as the API has it.

Law (L6): that one has ended with what it did, the kubelet says, or nobody.
"""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import Literal

import msgspec

from chaosrun.codec import from_json
from chaosrun.fault import Hold
from chaosrun.mechanisms.asking import Answer
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import access_of
from chaosrun.providers.kubernetes.agents import IMAGE_HINT, At, agents
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import POD, Object, uid_of
from chaosrun.providers.kubernetes.watching import Watched

Word = Literal["absent", "waiting", "running", "ended", "killed"]
_NEVER_STARTS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
                 "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
                 "StartError")  # fmt: skip
_AT_ONCE = 10.0
_TURNED_AWAY = ("NodeAffinity", "UnexpectedAdmissionError", "PodOSNotSupported",
                "TopologyAffinityError", "InvalidNodeInfo", "AdmissionError")  # fmt: skip


class State(msgspec.Struct, frozen=True):
    """How an agent is: `ended` is one that has taken back all that it did, or did nothing."""

    word: Word
    said: str = ""
    error: Answer | None = None


def watched(hold: Hold) -> list[Watched]:
    """What `Pods` looks at, for `Kubernetes.until`."""
    uids = {target.id for target in hold.targets}
    names = {each.name for at in agents(hold) for each in (at, *at.others())}

    def meant(pod: Object) -> bool:
        return uid_of(pod) in uids or pod["metadata"]["name"] in names

    return [Watched(access_of(hold), POD, place, keep=meant) for place in _places(hold)]


def _places(hold: Hold) -> list[str]:
    places = {target.name.partition("/")[0] for target in hold.targets}
    places |= {t.undo["namespace"] for t in hold.targets if t.undo["way"] == "helper"}
    return sorted(places)


class Pods:
    """The pods of a hold's targets and of its helpers, as they were when they were listed."""

    def __init__(self, hold: Hold, client: Kubernetes) -> None:
        listed = [one for place in _places(hold) for one in client.all(access_of(hold), POD, place)]
        self._by_uid = {uid_of(one): one for one in listed}
        self._by_name = {
            (one["metadata"]["namespace"], one["metadata"]["name"]): one for one in listed
        }

    def target(self, at: At) -> Object | None:
        """The pod that is harmed, unless it is gone or has ended: then its network is gone too."""
        found = self._by_uid.get(at.target.id)
        if found is None or found["status"].get("phase") in ("Succeeded", "Failed"):
            return None
        return found

    def is_marked(self, at: At, hold: Hold) -> bool:
        """Whether the pod that is harmed bears our mark, though it has ended."""
        found = self._by_uid.get(at.target.id)
        return found is not None and marks.bears(found, hold)

    def helper(self, at: At, hold: Hold) -> Object | None:
        """The helper pod."""
        if at.way != "helper":
            return None
        found = self._by_name.get((at.namespace, at.name))
        ours = found is not None and marks.by_us(found, hold, "spec")  # we alone wrote it
        return found if ours else None

    def state(self, at: At, hold: Hold) -> State:
        """How the agent is."""
        if at.way == "helper":
            pod, part = self.helper(at, hold), "containerStatuses"
        else:
            pod, part = self._by_uid.get(at.target.id), "ephemeralContainerStatuses"
        if pod is None:
            return State("absent", "it is not there")
        for one in pod["status"].get(part) or ():
            if one["name"] == at.name:
                return state_of(one.get("state") or {})
        if at.way == "helper":
            if pod["status"].get("phase") == "Failed":
                return _failed(pod)
            return State("waiting", "it is about to start")
        specified = pod["spec"].get("ephemeralContainers") or ()
        if any(one["name"] == at.name for one in specified):
            return State("waiting", "it is about to start")
        return State("absent", "it is not there")


def state_of(found: Object) -> State:
    """How a container of ours is, by its state as the API has it."""
    if "running" in found:
        return State("running")
    if ended := found.get("terminated"):
        message = str(ended.get("message", "")).strip()
        if ended.get("exitCode") == 0:
            return State("ended", "it has ended")
        answer = answer_of(message)
        if ended.get("exitCode") == 1 and answer is not None:
            return State("ended", answer.error, answer)
        code = ended.get("exitCode")
        said = f"it was killed ({ended.get('reason', '')} {code}) {message[-300:]}".strip()
        if code in (1, 2, 126, 127, 128):  # it never began: no Python, no chaosrun in that image
            last = message.splitlines()[-1] if message else f"exit code {code}"
            said = f"the agent did not start: {last[-300:]}"
            return State("ended", said, Answer(kind="Refused", error=said, hint=IMAGE_HINT))
        return State("killed", said)
    waiting = found.get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    if reason in _NEVER_STARTS:
        said = f"its container does not start: {reason}: {message}"
        return State("waiting", said, Answer(kind="Refused", error=said, hint=IMAGE_HINT))
    return State("waiting", "it is about to start")


def _failed(pod: Object) -> State:
    """How a helper is whose pod has failed, and of whose container nothing is known.

    The kubelet may have turned it away, for want of room or by a rule: then nothing ever ran. It
    does so at once; one that was restarted may turn away what ran before.
    """
    status = pod["status"]
    reason, message = str(status.get("reason", "")), str(status.get("message", "it failed"))
    away = reason in _TURNED_AWAY or reason.startswith("OutOf") or "was rejected" in message
    if away and _told_within(pod, _AT_ONCE):
        said = f"its helper pod was turned away by the node: {reason}: {message}"
        return State("ended", said, Answer(kind="Refused", error=said))
    return State("killed", message)


def _told_within(pod: Object, seconds: float) -> bool:
    """Whether the kubelet said so, at the latest, within these seconds from the pod's creation."""
    metadata = pod["metadata"]
    told = [
        datetime.fromisoformat(one["time"])
        for one in metadata.get("managedFields") or ()
        if one.get("subresource") == "status" and "time" in one
    ]
    made = datetime.fromisoformat(metadata["creationTimestamp"])
    return bool(told) and (max(told) - made).total_seconds() <= seconds


def answer_of(text: str) -> Answer | None:
    """What an agent wrote last, if that is an answer."""
    lines = text.splitlines()
    with contextlib.suppress(msgspec.MsgspecError):
        return from_json(lines[-1], Answer) if lines else None
    return None
