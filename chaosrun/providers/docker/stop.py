"""Containers are stopped in order, as by an operator or in a deploy."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.fault import Evidence, Hold, Permission
from chaosrun.providers.docker import life, marks, switch
from chaosrun.providers.docker.client import Docker
from chaosrun.providers.docker.containers import Containers, calls, each_now, engine_of, undo
from chaosrun.targeting import pick
from chaosrun.units import JSON, Duration

Grace = Annotated[
    Duration,
    Meta(description="How long each may take to end by its stop signal, before it is killed"),
]


class Stop(switch.Switched, frozen=True, kw_only=True):
    """Stop containers, and start them when the hold ends.

    The engine knows that the end is wanted, so no restart policy applies: they stay down for the
    hold. Refused for one that would be removed when it ends (--rm), for one that somebody else
    would replace (Swarm, Kubernetes), and for one whose network or processes another container
    shares. Addresses and ports of the host that Docker chose, and nobody asked for, may be others
    afterwards, as after any restart.
    """

    name: ClassVar[str] = "docker.stop"
    permissions: ClassVar[tuple[Permission, ...]] = calls(
        "POST /containers/{id}/stop", "POST /containers/{id}/start", *marks.CALLS
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"project": "shop", "service": "store", "pick": "one"},
        "with": {"grace": "3s"},
    }

    target: Containers
    grace: Grace = Duration(3)

    def plan(self, client: Docker, rng: random.Random) -> Hold:
        engine = client.engine(self.target.engine)
        running = self.target.running(client, engine)
        picked = pick(life.targets_of(running, engine), self.target.pick, rng)
        runs = life.with_runs(picked, client, engine)
        switched = switch.possible(engine, [now for _, now in runs], client)
        return Hold(
            fault=self.name,
            targets=tuple(target for target, _ in runs),
            population=len(running),
            effect="they are stopped",
            undo=undo(engine, grace=self.grace.seconds, **{switch.ON: switched}),
            way_back=f"they are started again: {switch.in_words(switched)}",
            mechanism=f"docker stop, with {self.grace} to end in order",
            expiry=switch.expiry(switched),
            used=self.permissions,
        )

    @classmethod
    def do(cls, hold: Hold, client: Docker) -> None:
        for target, now in each_now(hold, client):
            if now is not None and life.same_run(target, now):
                client.stop(engine_of(hold), target.id, hold.undo["grace"])

    @classmethod
    def undo(cls, hold: Hold, client: Docker) -> None:
        life.bring_back(hold, client, ends_within=hold.undo["grace"] + life.LATER)

    @classmethod
    def took_effect(cls, hold: Hold, client: Docker) -> Evidence:
        return life.down(hold, client)

    @classmethod
    def restored(cls, hold: Hold, client: Docker) -> Evidence:
        return life.back(hold, client)
