"""Containers: which ones a person means, and how they are now.

Law (L4): nothing is selected by omission; some criterion must be given. The container that
chaosrun itself runs in is never touched. A container is told by its id, which no other ever
has, and one run of it by the moment at which it started.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Hold, Permission
from chaosrun.providers.docker.client import Docker, Engine, NotFound
from chaosrun.targeting import Pick, Target
from chaosrun.units import JSON

PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
_OTHERS = {
    "com.docker.swarm.task.id": "a Swarm service, which replaces it by another",
    "io.kubernetes.pod.name": "a Kubernetes pod: use the faults of provider kubernetes",
}
_RUNNING, _PAUSED = "running", "paused"
_OF_ANOTHER = "container:"


class OnEngine(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Which engine a person means."""

    engine: Annotated[
        str,
        Meta(
            description="The engine's address; DOCKER_HOST, or docker's current context, without",
            examples=["unix:///var/run/docker.sock", "tcp://10.0.0.5:2376"],
        ),
    ] = ""


class Some(OnEngine, frozen=True, kw_only=True):
    """Containers of an engine: all that meet every criterion given."""

    names: Annotated[
        tuple[str, ...], Meta(description="Their names, or ids of at least 12 letters")
    ] = ()
    labels: Annotated[
        dict[str, str], Meta(description="Labels and their values; empty for any value")
    ] = {}
    project: Annotated[str, Meta(description="The name of a compose project")] = ""
    service: Annotated[str, Meta(description="The name of a compose service")] = ""
    image: Annotated[str, Meta(description="Made from this image, or one built on it")] = ""
    network: Annotated[str, Meta(description="Connected to this network")] = ""

    def __post_init__(self) -> None:
        if not (
            self.names or self.labels or self.project or self.service or self.image or self.network
        ):
            raise ValueError("say which: names, labels, project, service, image or network")

    def matching(self, client: Docker, engine: Engine) -> list[Listed]:
        """Those in whatever state, by name. Raises Refused when one that is named is missing."""
        labels = [f"{key}={value}" if value else key for key, value in self.labels.items()]
        labels += [f"{PROJECT}={self.project}"] * bool(self.project)
        labels += [f"{SERVICE}={self.service}"] * bool(self.service)
        filters = {"label": labels} | {
            key: [value]
            for key, value in (("ancestor", self.image), ("network", self.network))
            if value
        }
        try:
            written = client.containers(engine, {k: v for k, v in filters.items() if v})
        except NotFound as error:  # what `image` or `network` names
            raise Refused(str(error)) from None
        found = [_listed(one) for one in written]
        if self.names:
            missing = [
                name for name in self.names if not any(each.is_called(name) for each in found)
            ]
            if missing:
                raise Refused(f"{', '.join(missing)}: no such container as selected")
            found = [each for each in found if any(each.is_called(n) for n in self.names)]
        return sorted(found, key=lambda each: each.name)


class Containers(Some, frozen=True, kw_only=True):
    """Running containers of an engine: all that meet every criterion, and of them the picked."""

    pick: Annotated[Pick, Meta(description="How many of them")] = Pick("one")

    def running(self, client: Docker, engine: Engine) -> list[Listed]:
        """Those that run and may be touched, by name. Raises Refused."""
        found = self.matching(client, engine)
        own = own_container()
        for each in found if self.names else ():
            if each.state != _RUNNING:
                raise Refused(f"container {each.name} does not run: it is {each.state}")
        running = [each for each in found if each.state == _RUNNING]
        allowed = [each for each in running if each.id != own]
        if running and not allowed:
            raise Refused(f"container {running[0].name} is never touched: chaosrun runs in it")
        return allowed


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """One container as a list shows it."""

    id: str
    name: str
    state: str
    labels: dict[str, str]
    health: str

    @property
    def domain(self) -> str:
        """Its failure domain: the compose service, for one made by compose."""
        parts = (self.labels.get(PROJECT, ""), self.labels.get(SERVICE, ""))
        return "/".join(part for part in parts if part)

    def is_called(self, name: str) -> bool:
        return name == self.name or (len(name) >= 12 and self.id.startswith(name))


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """One container as it is now. `policy` is its restart policy; `networks` are its endpoints.

    `uses` are the containers whose namespaces it shares, as whoever made it named them.
    """

    id: str
    name: str
    labels: dict[str, str]
    state: str
    pid: int
    started: str
    finished: str
    exit_code: int
    out_of_memory: bool
    health: str
    restarts: int
    policy: str
    most_restarts: int
    removes_itself: bool
    most_tasks: int
    network_mode: str
    uses: tuple[str, ...]
    networks: dict[str, Any]

    @property
    def runs(self) -> bool:
        """Whether its processes live, be they paused."""
        return self.state in (_RUNNING, _PAUSED)

    @property
    def paused(self) -> bool:
        return self.state == _PAUSED

    @property
    def owner(self) -> str:
        """Who would make another in its place; empty when nobody would."""
        return next((who for label, who in _OTHERS.items() if label in self.labels), "")

    def comes_back(self, code: int) -> bool:
        """Whether its restart policy starts it again when it ends by itself with that code."""
        return self.policy in ("always", "unless-stopped") or (
            self.policy == "on-failure" and code != 0
        )


def inspected(client: Docker, engine: Engine, container: str) -> Container | None:
    """How it is now; None when it is gone."""
    written = client.inspect(engine, container)
    return None if written is None else _container(written)


def present(client: Docker, engine: Engine, target: Target) -> Container:
    """How a target is now. Raises Refused when it is gone."""
    found = inspected(client, engine, target.id)
    if found is None:
        raise Refused(f"container {target.label} is gone")
    return found


def all_running(client: Docker, engine: Engine) -> list[Container]:
    """Every container of the engine that runs now, paused ones too, by name."""
    listed = (one for one in client.containers(engine, {}) if one["State"] in (_RUNNING, _PAUSED))
    found = (inspected(client, engine, one["Id"]) for one in listed)
    return sorted((each for each in found if each and each.runs), key=lambda each: each.name)


def as_target(listed: Listed, engine: Engine) -> Target:
    """A container as a target.

    Its failure domain is its compose service, so that a plan shows how many of each are hit.
    """
    return Target(
        kind="container",
        id=listed.id,
        name=listed.name,
        domain=listed.domain or engine.name,
        labels=listed.labels,
        groups={
            "account": engine.name,
            "namespace": listed.labels.get(PROJECT, ""),
            "workload": listed.domain,
            "group": "",
            "zone": engine.name,
        },
    )


def engine_of(hold: Hold) -> Engine:
    """The engine that a hold's containers are on."""
    return from_plain(hold.undo["engine"], Engine)


def undo(engine: Engine, **more: JSON) -> JSON:
    """What every way back needs: where, and more."""
    return {"engine": to_plain(engine), **more}


def each_now(hold: Hold, client: Docker) -> list[tuple[Target, Container | None]]:
    """The hold's targets, each as it is now; None for one that is gone."""
    engine = engine_of(hold)
    return [(target, inspected(client, engine, target.id)) for target in hold.targets]


def on_all(seen: Sequence[tuple[Target, bool, str]]) -> Evidence:
    """Whether it was seen on each target, and what each one's words are."""
    said = "; ".join(f"{target.label} {words}" for target, _, words in seen)
    return Evidence(bool(seen) and all(true for _, true, _ in seen), said)


def calls(*paths: str) -> tuple[Permission, ...]:
    """Permissions of calls to the engine's API, as its authorisation plugins see them."""
    both = (*_EVERY_FAULT, *paths)
    return tuple(Permission("docker", path) for path in dict.fromkeys(both))


_EVERY_FAULT = ("GET /version", "GET /info", "GET /containers/json", "GET /containers/{id}/json")


@cache
def own_container() -> str:
    """The id of the container that this process is in; empty outside of any."""
    patterns = {
        # What Docker mounts into it; other containers' files are elsewhere than in /etc.
        "/proc/self/mountinfo": r"/containers/([0-9a-f]{64})/\S+ /etc/(?:hostname|hosts)\s",
        "/proc/self/cgroup": r"/docker[-/]([0-9a-f]{64})(?:\.scope)?$",
    }
    for path, pattern in patterns.items():
        try:
            found = re.search(pattern, Path(path).read_text(), re.MULTILINE)
        except OSError:
            continue
        if found:
            return found[1]
    return ""


def _listed(written: dict[str, Any]) -> Listed:
    status = str(written.get("Status", ""))
    return Listed(
        id=written["Id"],
        name=min((written.get("Names") or ["/"]), key=lambda name: name.count("/")).lstrip("/")
        or written["Id"][:12],
        state=written["State"],
        labels=written.get("Labels") or {},
        health=next(
            (
                word
                for word in ("unhealthy", "healthy", "health: starting")
                if f"({word})" in status
            ),
            "",
        ).removeprefix("health: "),
    )


def _container(written: dict[str, Any]) -> Container:
    state, config, host = written["State"], written["Config"], written["HostConfig"]
    policy = host.get("RestartPolicy") or {}
    return Container(
        id=written["Id"],
        name=written["Name"].lstrip("/"),
        labels=config.get("Labels") or {},
        state=state["Status"],
        pid=state["Pid"],
        started=state["StartedAt"],
        finished=state["FinishedAt"],
        exit_code=state["ExitCode"],
        out_of_memory=bool(state.get("OOMKilled")),
        health=(state.get("Health") or {}).get("Status", "").replace("none", ""),
        restarts=written.get("RestartCount", 0),
        policy=policy.get("Name") or "no",
        most_restarts=policy.get("MaximumRetryCount") or 0,
        removes_itself=bool(host.get("AutoRemove")),
        most_tasks=host.get("PidsLimit") or 0,
        network_mode=host.get("NetworkMode") or "",
        uses=tuple(
            mode.removeprefix(_OF_ANOTHER)
            for mode in (host.get(key) or "" for key in ("NetworkMode", "PidMode", "IpcMode"))
            if mode.startswith(_OF_ANOTHER) and mode != _OF_ANOTHER
        ),
        networks=written["NetworkSettings"].get("Networks") or {},
    )
