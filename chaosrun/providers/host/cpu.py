"""Processors are busy, as beside a noisy neighbour or in a hot loop."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms import pressure
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held
from chaosrun.providers.host.pressing import WAY_BACK, Group, Program, in_words, path_of
from chaosrun.units import JSON, Share

_MOST = 4
"""How many busy processes there may be for each processor."""


class Cpu(Held, frozen=True, kw_only=True):
    """Keep processors busy, on the whole machine or inside of one control group.

    The kernel still gives every process its part, so chaosrun keeps running; with a higher
    `nice` others get more. Each of `cores` processes wants `load` of one processor.
    """

    name: ClassVar[str] = "host.cpu"
    example: ClassVar[dict[str, JSON]] = {"with": {"load": "80%"}}

    target: Group = Group()
    load: Annotated[Share, Meta(description="How much of each core is wanted")] = Share(1)
    cores: (
        Annotated[int, Meta(ge=1, description="How many cores; all of them when not given")] | None
    ) = None
    nice: Annotated[
        int, Meta(ge=0, le=19, description="19 takes only what nobody else wants, 0 its fair part")
    ] = 0
    mechanism: Program = "auto"

    def __post_init__(self) -> None:
        if self.load.fraction < 0.01:
            raise ValueError("load is at least 1%")

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        there = client.processors()
        cores = self.cores or there
        if cores > there * _MOST:
            raise Refused(
                f"{cores} busy processes are too many for {there} processors",
                hint=f"at most {there * _MOST}, or chaosrun itself could not act in time",
            )
        target, inside = self.target.found("processors", client)
        by = path_of(self.mechanism, client)
        return self.held(
            client,
            pressure.Cpu(cores=cores, load=self.load.fraction, nice=self.nice, by=by),
            target=target,
            inside=inside,
            effect=f"{cores} processes want {self.load} of a processor each",
            way_back=WAY_BACK,
            mechanism=in_words(by),
        )
