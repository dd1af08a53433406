"""Pods no longer reach chosen peers, nor they them."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.mechanisms import agent as mechanism
from chaosrun.mechanisms.traffic import Direction
from chaosrun.providers.kubernetes import in_pods, kernels
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.agents import Agent, Sent
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.network import ONE, InNetworks
from chaosrun.providers.kubernetes.pods import Pods
from chaosrun.providers.kubernetes.reach import Reach
from chaosrun.units import JSON


class NetworkPartition(InNetworks, Reach, frozen=True, kw_only=True):
    """Cut the traffic of pods with chosen peers: in both directions, or in one.

    nftables drops it in the pod's network namespace, in a table of ours in which the peers have the
    kernel's own timeout: it ends at its deadline though every process of chaosrun was killed. It
    takes no network plugin that knows NetworkPolicies. The agent has NET_ADMIN and no more. Without
    peers or ports the pod is cut off from everybody, its kubelet's probes too.
    """

    name: ClassVar[str] = "kubernetes.network-partition"
    example: ClassVar[dict[str, JSON]] = {"target": ONE, "with": {"peerServices": ["catalog"]}}

    target: Pods
    direction: Annotated[Direction, Meta(description="What is cut: out, in, or both")] = "both"
    refuse: Annotated[
        bool, Meta(description="Answer with an error (unreachable) and do not just be silent")
    ] = False
    agent: Sent = Agent()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.place(self.target.everywhere())

    def part(self, client: Kubernetes, access: Access) -> in_pods.Part:
        traffic, known = self._meant(client, access)
        return in_pods.Part(
            wish=mechanism.Cut(traffic=traffic, refuse=self.refuse),
            effect=f"{traffic}: {'refused' if self.refuse else 'nothing passes'}",
            mechanism="nftables, with the kernel's own timeout, in the pod's network namespace",
            capabilities=("NET_ADMIN",),
            known=known,
        )

    def below(self, part: in_pods.Part, kernel: kernels.Below) -> in_pods.Part:
        kernels.require(kernel, {"nftables": "nftables"})
        return part
