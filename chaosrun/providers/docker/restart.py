"""Containers are stopped and started at once, as by a deploy of the same version."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.docker import life, marks
from chaosrun.providers.docker.client import Docker
from chaosrun.providers.docker.containers import Containers, calls, each_now, engine_of, undo
from chaosrun.providers.docker.stop import Grace
from chaosrun.targeting import pick
from chaosrun.units import JSON, Duration


class Restart(Fault[Docker], frozen=True, kw_only=True):
    """Restart containers one after the other, and see that they run again.

    What it asks: does anybody lose a request while an instance is away for a moment, and does the
    instance come back well? Refused for one that would be removed when it ends (--rm), and for one
    whose network or processes another container shares.
    """

    name: ClassVar[str] = "docker.restart"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    permissions: ClassVar[tuple[Permission, ...]] = calls(
        "POST /containers/{id}/restart", "POST /containers/{id}/start", *marks.CALLS
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"project": "shop", "service": "web", "pick": "50%"},
    }

    target: Containers
    grace: Grace = Duration(3)

    def plan(self, client: Docker, rng: random.Random) -> Hold:
        engine = client.engine(self.target.engine)
        running = self.target.running(client, engine)
        picked = pick(life.targets_of(running, engine), self.target.pick, rng)
        return Hold(
            fault=self.name,
            targets=tuple(target for target, _ in life.with_runs(picked, client, engine)),
            population=len(running),
            effect="they are restarted, one after the other",
            undo=undo(engine, grace=self.grace.seconds),
            way_back="the engine starts them at once; chaosrun starts what does not run",
            mechanism=f"docker restart, with {self.grace} to end in order",
            reversal=self.reversal,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Docker) -> None:
        marks.put(hold, client)
        for target, now in each_now(hold, client):
            if now is not None and life.same_run(target, now):
                client.restart(engine_of(hold), target.id, hold.undo["grace"])

    @classmethod
    def revert(cls, hold: Hold, client: Docker) -> None:
        """Also when a restart lost its caller between its two halves."""
        life.bring_back(hold, client, ends_within=hold.undo["grace"] + life.LATER)
        marks.take(hold, client)

    @classmethod
    def took_effect(cls, hold: Hold, client: Docker) -> Evidence:
        return life.ended(hold, client)

    @classmethod
    def restored(cls, hold: Hold, client: Docker) -> Evidence:
        return life.back(hold, client)
