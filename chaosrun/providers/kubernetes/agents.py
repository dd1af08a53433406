"""Agents of ours beside or near a pod: started, told to go, asked, told to end.

An agent is an ephemeral container in the pod itself, or the only container of a helper pod on the
same node. What it does there is in mechanisms/agent.py. Law (L3): it carries its own deadline, and
does nothing until it is told, so one that starts too late, for want of its image, harms nobody.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import time
from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chaosrun.codec import from_json, from_plain, to_json
from chaosrun.errors import ChaosrunError, Indeterminate, Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms.agent import Errand
from chaosrun.mechanisms.asking import Answer, seen_of
from chaosrun.mechanisms.harm import Seen
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import access_of
from chaosrun.providers.kubernetes.answers import Exists
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import POD, Object, Ref, uid_of
from chaosrun.providers.kubernetes.pod_kill import ref_of
from chaosrun.targeting import Target

IMAGE, NAMESPACE = "CHAOSRUN_AGENT_IMAGE", "CHAOSRUN_AGENT_NAMESPACE"
Way = Literal["ephemeral", "helper"]
Word = Literal["absent", "waiting", "running", "ended", "killed"]
_MARGIN = 60
_ANSWERS_WITHIN = 15.0
_ENDS_WITHIN = 60.0
_NEVER_STARTS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull",
                 "CreateContainerConfigError", "CreateContainerError", "RunContainerError",
                 "StartError")  # fmt: skip
_RUN = ("python3", "-m", "chaosrun.mechanisms")
_NOBODY = 65532
_IMAGE_HINT = "an image of chaosrun is needed: `make image`, pushed to where the nodes pull"


class Agent(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True,
    rename="camel",
):  # fmt: skip
    """The process that does it: how it comes to the pod, and in which image."""

    by: Annotated[
        Literal["auto", "ephemeral", "helper"],
        Meta(
            description="An ephemeral container of the pod, or a helper pod on its node; auto is "
            "the first of them that the cluster admits"
        ),
    ] = "auto"
    image: Annotated[
        str,
        Meta(
            description=f"An image of chaosrun, that of its Dockerfile; else ${IMAGE}",
            examples=["registry.example/chaosrun:1.0"],
        ),
    ] = ""
    namespace: Annotated[
        str,
        Meta(
            description=f"Where helper pods live, if Pod Security keeps them out of the pod's "
            f"own namespace; else ${NAMESPACE}, else the pod's own"
        ),
    ] = ""

    @property
    def called(self) -> str:
        """The name of the image. Raises Refused where none was given."""
        if name := self.image or os.environ.get(IMAGE, ""):
            return name
        raise Refused(
            "it takes an image of chaosrun, and none is named",
            hint=f"build it with `make image`, push it, and give `agent: {{image: NAME}}` or "
            f"set {IMAGE}",
        )

    def place(self, namespace: str) -> str:
        """The namespace of helper pods for pods of that one."""
        return self.namespace or os.environ.get(NAMESPACE, "") or namespace


Sent = Annotated[
    Agent, Meta(description="The process of ours that does it: how it comes there, in which image")
]


class State(msgspec.Struct, frozen=True):
    """How an agent is: `ended` is one that has taken back all that it did, or did nothing."""

    word: Word
    said: str = ""
    error: Answer | None = None


class At(msgspec.Struct, frozen=True):
    """One target's agent: where it is and what it is told."""

    target: Target
    way: Way
    image: str
    name: str
    namespace: str
    errand: Errand
    privileged: bool
    capabilities: tuple[str, ...] = ()

    @property
    def pod(self) -> Ref:
        """The pod in which the agent is."""
        if self.way == "ephemeral":
            return ref_of(self.target)
        return Ref(POD, self.name, self.namespace)

    def other(self) -> At:
        """The one that takes away what this one left when it was killed."""
        return msgspec.structs.replace(self, name=f"{self.name}-undo")


def agents(hold: Hold) -> list[At]:
    """The agent of each target of a hold."""
    short = hashlib.sha256(hold.mark.encode()).hexdigest()[:10]
    return [
        At(
            target=target,
            way=target.undo["way"],
            image=hold.undo["image"],
            name=f"chaosrun-{short}-{number}",
            namespace=target.undo["namespace"],
            errand=from_plain(
                {
                    "mark": f"{hold.mark}.{number}",
                    "deadline": hold.deadline,
                    "wish": target.undo["wish"],
                    "pod": target.id if target.undo["way"] == "helper" else "",
                    "container": target.undo["container"],
                },
                Errand,
            ),
            privileged=hold.undo["privileged"],
            capabilities=tuple(hold.undo["capabilities"]),
        )
        for number, target in enumerate(hold.targets)
    ]


# What is sent to the API


def container(at: At, word: str = "agent") -> Object:
    """The container in which it runs."""
    text = to_json(at.errand).decode().replace("$(", "$$(")  # else Kubernetes reads a variable
    if at.privileged or at.way == "helper":
        context: Object = {"privileged": True, "runAsUser": 0, "runAsNonRoot": False}
    elif at.capabilities:
        added = list(at.capabilities)
        context = {"runAsUser": 0, "runAsNonRoot": False, "capabilities": {"add": added}}
    else:
        context = {
            "runAsUser": _NOBODY, "runAsNonRoot": True, "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]}, "seccompProfile": {"type": "RuntimeDefault"},
        }  # fmt: skip
    return {
        "name": at.name,
        "image": at.image,
        "imagePullPolicy": "IfNotPresent",
        "command": [*_RUN, word, at.errand.mark, text],
        "workingDir": "/",
        "env": [{"name": "CHAOSRUN_RUNTIME_DIR", "value": "/tmp/chaosrun"}],
        "securityContext": context,
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def helper(at: At, node: str, word: str = "agent") -> Object:
    """The helper pod: on that node whatever its taints, and no longer than the lease."""
    left = max(1, math.ceil(at.errand.deadline - time.time())) + _MARGIN
    groups = {"name": "groups", "mountPath": "/sys/fs/cgroup"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": at.name,
            "namespace": at.namespace,
            "labels": {"app.kubernetes.io/name": "chaosrun-agent"},
        },
        "spec": {
            "nodeName": node,
            "hostPID": True,
            "restartPolicy": "Never",
            "activeDeadlineSeconds": left,
            "terminationGracePeriodSeconds": 15,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "tolerations": [{"operator": "Exists"}],
            "containers": [{**container(at, word), "volumeMounts": [groups]}],
            "volumes": [{"name": "groups", "hostPath": {"path": "/sys/fs/cgroup"}}],
        },
    }


def start(
    hold: Hold, client: Kubernetes, at: At, word: str = "agent", *, dry: bool = False
) -> None:
    """Start it, or only ask whether it would be admitted. Twice is once."""
    access = access_of(hold)
    if at.way == "helper":
        body = helper(at, at.target.undo["node"], word)
        if not dry:
            marks.put(body, hold)
        with contextlib.suppress(Exists):
            client.create(access, at.pod, body, dry=dry)
        return

    def edit(found: Object) -> None:
        there = list(found["spec"].get("ephemeralContainers") or ())
        if not any(one["name"] == at.name for one in there):
            found["spec"]["ephemeralContainers"] = [*there, container(at, word)]

    client.change(access, at.pod, edit, uid=at.target.id, sub="ephemeralcontainers", dry=dry)


# What the API says about it


class Pods:
    """The pods of a hold's targets and of its helpers, as they were when they were listed."""

    def __init__(self, hold: Hold, client: Kubernetes) -> None:
        places = {target.name.partition("/")[0] for target in hold.targets}
        places |= {t.undo["namespace"] for t in hold.targets if t.undo["way"] == "helper"}
        listed = [
            one for place in sorted(places) for one in client.all(access_of(hold), POD, place)
        ]
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

    def helper(self, at: At, hold: Hold) -> Object | None:
        """The helper pod."""
        if at.way != "helper":
            return None
        found = self._by_name.get((at.namespace, at.name))
        return found if found is not None and marks.ours(found, hold) else None

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
                return _state(one.get("state") or {})
        if at.way == "helper":
            if pod["status"].get("phase") == "Failed":
                return State("killed", str(pod["status"].get("message", "it failed")))
            return State("waiting", "it is about to start")
        specified = pod["spec"].get("ephemeralContainers") or ()
        if any(one["name"] == at.name for one in specified):
            return State("waiting", "it is about to start")
        return State("absent", "it is not there")


def _state(found: Object) -> State:
    if "running" in found:
        return State("running")
    if ended := found.get("terminated"):
        message = str(ended.get("message", "")).strip()
        if ended.get("exitCode") == 0:
            return State("ended", "it has ended")
        answer = _answer(message)
        if ended.get("exitCode") == 1 and answer is not None:
            return State("ended", answer.error, answer)
        code = ended.get("exitCode")
        said = f"it was killed ({ended.get('reason', '')} {code}) {message[-300:]}".strip()
        if code in (1, 2, 126, 127, 128):  # it never began: no Python, no chaosrun in that image
            last = message.splitlines()[-1] if message else f"exit code {code}"
            said = f"the agent did not start: {last[-300:]}"
            return State("ended", said, Answer(kind="Refused", error=said, hint=_IMAGE_HINT))
        return State("killed", said)
    waiting = found.get("waiting") or {}
    reason, message = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    if reason in _NEVER_STARTS:
        said = f"its container does not start: {reason}: {message}"
        return State("waiting", said, Answer(kind="Refused", error=said, hint=_IMAGE_HINT))
    return State("waiting", "it is about to start")


def _answer(text: str) -> Answer | None:
    lines = text.splitlines()
    with contextlib.suppress(msgspec.MsgspecError):
        return from_json(lines[-1], Answer) if lines else None
    return None


# What the agent says


def ask(hold: Hold, client: Kubernetes, at: At, word: str) -> Seen:
    """What the agent says to `go`, `look` or `end`. Raises what it raised."""
    words: Sequence[str] = (*_RUN, word, at.errand.mark)
    said = client.execute(access_of(hold), at.pod, at.name, words, _ANSWERS_WITHIN)
    answer = _answer(said)
    if answer is None:
        raise Indeterminate(f"the agent at {at.target.label} said {said[-200:]!r}")
    return seen_of(answer)


def end(hold: Hold, client: Kubernetes, at: At) -> State:
    """Tell it to end, again where it was not heard, and wait until it has.

    Raises Indeterminate when it does not.
    """
    return _await_end(hold, client, at, tell=True)


def await_end(hold: Hold, client: Kubernetes, at: At) -> State:
    """How it ended by itself. Raises Indeterminate when it does not."""
    return _await_end(hold, client, at, tell=False)


def _await_end(hold: Hold, client: Kubernetes, at: At, *, tell: bool) -> State:
    last: list[State] = []

    def over(now: Kubernetes) -> bool:
        last[:] = [Pods(hold, now).state(at, hold)]
        if tell and last[0].word == "running":
            with contextlib.suppress(ChaosrunError):  # it may end before it has answered
                ask(hold, now, at, "end")
        return last[0].word in ("ended", "killed", "absent")

    client.until(over, f"the agent at {at.target.label} should end", _ENDS_WITHIN)
    return last[0]
