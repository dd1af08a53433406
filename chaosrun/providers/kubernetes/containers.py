"""Containers of a running pod are stopped by an image that cannot be, and started by their own.

A pod's images are the one part of it that may be changed while it runs: the kubelet ends the
container whose image changed, with the signals and the grace period of the pod, and keeps it
ended as long as the image has a name that is not one. It needs no access to nodes.

Law: the image that was there before is in the hold, and is put back by name.
"""

from __future__ import annotations

from collections.abc import Iterable

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import access_of
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import Object
from chaosrun.providers.kubernetes.pod_kill import ref_of
from chaosrun.providers.kubernetes.pods import Pod
from chaosrun.targeting import Target

NONE = "CHAOSRUN:there-is-no-such-image"
"""No image can have this name, so that nothing is ever pulled."""


def images_of(pod: Pod, names: Iterable[str]) -> dict[str, str]:
    """The image of each of these containers, or of all. Raises Refused for one that is unknown,
    or does not run: whether it was stopped could not be told."""
    images = {one["name"]: one["image"] for one in pod.spec["containers"]}
    wanted = list(names) or sorted(images)
    if unknown := sorted(set(wanted) - set(images)):
        raise Refused(
            f"pod {pod.namespace}/{pod.name} has no container {', '.join(unknown)}",
            hint=f"it has {', '.join(sorted(images))}",
        )
    if NONE in images.values():
        raise Refused(f"pod {pod.namespace}/{pod.name} is failing by another run's fault")
    policy = pod.spec.get("restartPolicy", "Always")
    if once := sorted(
        one["name"]
        for one in pod.spec["containers"]
        if one["name"] in wanted and one.get("restartPolicy", policy) != "Always"
    ):
        raise Refused(
            f"pod {pod.namespace}/{pod.name} does not start {', '.join(once)} again once it has "
            f"ended (restartPolicy {policy}), so there is no way back",
            hint="choose pods whose restartPolicy is Always, or kill the pod as a whole",
        )
    running = {name for name, one in pod.containers.items() if "running" in one.get("state", {})}
    if idle := sorted(set(wanted) - running):
        raise Refused(
            f"pod {pod.namespace}/{pod.name}: {', '.join(idle)} does not run now",
            hint="wait until it does",
        )
    return {name: images[name] for name in wanted}


def stop(hold: Hold, client: Kubernetes, target: Target) -> None:
    """Take the containers' images away. One that is gone needs nothing."""

    def edit(found: Object) -> None:
        for container in found["spec"]["containers"]:
            before = target.undo["images"].get(container["name"])
            if before is None:
                continue
            if container["image"] != before and not marks.ours(found, hold):
                raise Refused(f"pod {target.name} has another image than when it was planned")
            container["image"] = NONE
        marks.put(found, hold)

    try:
        client.change(access_of(hold), ref_of(target), edit, uid=target.id)
    except NotFound:
        raise Refused(f"pod {target.name} is gone since it was planned") from None


def start(hold: Hold, client: Kubernetes, target: Target) -> None:
    """Give the containers their images back; one that somebody else has set stays.

    What may be another run's doing, and not ours by our mark, stays too.
    """

    def put_back(found: Object) -> None:
        theirs = not marks.ours(found, hold) and marks.anothers(found, hold)
        for container in found["spec"]["containers"]:
            before = target.undo["images"].get(container["name"])
            if before is not None and container["image"] == NONE and not theirs:
                container["image"] = before

    marks.give_back_at(hold, client, ref_of(target), target.id, put_back)


def stopped(pod: Pod, target: Target) -> bool:
    """Whether none of its containers that were meant runs."""
    return not any(
        "running" in pod.containers.get(name, {}).get("state", {}) for name in target.undo["images"]
    )


def without_image(pod: Pod, target: Target) -> bool:
    """Whether the containers have our image, that is none."""
    return all(
        one["image"] == NONE
        for one in pod.spec["containers"]
        if one["name"] in target.undo["images"]
    )


def difference(hold: Hold, pod: Pod, target: Target) -> str:
    """What is not as before, or nothing."""
    as_object = {"metadata": {"labels": pod.labels}}
    if marks.bears(as_object, hold):
        return f"{pod.name} is still marked"
    images = {one["name"]: one["image"] for one in pod.spec["containers"]}
    if NONE in images.values():  # by another run's fault it is that run's to end
        return "" if marks.anothers(as_object, hold) else f"{pod.name} has no image"
    if pod.ending or pod.over:
        return ""  # it will not be ready again, and what it needed is put back
    if target.undo["ready"] and not pod.ready:
        return f"{pod.name} is not ready yet"
    return ""
