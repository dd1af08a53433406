"""Resources of pods run short: processors, memory, disks.

The faults are kubernetes.cpu, kubernetes.memory and kubernetes.io. Law (L4): what presses is
bounded by the limits of the container or of the pod, so others feel it only as far as they would
feel the pod itself.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, TypeVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.mechanisms import agent as mechanism
from chaosrun.mechanisms.asked.pressure import Asked, Busy, Taken, Writing
from chaosrun.providers.kubernetes import in_pods
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.agents import Agent, Sent, Way
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.network import ONE
from chaosrun.providers.kubernetes.pods import Pod, Pods
from chaosrun.units import JSON

Container = Annotated[
    str, Meta(description="The container whose limits and files are meant; else the pod's first")
]
T = TypeVar("T", bound=Asked)
_STRESS = "stress-ng where the agent's image has it, or a worker of chaosrun"


class Pressing(in_pods.InPods, frozen=True, kw_only=True):
    """What they share. A subclass gives `container`."""

    of_network: ClassVar[bool] = False

    def container_of(self, pod: Pod) -> str:
        named: str = getattr(self, "container")  # noqa: B009 - of each subclass
        there = [each["name"] for each in pod.spec["containers"]]
        if named and named not in there:
            raise Refused(
                f"pod {pod.namespace}/{pod.name} has no container {named}",
                hint=f"it has {', '.join(there)}",
            )
        return named or str(there[0])


class Cpu(Pressing, Busy, frozen=True, kw_only=True):
    """Keep processors busy inside of pods, by their limits.

    An ephemeral container, which needs no rights in the pod, presses in the pod's own control
    group; a helper does so in that of the container. One with a limit is slowed down by it, as by
    a hot loop of its own; one without shares the node's processors with all others.
    """

    name: ClassVar[str] = "kubernetes.cpu"
    example: ClassVar[dict[str, JSON]] = {"target": ONE, "with": {"load": "90%", "cores": 1}}

    target: Pods
    container: Container = ""
    agent: Sent = Agent()

    def part(self, client: Kubernetes, access: Access) -> in_pods.Part:
        del client, access
        cores = f"{self.cores} processes" if self.cores else "as many processes as processors"
        return in_pods.Part(
            wish=mechanism.Press(cpu=plainly(self, Busy)),
            effect=f"{cores} want {self.load} of a processor each",
            mechanism=_by(self.mechanism),
        )


class Memory(Pressing, Taken, frozen=True, kw_only=True):
    """Take memory inside of pods, by their limits.

    `share` is of the container's limit, or of the node where it has none. `leave` stays available:
    when others need it, all of it is given back at once. If the kernel must kill somebody in the
    container for memory, it is our worker first. Where containers have limits a helper does it,
    since an ephemeral container is not bounded by them.
    """

    name: ClassVar[str] = "kubernetes.memory"
    example: ClassVar[dict[str, JSON]] = {"target": ONE, "with": {"share": "80%"}}

    target: Pods
    container: Container = ""
    agent: Sent = Agent()

    def ways(self, pod: Pod | None = None) -> tuple[Way, ...]:
        if pod is None or not _limited(pod):
            return super().ways()
        if self.agent.by == "ephemeral":
            raise Refused(
                f"pod {pod.namespace}/{pod.name} has limits of memory, which an ephemeral "
                "container does not know",
                hint="agent: {by: helper} presses inside of them",
            )
        return ("helper",)

    def part(self, client: Kubernetes, access: Access) -> in_pods.Part:
        del client, access
        much = f"{self.size}B are taken" if self.size else f"{self.share} of it is used"
        return in_pods.Part(
            wish=mechanism.Press(memory=plainly(self, Taken)),
            effect=f"memory: {much}",
            mechanism=_by(self.mechanism),
        )


class Io(Pressing, Writing, frozen=True, kw_only=True):
    """Keep a disk busy from inside of pods: write, sync and read in a container's directory.

    A directory of a volume is on the disk of that volume; any other is on the node's, which all its
    pods share. The files have no names, so the kernel frees them when their writers end, however
    they end. A helper does it: an ephemeral container does not see the files of others.
    """

    name: ClassVar[str] = "kubernetes.io"
    example: ClassVar[dict[str, JSON]] = {"target": ONE, "with": {"directory": "/var/lib/data"}}

    target: Pods
    container: Container = ""
    agent: Sent = Agent()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.agent.by == "ephemeral":
            raise ValueError("an ephemeral container does not see files of others: by: helper")
        if not self.directory.startswith("/") or ".." in self.directory.split("/"):
            raise ValueError(f"{self.directory!r}: a directory in a container begins with /")

    def ways(self, pod: Pod | None = None) -> tuple[Way, ...]:
        del pod
        return ("helper",)

    def part(self, client: Kubernetes, access: Access) -> in_pods.Part:
        del client, access
        return in_pods.Part(
            wish=mechanism.Press(io=plainly(self, Writing)),
            effect=self.in_words(),
            mechanism=_by(self.mechanism),
        )


def plainly(fault: Asked, kind: type[T]) -> T:
    """What was asked, without what is of the fault."""
    return kind(**{each: getattr(fault, each) for each in kind.__struct_fields__})


def _limited(pod: Pod) -> bool:
    return any(
        "memory" in ((each.get("resources") or {}).get("limits") or {})
        for each in pod.spec["containers"]
    )


def _by(program: str) -> str:
    return {"stress-ng": "stress-ng", "worker": "a worker of chaosrun"}.get(program, _STRESS)
