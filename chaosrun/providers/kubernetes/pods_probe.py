"""The probes `kubernetes.pods` and `kubernetes.logs`: the phases of pods, and what they write."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.probe import Probe
from chaosrun.providers.kubernetes.access import Access, rbac
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import POD
from chaosrun.providers.kubernetes.pods import Pod, pod_of
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration

_MOST_BYTES, _MOST_PODS = 1_000_000, 50
_WROTE = ("Running", "Succeeded", "Failed")


class PodsState(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How pods are."""

    count: Annotated[int, Meta(description="How many there are, those that end left out")]
    ready: int
    running: int
    pending: int
    failed: int
    ending: Annotated[int, Meta(description="How many are ending")]
    restarts: Annotated[int, Meta(description="How often their containers were restarted, in all")]
    waiting: Annotated[
        list[str], Meta(description="Why containers wait: CrashLoopBackOff, ImagePullBackOff, ...")
    ]
    nodes: Annotated[list[str], Meta(description="The nodes they are on")]


class Some(Access, frozen=True, kw_only=True):
    """Pods of a namespace."""

    namespace: Annotated[str, Meta(description="Their namespace", min_length=1)]
    selector: Annotated[str, Meta(description="A label selector", examples=["app=checkout"])] = ""
    fields: Annotated[
        str, Meta(description="A field selector", examples=["status.phase=Running"])
    ] = ""

    def found(self, client: Kubernetes, access: Access) -> list[Pod]:
        listed = client.all(access, POD, self.namespace, labels=self.selector, fields=self.fields)
        return sorted((pod_of(one, {}) for one in listed), key=lambda pod: pod.name)


class PodsProbe(Some, Probe[Kubernetes, PodsState], frozen=True, kw_only=True):
    """Counts pods by phase, with the restarts of their containers."""

    name: ClassVar[str] = "kubernetes.pods"
    Result = PodsState
    example: ClassVar[dict[str, JSON]] = {
        "with": {"namespace": "shop", "selector": "app=checkout"},
        "expect": "ready >= 2 && restarts == 0",
    }

    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(10)

    def needs(self) -> tuple[Permission, ...]:
        return (*self.asking(), *rbac("pods", "list", scope=self.namespace))

    def observe(self, client: Kubernetes) -> PodsState:
        everything = self.found(client, client.settle(self.access()))
        pods = [pod for pod in everything if not pod.ending]
        waiting = {
            str(one["state"]["waiting"].get("reason", ""))
            for pod in pods
            for one in (*pod.containers.values(), *pod.inits.values())
            if "waiting" in one.get("state", {})
        }
        return PodsState(
            count=len(pods),
            ready=sum(pod.ready for pod in pods),
            running=sum(pod.phase == "Running" for pod in pods),
            pending=sum(pod.phase == "Pending" for pod in pods),
            failed=sum(pod.phase in ("Failed", "Unknown") for pod in pods),
            ending=len(everything) - len(pods),
            restarts=sum(pod.restarts for pod in pods),
            waiting=sorted(waiting - {""}),
            nodes=sorted({pod.node for pod in pods} - {""}),
        )


class LogMatches(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What pods wrote."""

    matches: Annotated[int, Meta(description="How many lines match, in all pods")]
    lines: Annotated[int, Meta(description="How many lines were read")]
    pods: Annotated[int, Meta(description="How many pods were read")]
    last: Annotated[str, Meta(description="The last line that matches, or nothing")]


class LogsProbe(Some, Probe[Kubernetes, LogMatches], frozen=True, kw_only=True):
    """Counts the lines of pods' logs that match a pattern.

    What a container wrote before its last restart counts, too. Of a pod that wrote more than 1 MB
    in that time nothing is known.
    """

    name: ClassVar[str] = "kubernetes.logs"
    Result = LogMatches
    example: ClassVar[dict[str, JSON]] = {
        "with": {"namespace": "shop", "selector": "app=checkout", "pattern": "ERROR|panic"},
        "expect": "matches == 0",
    }

    pattern: Annotated[str, Meta(description="A regular expression, of Python's", min_length=1)]
    container: Annotated[str, Meta(description="The container, where there are several")] = ""
    since: Annotated[Duration, Meta(description="Only lines not older than this")] = Duration(60)
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(15)

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"{self.pattern!r} is not a regular expression: {error}") from None
        if self.since.seconds < 1:
            raise ValueError("logs are read by whole seconds: `since` is at least 1s")

    def needs(self) -> tuple[Permission, ...]:
        place = self.namespace
        logs = rbac("pods/log", "get", scope=place)
        return (*self.asking(), *rbac("pods", "list", scope=place), *logs)

    def observe(self, client: Kubernetes) -> LogMatches:
        access, wanted = client.settle(self.access()), re.compile(self.pattern)
        pods = [pod for pod in self.found(client, access) if self._wrote(pod)]
        if len(pods) > _MOST_PODS:
            raise Refused(f"{len(pods)} pods are too many to read", hint="select fewer")
        if not pods:  # those of later are to be readable, too: it must not be told half-way
            require(client, access, self.needs())
        lines: list[str] = []
        for pod in pods:
            lines += self._lines(client, access, pod)
        matching = [line for line in lines if wanted.search(line)]
        return LogMatches(
            matches=len(matching),
            lines=len(lines),
            pods=len(pods),
            last=matching[-1][:300] if matching else "",
        )

    def _wrote(self, pod: Pod) -> bool:
        """Whether it, or the container before all others that is meant, has started."""
        states = pod.inits.get(self.container, {})
        ended = "terminated" in states.get("lastState", {})
        return pod.phase in _WROTE or ended or "waiting" not in states.get("state", {"waiting": {}})

    def _lines(self, client: Kubernetes, access: Access, pod: Pod) -> list[str]:
        """What it wrote, before its last restart too. Raises Refused where that is too much.

        The API would leave out the newest lines.
        """
        query = {"sinceSeconds": str(int(self.since.seconds)), "limitBytes": str(_MOST_BYTES)}
        if self.container:
            query["container"] = self.container
        every = {**pod.inits, **pod.containers} if self.container else pod.containers
        states = [one for name, one in every.items() if self.container in ("", name)]
        lines: list[str] = []
        again = any("terminated" in one.get("lastState", {}) for one in states)
        for previous in ("true", "false") if again else ("false",):
            try:
                text = client.text(access, pod.ref.path("log"), {**query, "previous": previous})
            except NotFound:  # it went away meanwhile
                continue
            except Refused:
                if (previous == "false" and pod.phase != "Failed") or not self._named(pod):
                    raise
                require(client, access, self.needs())
                continue  # for no other reason than that its container is gone
            if len(text.encode()) >= _MOST_BYTES:
                raise Refused(
                    f"{pod.name} wrote more than 1 MB within {self.since}: not all of it was read",
                    hint="a shorter `since`",
                )
            lines += text.splitlines()
        return lines

    def _named(self, pod: Pod) -> bool:
        """Whether a container of it is meant, and only one."""
        parts = ("containers", "initContainers", "ephemeralContainers")
        every = [one["name"] for part in parts for one in pod.spec.get(part) or ()]
        return self.container in every if self.container else len(pod.spec["containers"]) == 1
