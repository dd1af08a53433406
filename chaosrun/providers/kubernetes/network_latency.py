"""What pods send or receive arrives later."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.mechanisms.impairment import Distribution, Impairment
from chaosrun.providers.kubernetes.agents import Agent, Sent
from chaosrun.providers.kubernetes.network import NONE, ONE, By, Impairing, Interface
from chaosrun.providers.kubernetes.pods import Pods
from chaosrun.providers.kubernetes.reach import Reach
from chaosrun.units import JSON, Duration, Share


class NetworkLatency(Impairing, Reach, frozen=True, kw_only=True):
    """Delay packets of pods, with jitter, and let some of them overtake others.

    It is done in the pod's network namespace, so all its containers feel it, and nobody else. The
    agent is privileged, as an ephemeral container too, since it tries what the kernel can do.
    """

    name: ClassVar[str] = "kubernetes.network-latency"
    likely: ClassVar[str] = "netem, or a TUN device and a process of ours"
    example: ClassVar[dict[str, JSON]] = {
        "target": ONE,
        "with": {"delay": "200ms", "jitter": "20ms", "peerServices": ["catalog"]},
    }

    target: Pods
    delay: Annotated[Duration, Meta(description="How much later each packet goes on")]
    jitter: Annotated[
        Duration, Meta(description="Up to how much more or less; packets may overtake each other")
    ] = Duration(0)
    correlation: Annotated[
        Share, Meta(description="How much the jitter of a packet is that of the one before")
    ] = NONE
    distribution: Annotated[
        Distribution, Meta(description="How the jitter is spread; a deviation unless uniform")
    ] = "uniform"
    reorder: Annotated[
        Share, Meta(description="The share of packets that are not delayed, and so overtake")
    ] = NONE
    interface: Interface = ""
    mechanism: By = "auto"
    agent: Sent = Agent()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.place(self.target.everywhere())
        if not self.delay:
            raise ValueError("delay is more than 0")
        if self.jitter > self.delay:
            raise ValueError(f"jitter ({self.jitter}) cannot be more than delay ({self.delay})")
        if (self.correlation.fraction or self.distribution != "uniform") and not self.jitter:
            raise ValueError("correlation and distribution are of a jitter: give one")

    def impairment(self) -> Impairment:
        return Impairment(
            delay=self.delay.seconds,
            jitter=self.jitter.seconds,
            correlation=self.correlation.fraction,
            distribution=self.distribution,
            reorder=self.reorder.fraction,
        )
