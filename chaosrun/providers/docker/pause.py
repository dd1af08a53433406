"""Containers stand still, as in a long garbage collection or on a host that is out of time."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.fault import Evidence, Hold, Permission
from chaosrun.providers.docker import marks, switch
from chaosrun.providers.docker.client import Docker
from chaosrun.providers.docker.containers import (
    Containers,
    as_target,
    calls,
    each_now,
    engine_of,
    on_all,
    present,
    undo,
)
from chaosrun.targeting import pick
from chaosrun.units import JSON


class Pause(switch.Switched, frozen=True, kw_only=True):
    """Freeze all processes of containers, and let them go on when the hold ends.

    They keep their memory and connections, and answer nothing: clients wait, where a container that
    was stopped would refuse them. Nothing in the container can notice or prevent it. One that is
    paused already is not picked.
    """

    name: ClassVar[str] = "docker.pause"
    permissions: ClassVar[tuple[Permission, ...]] = calls(
        "POST /containers/{id}/pause", "POST /containers/{id}/unpause", *marks.CALLS
    )
    example: ClassVar[dict[str, JSON]] = {
        "target": {"project": "shop", "service": "store", "pick": "one"}
    }

    target: Containers

    def plan(self, client: Docker, rng: random.Random) -> Hold:
        engine = client.engine(self.target.engine)
        running = [as_target(each, engine) for each in self.target.running(client, engine)]
        targets = pick(running, self.target.pick, rng)
        now = [present(client, engine, target) for target in targets]
        switched = switch.possible(engine, now, client)
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(running),
            effect="all their processes stand still",
            undo=undo(engine, **{switch.ON: switched}),
            way_back=f"they go on: {switch.in_words(switched)}",
            mechanism="the freezer of the engine (docker pause)",
            expiry=switch.expiry(switched),
            used=self.permissions,
        )

    @classmethod
    def do(cls, hold: Hold, client: Docker) -> None:
        for target, now in each_now(hold, client):
            if now is not None and not now.paused:
                client.pause(engine_of(hold), target.id)

    @classmethod
    def undo(cls, hold: Hold, client: Docker) -> None:
        for target, now in each_now(hold, client):
            if now is not None and now.paused:
                client.unpause(engine_of(hold), target.id)

    @classmethod
    def took_effect(cls, hold: Hold, client: Docker) -> Evidence:
        return on_all(
            [
                (target, now is not None and now.paused, f"is {now.state if now else 'gone'}")
                for target, now in each_now(hold, client)
            ]
        )

    @classmethod
    def restored(cls, hold: Hold, client: Docker) -> Evidence:
        seen = on_all(
            [
                (target, now is None or not now.paused, f"is {now.state if now else 'gone'}")
                for target, now in each_now(hold, client)
            ]
        )
        return marks.and_none_left(seen, hold, client)
