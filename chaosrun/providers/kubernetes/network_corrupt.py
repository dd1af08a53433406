"""Packets of pods arrive damaged, or twice."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.mechanisms.impairment import Impairment
from chaosrun.providers.kubernetes.agents import Agent, Sent
from chaosrun.providers.kubernetes.network import NONE, ONE, By, Impairing, Interface
from chaosrun.providers.kubernetes.pods import Pods
from chaosrun.providers.kubernetes.reach import Reach
from chaosrun.units import JSON, Share


class NetworkCorrupt(Impairing, Reach, frozen=True, kw_only=True):
    """Turn over a bit in a share of the packets of pods, or send a share of them twice.

    A damaged packet fails its checksum and is lost where it arrives; it costs the way there.
    """

    name: ClassVar[str] = "kubernetes.network-corrupt"
    likely: ClassVar[str] = "netem, or a TUN device and a process of ours"
    example: ClassVar[dict[str, JSON]] = {"target": ONE, "with": {"corrupt": "5%"}}

    target: Pods
    corrupt: Annotated[
        Share, Meta(description="The share of packets in which one bit is turned over")
    ] = NONE
    duplicate: Annotated[Share, Meta(description="The share of packets that arrive twice")] = NONE
    interface: Interface = ""
    mechanism: By = "auto"
    agent: Sent = Agent()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.place(self.target.everywhere())
        if not (self.corrupt.fraction or self.duplicate.fraction):
            raise ValueError("say what harm: corrupt or duplicate, more than 0%")

    def impairment(self) -> Impairment:
        return Impairment(corrupt=self.corrupt.fraction, duplicate=self.duplicate.fraction)
