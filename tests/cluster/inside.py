"""A server and its clients in pods, for tests: made, asked from inside, and harmed.

Law: what is harmed is given back when the `with` ends, and is seen to be as before.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import time
import uuid
from collections.abc import Iterator
from typing import Any

from msgspec.structs import replace

from chaosrun import discovery
from chaosrun.codec import from_plain
from chaosrun.fault import AnyFault, Hold
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.agents import IMAGE
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import POD, Ref
from tests.cluster import images
from tests.cluster.objects import deployment, is_whole, namespace, pods
from tests.cluster.outside import Object, until
from tests.cluster.programs import SERVER
from tests.cluster.session import agent, kubeconfig


def python(place: str, pod: str, code: str, *words: str, within: float = 20.0) -> Any:
    """What a Python program in a pod says, as JSON."""
    access, command = Access(kubeconfig=str(kubeconfig())), ("python3", "-c", code, *words)
    client = Kubernetes()
    try:
        return json.loads(client.execute(access, Ref(POD, pod, place), "main", command, within))
    finally:
        client.close()


def make(place: str, *servers: str) -> None:
    """The servers and their clients."""
    namespace(place)
    serves = ["python3", "-c", SERVER]
    probe = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 60}
    image = images.PYTHON
    for app in servers or ("web",):
        deployment(place, app, 1, image=image, command=serves, startupProbe=probe)
    deployment(place, "client", 2, image=image, command=serves)


def whole(place: str, *servers: str) -> bool:
    return all(is_whole(place, app) for app in (*(servers or ("web",)), "client"))


def one(place: str, app: str, number: int = 0) -> Object:
    """A pod of that application."""
    return sorted(pods(place, app), key=lambda each: str(each["metadata"]["name"]))[number]


def point(cleanup: contextlib.ExitStack) -> None:
    """Say which image the agent has."""
    before = os.environ.get(IMAGE)
    os.environ[IMAGE] = agent()
    if before is None:
        cleanup.callback(os.environ.pop, IMAGE, None)
    else:
        cleanup.callback(os.environ.__setitem__, IMAGE, before)


def fault(name: str, place: str, **given: Any) -> AnyFault:
    """That fault, of one server."""
    target = {"namespace": place, "selector": "app=web", "pick": "one", **given.pop("target", {})}
    return from_plain({"target": target, **given}, discovery.fault(name))


def lease(meant: AnyFault, client: Kubernetes) -> Hold:
    """It ends by itself only after anybody has ceased to wait for what a revert does."""
    hold = meant.plan(client, random.Random(7))
    return replace(hold, mark=uuid.uuid4().hex, deadline=time.time() + 240)


@contextlib.contextmanager
def held(meant: AnyFault, client: Kubernetes) -> Iterator[Hold]:
    """It is there while the `with` lasts."""
    hold = lease(meant, client)
    try:
        meant.inject(hold, client)
        yield hold
    finally:
        meant.revert(hold, client)
        until(lambda: meant.restored(hold, client).seen, "it should be as before")
