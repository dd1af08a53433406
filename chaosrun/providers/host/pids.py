"""No more processes can be started, as after a leak of threads or a fork bomb."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.fault import Hold
from chaosrun.mechanisms.asked.pressure import Crowded
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held
from chaosrun.providers.host.pressing import WAY_BACK, Group
from chaosrun.units import JSON


class Pids(Held, Crowded, frozen=True, kw_only=True):
    """Use up the tasks that may exist, on the whole machine or inside of one control group.

    Tasks are processes and threads; the narrowest of kernel.pid_max, kernel.threads-max and the
    group's pids.max counts. They are threads that sleep, in one process. `leave` stay free, so that
    chaosrun and a person at a terminal can still act.
    """

    name: ClassVar[str] = "host.pids"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"cgroup": "app.slice"},
        "with": {"share": "90%"},
    }

    target: Group = Group()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.target.cgroup and self.leave is not None and self.leave < 64:
            raise ValueError("leave is at least 64 on the whole machine: chaosrun needs some")

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        target, inside = self.target.found("tasks", client)
        leave = self.leave if self.leave is not None else 0 if self.target.cgroup else 256
        return self.held(
            client,
            self.harm(leave),
            target=target,
            inside=inside,
            effect=self.in_words(),
            way_back=WAY_BACK,
            mechanism="threads that sleep",
        )
