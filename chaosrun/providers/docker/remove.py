"""Containers are removed, for good."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Permission, Reversal
from chaosrun.providers.docker import life
from chaosrun.providers.docker.client import Docker
from chaosrun.providers.docker.containers import (
    Containers,
    calls,
    each_now,
    engine_of,
    on_all,
    present,
    undo,
)
from chaosrun.targeting import pick
from chaosrun.units import JSON


class Remove(Fault[Docker], frozen=True, kw_only=True):
    """Kill and remove containers. They do not come back, and what they wrote is lost.

    This cannot be undone, so the experiment must accept it by name. A container could be made again
    from its settings, but not as it was: its files outside of volumes, its id and its logs are
    gone. It is for what somebody makes anew: a deploy, an autoscaler, or `docker compose up`. Named
    volumes stay; anonymous ones go only with `volumes`. One of Swarm or Kubernetes is refused, and
    one whose network or processes another container shares.
    """

    name: ClassVar[str] = "docker.remove"
    reversal: ClassVar[Reversal] = Reversal.IRREVERSIBLE
    permissions: ClassVar[tuple[Permission, ...]] = calls("DELETE /containers/{id}")
    example: ClassVar[dict[str, JSON]] = {
        "target": {"project": "shop", "service": "web", "pick": "one"}
    }

    target: Containers
    volumes: Annotated[bool, Meta(description="Remove its anonymous volumes too")] = False

    def plan(self, client: Docker, rng: random.Random) -> Hold:
        engine = client.engine(self.target.engine)
        running = self.target.running(client, engine)
        targets = pick(life.targets_of(running, engine), self.target.pick, rng)
        for target in targets:
            if owner := present(client, engine, target).owner:
                raise Refused(f"container {target.label} is of {owner}")
        life.refuse_shared(targets, client, engine)
        return Hold(
            fault=self.name,
            targets=targets,
            population=len(running),
            effect="they are removed" + (", with anonymous volumes" if self.volumes else ""),
            undo=undo(engine, volumes=self.volumes),
            way_back="none: they are gone for good",
            mechanism="docker rm --force",
            reversal=self.reversal,
            used=self.permissions,
        )

    @classmethod
    def inject(cls, hold: Hold, client: Docker) -> None:
        for target in hold.targets:
            client.remove(engine_of(hold), target.id, volumes=hold.undo["volumes"])

    @classmethod
    def revert(cls, hold: Hold, client: Docker) -> None:
        """There is none."""

    @classmethod
    def took_effect(cls, hold: Hold, client: Docker) -> Evidence:
        return on_all(
            [
                (target, now is None, f"is {now.state if now else 'gone'}")
                for target, now in each_now(hold, client)
            ]
        )

    @classmethod
    def restored(cls, hold: Hold, client: Docker) -> Evidence:
        return Evidence(True, f"it cannot be undone: {cls.took_effect(hold, client).detail}")
