"""Memory is short, as beside a process that leaks."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.fault import Hold
from chaosrun.mechanisms.asked.pressure import Taken, in_words
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held
from chaosrun.providers.host.pressing import WAY_BACK, Group, path_of
from chaosrun.units import JSON


class Memory(Held, Taken, frozen=True, kw_only=True):
    """Take memory, on the whole machine or inside of one control group.

    What is taken is really there, page by page. `leave` stays available: when others need it, all
    of it is given back at once and the fault is over. If the kernel must kill somebody for memory,
    it is our worker first.
    """

    name: ClassVar[str] = "host.memory"
    example: ClassVar[dict[str, JSON]] = {"with": {"share": "80%"}}

    target: Group = Group()

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        target, inside = self.target.found("memory", client)
        by = path_of(self.mechanism, client)
        harm = self.harm(client.memory(inside.pid), by)
        return self.held(
            client,
            harm,
            target=target,
            inside=inside,
            effect=self.in_words(harm),
            way_back=WAY_BACK,
            mechanism=in_words(by),
        )
