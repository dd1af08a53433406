"""Processors are busy, as beside a noisy neighbour or in a hot loop."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.fault import Hold
from chaosrun.mechanisms.asked.pressure import Busy, in_words
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held
from chaosrun.providers.host.pressing import WAY_BACK, Group, path_of
from chaosrun.units import JSON


class Cpu(Held, Busy, frozen=True, kw_only=True):
    """Keep processors busy, on the whole machine or inside of one control group.

    The kernel still gives every process its part, so chaosrun keeps running; with a higher
    `nice` others get more. Each of `cores` processes wants `load` of one processor.
    """

    name: ClassVar[str] = "host.cpu"
    example: ClassVar[dict[str, JSON]] = {"with": {"load": "80%"}}

    target: Group = Group()

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        target, inside = self.target.found("processors", client)
        by = path_of(self.mechanism, client)
        harm = self.harm(client.processors(), by)
        return self.held(
            client,
            harm,
            target=target,
            inside=inside,
            effect=self.in_words(harm),
            way_back=WAY_BACK,
            mechanism=in_words(by),
        )
