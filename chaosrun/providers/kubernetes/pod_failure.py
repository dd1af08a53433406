"""Pods stop working while they are held: their containers end, and do not start."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import containers
from chaosrun.providers.kubernetes.access import undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.pods import Pods, counted, held, watched
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.units import JSON


class PodFailure(Fault[Kubernetes], frozen=True, kw_only=True):
    """Stop containers of pods and keep them stopped; afterwards they start with their own image.

    The pod stays where it is, with its name and address, but is not ready. Containers get the
    pod's grace period to end: give the step a `timeout` that is longer.
    """

    name: ClassVar[str] = "kubernetes.pod-failure"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"namespace": "shop", "selector": "app=checkout", "pick": "one"},
    }

    target: Pods
    containers: Annotated[tuple[str, ...], Meta(description="Only these; else all")] = ()

    def needs(self) -> tuple[Permission, ...]:
        return self.target.rights(pods=["get", "patch", "watch"])

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        require(client, access, self.needs())
        picked, population = self.target.picked(client, access, rng)
        targets = [
            pod.target(
                access,
                {"images": containers.images_of(pod, self.containers), "ready": pod.ready},
            )
            for pod in picked
        ]
        return Hold(
            fault=self.name,
            targets=tuple(sorted(targets, key=lambda target: target.key)),
            population=len(population),
            populations=counted(access, population),
            effect="their containers end and do not start",
            undo=undo(access),
            way_back="chaosrun gives each container its image again",
            mechanism="an image that cannot be",
            used=self.needs(),
        )

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        for target in hold.targets:
            containers.stop(hold, client, target)
        client.until(
            lambda c: cls.took_effect(hold, c).seen,
            "their containers should end",
            watching=watched(hold),
        )

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        for target in hold.targets:
            containers.start(hold, client, target)

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        now = {pod.uid: pod for pod in held(hold, client)}
        words, seen = [], True
        for target in hold.targets:
            pod = now.get(target.id)
            if pod is None:
                seen, said = False, "is gone"
            elif not containers.without_image(pod, target):
                seen, said = False, "has its image"
            else:
                down = containers.stopped(pod, target)
                seen, said = seen and down, "has stopped" if down else "is stopping"
            words.append(f"{target.label} {said}")
        return Evidence(seen, "; ".join(words))

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        now = {pod.uid: pod for pod in held(hold, client)}
        wrong, gone = [], []
        for target in hold.targets:
            if target.id not in now:
                gone.append(f"{target.label} was replaced meanwhile")
            elif said := containers.difference(hold, now[target.id], target):
                wrong.append(said)
        return Evidence(not wrong, "; ".join([*wrong, *gone]) or "each runs its own image again")
