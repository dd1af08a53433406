"""Packets of pods are lost."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.mechanisms.asked.packets import Bursts
from chaosrun.mechanisms.impairment import Impairment
from chaosrun.providers.kubernetes.agents import Agent, Sent
from chaosrun.providers.kubernetes.network import NONE, ONE, By, Impairing, Interface
from chaosrun.providers.kubernetes.pods import Pods
from chaosrun.providers.kubernetes.reach import Reach
from chaosrun.units import JSON, Share


class NetworkLoss(Impairing, Reach, frozen=True, kw_only=True):
    """Lose packets of pods, at random or in bursts.

    TCP sends what was lost again, so its users see delays first; UDP's see loss.
    """

    name: ClassVar[str] = "kubernetes.network-loss"
    likely: ClassVar[str] = "netem, or nftables, or a TUN device and a process of ours"
    example: ClassVar[dict[str, JSON]] = {
        "target": ONE,
        "with": {"loss": "10%", "direction": "both"},
    }

    target: Pods
    loss: Annotated[Share, Meta(description="The share of packets lost, at random")] = NONE
    correlation: Annotated[
        Share, Meta(description="How much the loss of a packet is that of the one before")
    ] = NONE
    bursts: Annotated[Bursts, Meta(description="Loss in bursts")] | None = None
    interface: Interface = ""
    mechanism: By = "auto"
    agent: Sent = Agent()

    def __post_init__(self) -> None:
        super().__post_init__()
        self.place(self.target.everywhere())
        if bool(self.loss.fraction) == (self.bursts is not None):
            raise ValueError("packets are lost at random (loss) or in bursts: say one")
        if self.correlation.fraction and not self.loss.fraction:
            raise ValueError("correlation is for a loss at random: give a loss")

    def impairment(self) -> Impairment:
        return Impairment(
            loss=self.loss.fraction,
            loss_correlation=self.correlation.fraction,
            bursts=self.bursts.typed() if self.bursts else None,
        )
