"""One container of a pod is killed, and the kubelet starts it again in the same pod."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.fault import Evidence, Fault, Hold, Reversal
from chaosrun.providers.kubernetes import containers
from chaosrun.providers.kubernetes.access import undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.pods import Pod, Pods, counted, held, watched
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.targeting import Target
from chaosrun.units import JSON


class ContainerKill(Fault[Kubernetes], frozen=True, kw_only=True):
    """Kill a container of pods, and see that it is started again, in the same pod.

    The kubelet ends it as it would for a new version: its stop hook and the pod's grace period
    count, so give the step a `timeout` that is longer. The other containers go on.
    """

    name: ClassVar[str] = "kubernetes.container-kill"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    example: ClassVar[dict[str, JSON]] = {
        "target": {"namespace": "shop", "selector": "app=checkout", "pick": "one"},
        "with": {"container": "checkout"},
    }

    target: Pods
    container: Annotated[str, Meta(description="Its name", min_length=1)]

    def needs(self) -> tuple[Permission, ...]:
        return self.target.rights(pods=["get", "patch", "watch"])

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:
        access = client.settle(self.target.access())
        require(client, access, self.needs())
        picked, population = self.target.picked(client, access, rng)
        targets = [
            pod.target(
                access,
                {
                    "images": containers.images_of(pod, [self.container]),
                    "ready": pod.ready,
                    "restarts": _restarts(pod, self.container),
                },
            )
            for pod in picked
        ]
        return Hold(
            fault=self.name,
            targets=tuple(sorted(targets, key=lambda target: target.key)),
            population=len(population),
            populations=counted(access, population),
            effect=f"{self.container} is killed, and starts again",
            undo=undo(access, container=self.container),
            way_back="the kubelet starts it again",
            mechanism="for a moment, an image that cannot be",
            reversal=self.reversal,
            used=self.needs(),
        )

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        now = {pod.uid: pod for pod in held(hold, client)}
        alive = [t for t in hold.targets if t.id in now and not _died(hold, now[t.id], t)]
        for target in alive:
            containers.stop(hold, client, target)
        client.until(
            lambda c: _all_stopped(hold, c, alive),
            "the container should end",
            watching=watched(hold),
        )
        cls.revert(hold, client)
        client.until(
            lambda c: cls.took_effect(hold, c).seen,
            "the container should start again",
            watching=watched(hold),
        )

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        for target in hold.targets:
            containers.start(hold, client, target)

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        now = {pod.uid: pod for pod in held(hold, client)}
        died = [t.label for t in hold.targets if t.id in now and _died(hold, now[t.id], t)]
        return Evidence(
            len(died) == len(hold.targets),
            f"{hold.undo['container']} was started again in {len(died)} of {len(hold.targets)}",
        )

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        now = {pod.uid: pod for pod in held(hold, client)}
        wrong = [
            said
            for target in hold.targets
            if target.id in now and (said := containers.difference(hold, now[target.id], target))
        ]
        return Evidence(not wrong, "; ".join(wrong) or "each runs again")


def _restarts(pod: Pod, container: str) -> int:
    return int(pod.containers.get(container, {}).get("restartCount", 0))


def _died(hold: Hold, pod: Pod, target: Target) -> bool:
    return bool(_restarts(pod, hold.undo["container"]) > target.undo["restarts"])


def _all_stopped(hold: Hold, client: Kubernetes, targets: list[Target]) -> bool:
    now = {pod.uid: pod for pod in held(hold, client)}
    return all(t.id not in now or containers.stopped(now[t.id], t) for t in targets)
