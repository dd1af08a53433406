"""Pods send or receive only so much in a second."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.mechanisms.impairment import Impairment
from chaosrun.providers.kubernetes.agents import Agent, Sent
from chaosrun.providers.kubernetes.network import ONE, By, Impairing, Interface
from chaosrun.providers.kubernetes.pods import Pods
from chaosrun.providers.kubernetes.reach import Reach
from chaosrun.units import JSON, Size


class NetworkRate(Impairing, Reach, frozen=True, kw_only=True):
    """Let only so many bytes per second of pods pass; the rest has to queue."""

    name: ClassVar[str] = "kubernetes.network-rate"
    likely: ClassVar[str] = "netem, or a token bucket, or a TUN device and a process of ours"
    example: ClassVar[dict[str, JSON]] = {"target": ONE, "with": {"rate": "100Ki"}}

    target: Pods
    rate: Annotated[Size, Meta(description="Bytes per second that pass")]
    interface: Interface = ""
    mechanism: By = "auto"
    agent: Sent = Agent()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.place(self.target.everywhere())
        if self.rate.bytes < 1:
            raise ValueError(
                "rate is at least 1 byte per second; or use kubernetes.network-partition"
            )

    def impairment(self) -> Impairment:
        return Impairment(rate=float(self.rate.bytes))
