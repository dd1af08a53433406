"""What all worlds of a real cluster have in common.

A world is made once and used by all promises of its lab, since a pod takes a second to start;
each promise waits until it is whole again. Law: what a fault calls is recorded, and a call that
its rights do not cover breaks the lab.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from types import TracebackType
from typing import Any, ClassVar, Self

from chaosrun.providers.kubernetes import marks
from chaosrun.rights import Permission
from chaosrun.testing import BrokenPromise, Lab
from chaosrun.units import JSON
from tests.cluster.objects import deployment, is_whole, namespace, pods, ready, worn
from tests.cluster.outside import Object, outside, until
from tests.cluster.session import enter
from tests.contract.sweeps import in_a_sweep

_PATH = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)"
    r"(?:/namespaces/(?P<namespace>[^/]+)(?=/))?/(?P<plural>[^/]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>[^/]+))?"
)


def right_of(method: str, path: str, query: Mapping[str, str]) -> Permission | None:
    """What RBAC calls this call, or None for what everybody may."""
    match = _PATH.fullmatch(path)
    if match is None or match["plural"] == "selfsubjectaccessreviews":
        return None  # discovery, and questions about ourselves
    verb = {"GET": "get" if match["name"] else "list", "POST": "create",
            "PATCH": "patch", "DELETE": "delete"}[method]  # fmt: skip
    plural = f"{match['plural']}.{match['group']}" if match["group"] else match["plural"]
    resource = f"{plural}/{match['sub']}" if match["sub"] else plural
    made = verb == "create" and not match["sub"]  # what is made has no name yet
    name = "" if made else match["name"]
    if verb == "list":  # of one object, by its name, is that object's right
        verb = "watch" if query.get("watch") == "1" else verb
        name = query.get("fieldSelector", "").removeprefix("metadata.name=")
        name = "" if re.search("[=,]", name) else name
    scope = f"{match['namespace'] or ''}/{name}" if name else match["namespace"] or ""
    return Permission("rbac", verb, resource, scope)


def covered(right: Permission, granted: set[Permission]) -> bool:
    """Whether that right, or a wider one, was granted."""
    place = right.scope.partition("/")[0]
    return any(
        Permission("rbac", right.action, right.resource, scope) in granted
        for scope in (right.scope, place, "")
    )


class ClusterLab(Lab):
    """A world in the cluster, which `made` makes and `whole` waits for."""

    settles = 90.0
    app: ClassVar[str] = "web"
    replicas: ClassVar[int] = 2
    container: ClassVar[dict[str, Any]] = {}
    _made: ClassVar[set[str]] = set()

    def build(self, cleanup: contextlib.ExitStack) -> None:
        enter(cleanup)
        self.calls: set[Permission] = set()
        self.place = f"lab-{type(self).__name__.lower()}"
        if self.place not in ClusterLab._made:
            self.made()
            ClusterLab._made.add(self.place)
        until(self.whole, f"{self.place} should be whole")

    def made(self) -> None:
        """Make the world."""
        namespace(self.place)
        deployment(self.place, self.app, self.replicas, **self.container)

    def whole(self) -> bool:
        """Whether the world is as it was made."""
        return is_whole(self.place, self.app)

    def __enter__(self) -> Self:
        super().__enter__()
        self.client.observers.append(self._called)
        return self

    def _called(self, method: str, path: str, query: Mapping[str, str]) -> None:
        if not in_a_sweep(marks.find) and (right := right_of(method, path, query)):
            self.calls.add(right)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        super().__exit__(kind, error, trace)
        granted = set(self.typed().needs())
        if kind is None and (wild := [r for r in self.calls if not covered(r, granted)]):
            raise BrokenPromise(f"{self.fault} calls what its rights do not cover: {wild}")

    def snapshot(self) -> JSON:
        found = outside().get(f"/apis/apps/v1/namespaces/{self.place}/deployments/{self.app}")
        spec = found["spec"]
        inner = spec["template"]["metadata"].get("annotations") or {}
        spec["template"]["metadata"]["annotations"] = {
            k: v for k, v in inner.items() if not k.startswith("chaosrun.dev/restarted")
        }
        here = pods(self.place, self.app)
        return {
            "workload": [spec, worn(found)],
            "pods": sorted(json.dumps([ready(one), self.of_pod(one)]) for one in here),
        }

    def of_pod(self, pod: Object) -> JSON:
        images = [container["image"] for container in pod["spec"]["containers"]]
        return [images, worn(pod)[1]]
