"""Finds out what the kernels of nodes offer: a pod of ours on each node tries it.

Law: no pod of it outlives the look, whoever stops that; each has a deadline of its own, and the
next look takes away what one left that was killed. Only what was seen in the node's own kernel is
noted on it.
"""

from __future__ import annotations

import datetime
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from chaosrun import commands
from chaosrun.codec import from_json
from chaosrun.errors import ChaosrunError, Indeterminate, Refused, Transient
from chaosrun.mechanisms.kernel import Kernel, Offers
from chaosrun.providers.kubernetes import agent_pods, agent_states
from chaosrun.providers.kubernetes.access import CLUSTER, Access, rbac
from chaosrun.providers.kubernetes.agents import IMAGE_HINT
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kernels import ANNOTATION, running, written
from chaosrun.providers.kubernetes.kinds import NODE, POD, Object, Ref, labels_of, meta, uid_of
from chaosrun.rights import Permission

LABEL = "chaosrun.dev/kernel-trial"
_AT_ONCE = 20
_DEADLINE, _WITHIN, _ASKING = 150, 140.0, 60.0
_FORGOTTEN = 600.0
_WORDS = "python3 -m chaosrun.mechanisms offers > /dev/termination-log"


class Found(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of a node's kernel now: what it offers, or why that is not known.

    `skipped` is one that was not looked at.
    """

    node: str
    version: str
    boot: str
    offers: Offers | None = None
    problem: str = ""
    hint: str = ""
    skipped: bool = False


def rights(namespace: str) -> tuple[Permission, ...]:
    """What a look takes, with its pods in that namespace."""
    return (
        *CLUSTER,
        *rbac("nodes", "get", "list", "patch"),
        *rbac("pods", "create", "delete", "list", scope=namespace),
    )


def nodes(client: Kubernetes, access: Access) -> tuple[list[Object], list[Found]]:
    """The nodes that can be looked at, and those that cannot, with the reason. By name."""
    able: list[Object] = []
    skipped: list[Found] = []
    for node in sorted(client.all(access, NODE), key=lambda one: str(one["metadata"]["name"])):
        if why := _unable(node):
            skipped.append(_found(node, problem=why, skipped=True))
        else:
            able.append(node)
    return able, skipped


def _unable(node: Object) -> str:
    told = node["status"].get("nodeInfo") or {}
    if (system := told.get("operatingSystem", "linux")) != "linux":
        return f"not looked at: its system is {system}"
    if node["spec"].get("unschedulable"):
        return "not looked at: it is cordoned"
    conditions = {one["type"]: one["status"] for one in node["status"].get("conditions") or ()}
    return "" if conditions.get("Ready") == "True" else "not looked at: it is not ready"


def _found(
    node: Object,
    *,
    offers: Offers | None = None,
    problem: str = "",
    hint: str = "",
    skipped: bool = False,
) -> Found:
    version, boot = running(node)
    return Found(
        node=node["metadata"]["name"], version=version, boot=boot, offers=offers,
        problem=problem, hint=hint, skipped=skipped,
    )  # fmt: skip


class Trials:
    """One look at some nodes, with pods of that image in that namespace."""

    def __init__(self, client: Kubernetes, access: Access, image: str, namespace: str) -> None:
        self._client, self._access = client, access
        self._image, self._namespace = image, namespace
        self._token = uuid.uuid4().hex[:10]
        self._waiting: list[Object] = []
        self._tried: dict[str, tuple[Object, float]] = {}
        """The nodes whose pods were made, by the name of these; and when to give them up."""
        self._all: list[Found] = []

    def run(self, able: Sequence[Object]) -> list[Found]:
        """Look at these nodes, and note on each what was seen. When it is told to stop, of those
        that it came to. Raises Refused when no pod is admitted.
        """
        self._waiting = list(able)
        seconds = _ASKING + _WITHIN * (1 + len(able) // _AT_ONCE)
        try:
            self._take_away(self._left_by_others)
            self._client.until(self._step, "the nodes should have been looked at", seconds)
        except Indeterminate:
            if not _stopped():
                raise
        finally:
            with _though_stopped():
                self._take_away(self._own)
        return sorted(self._all, key=lambda found: found.node)

    def _step(self, _: Kubernetes) -> bool:
        if self._tried:
            there = {one["metadata"]["name"]: one for one in self._listed(self._token)}
            for name, (node, until) in list(self._tried.items()):
                pod = there.get(name)
                if (found := _seen(node, pod, late=time.monotonic() > until)) is not None:
                    self._all.append(self._noted(node, found))
                    del self._tried[name]
                    if pod is not None:
                        self._delete(pod)
        while self._waiting and len(self._tried) < _AT_ONCE and not _stopped():
            self._start(self._waiting.pop(0))
        return not self._tried and not self._waiting

    def _start(self, node: Object) -> None:
        name = f"chaosrun-kernel-{self._token}-{len(self._all) + len(self._tried)}"
        body = agent_pods.on_node(
            name, self._namespace, node["metadata"]["name"], _DEADLINE, _container(self._image)
        )
        meta(body)["labels"] = {**labels_of(body), LABEL: self._token}
        try:
            self._client.create(self._access, Ref(POD, name, self._namespace), body)
        except (Transient, Indeterminate) as error:  # it may be there: then it is taken away
            self._all.append(_found(node, problem=f"no pod of ours could be made: {error}"))
        except Refused as error:
            raise Refused(
                f"no pod of ours is admitted in namespace {self._namespace}: {error}",
                hint="--namespace names one in which privileged pods are admitted",
            ) from None
        else:
            self._tried[name] = (node, time.monotonic() + _WITHIN)

    def _noted(self, node: Object, found: Found) -> Found:
        """The same, having noted it on its node, if that still runs the kernel that was seen."""
        if found.offers is None:
            return found
        kernel = Kernel(version=found.version, boot=found.boot, offers=found.offers)

        def edit(now: Object) -> None:
            if running(now) != (kernel.version, kernel.boot):
                raise Refused("it has started anew meanwhile")
            own = {ANNOTATION: written(kernel)}
            meta(now)["annotations"] = {**(meta(now).get("annotations") or {}), **own}

        ref = Ref(NODE, found.node)
        try:
            self._client.change(self._access, ref, edit, uid=uid_of(node))
        except (Refused, Transient, Indeterminate) as error:
            said = "the node is gone" if isinstance(error, NotFound) else f"not noted: {error}"
            return msgspec.structs.replace(found, offers=None, problem=said, hint=error.hint)
        return found

    # What was made is taken away

    def _listed(self, token: str = "") -> list[Object]:
        labels = f"{LABEL}={token}" if token else LABEL
        return self._client.all(self._access, POD, self._namespace, labels=labels)

    def _own(self) -> Iterator[Object]:
        yield from self._listed(self._token)

    def _left_by_others(self) -> Iterator[Object]:
        for one in self._listed():
            made = datetime.datetime.fromisoformat(one["metadata"]["creationTimestamp"])
            if time.time() - made.timestamp() > _FORGOTTEN:
                yield one

    def _take_away(self, which: Callable[[], Iterable[Object]]) -> None:
        try:
            for one in which():
                self._delete(one)
        except ChaosrunError as error:
            raise type(error)(
                f"pods labelled {LABEL} may be left in namespace {self._namespace}, and end by "
                f"themselves within {_DEADLINE}s: {error}",
                hint=f"kubectl --namespace {self._namespace} delete pods --selector {LABEL}",
            ) from None

    def _delete(self, pod: Object) -> None:
        ref = Ref(POD, pod["metadata"]["name"], self._namespace)
        self._client.delete(self._access, ref, uid_of(pod), 0)


def _container(image: str) -> Object:
    """It ends with what it saw as its last word, which the API gives to who may list pods."""
    return {
        "name": "kernel",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-c", _WORDS],
        "workingDir": "/",
        "securityContext": {"privileged": True, "runAsUser": 0, "runAsNonRoot": False},
        "terminationMessagePolicy": "FallbackToLogsOnError",
    }


def _seen(node: Object, pod: Object | None, *, late: bool) -> Found | None:
    """What that pod came to; nothing while it may still come to something."""
    if pod is None:
        return _found(node, problem="its pod was deleted by somebody")
    status = pod["status"]
    parts = status.get("containerStatuses") or ()
    state = parts[0].get("state") or {} if parts else {}
    ended = state.get("terminated")
    if ended and ended.get("exitCode") == 0:
        return _read(node, str(ended.get("message", "")))
    told = agent_states.state_of(state)
    if told.error is not None or ended:
        return _found(node, problem=told.said, hint=told.error.hint if told.error else "")
    if status.get("phase") == "Failed":
        said = status.get("message") or status.get("reason") or "it failed"
        return _found(node, problem=f"its pod: {said}")
    if late:
        said = f"its pod did not come to an end within {_WITHIN:g}s: {told.said or told.word}"
        return _found(node, problem=said, hint="look again if its image was still being pulled")
    return None


def _read(node: Object, text: str) -> Found:
    try:
        kernel = from_json(text, Kernel)
    except msgspec.MsgspecError:
        return _found(node, problem=f"its pod said {text[-200:]!r}", hint=IMAGE_HINT)
    if (kernel.version, kernel.boot) != running(node):
        return _found(node, problem="its pods run in kernels of their own, as in a sandbox")
    if kernel.offers.unknown:
        return _found(node, problem=str(kernel.offers), hint=kernel.offers.hint)
    return _found(node, offers=kernel.offers)


def _stopped() -> bool:
    cancellation = commands.current.get()
    return cancellation is not None and cancellation.cancelled


@contextmanager
def _though_stopped() -> Iterator[None]:
    """What is done here is done with all the patience that there is."""
    token = commands.current.set(None)
    try:
        yield
    finally:
        commands.current.reset(token)
