"""Agents of ours beside or near a pod: which there are, and what they are to do.

An agent is an ephemeral container in the pod itself, or the only container of a helper pod on the
same node. What it does there is in mechanisms/agent.py. Law (L3): it keeps its own deadline, and
does nothing until it is told, so one that starts too late, for want of its image, harms nobody.
How it is started: agent_pods.py; how it is: agent_states.py; what it is told: agent_orders.py.
"""

from __future__ import annotations

import hashlib
import os
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chaosrun.codec import from_plain
from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms.agent import Errand
from chaosrun.providers.kubernetes.kinds import POD, Ref
from chaosrun.providers.kubernetes.pod_kill import ref_of
from chaosrun.targeting import Target

IMAGE, NAMESPACE = "CHAOSRUN_AGENT_IMAGE", "CHAOSRUN_AGENT_NAMESPACE"
Way = Literal["ephemeral", "helper"]
_UNDOS = 20
RUN = ("python3", "-m", "chaosrun.mechanisms")
IMAGE_HINT = "an image of chaosrun is needed: `make image`, pushed to where the nodes pull"


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

    def others(self) -> list[At]:
        """Those that take away what this one left when it was killed: the next if one fails."""
        names = [f"{self.name}-undo{number or ''}" for number in range(_UNDOS)]
        return [msgspec.structs.replace(self, name=name) for name in names]


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
