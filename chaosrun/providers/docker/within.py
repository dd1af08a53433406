"""What the faults share that are done inside of containers, by a process of this machine.

Law (L1-L3): nothing of the container's image is used or changed. A process of ours joins its
namespaces or its control group, holds the harm, and ends it at the deadline or as soon as the
container's first process ends: a container that is started again is another place, which is not
harmed, and the looks say so.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import msgspec

from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Expiry, Fault, Hold, Permission
from chaosrun.mechanisms.harm import Harm, Order
from chaosrun.mechanisms.inside import Inside, Joined
from chaosrun.place import Place, still_here
from chaosrun.providers.docker import switch
from chaosrun.providers.docker.client import Docker, Engine
from chaosrun.providers.docker.containers import (
    Container,
    Containers,
    as_target,
    calls,
    engine_of,
    inspected,
    on_all,
    present,
    undo,
)
from chaosrun.targeting import Target, pick

NET_ADMIN = Permission("linux", "CAP_NET_ADMIN", "queueing disciplines, nftables, routes")
SYS_ADMIN = Permission("linux", "CAP_SYS_ADMIN", "namespaces of containers")
SYS_PTRACE = Permission("linux", "CAP_SYS_PTRACE", "namespaces and files of containers")
NET_RAW = Permission("linux", "CAP_NET_RAW", "packets sent on by the TUN mechanism")
IN_NETWORK = (*calls(), NET_ADMIN, SYS_ADMIN, SYS_PTRACE)
IN_GROUP = (*calls(), SYS_ADMIN, SYS_PTRACE)
TARGET = "target"
WAY_BACK = (
    "a process of this machine ends it at the deadline, with the container, or when chaosrun says "
    "so before"
)


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to one container: the harm, in words, how, and with which rights."""

    harm: Harm
    effect: str
    mechanism: str
    used: tuple[Permission, ...]


@dataclass(frozen=True, kw_only=True)
class At:
    """One container when it is planned, where a harm would be, and the way to look."""

    now: Container
    inside: Inside
    engine: Engine
    client: Docker


class Within(Fault[Docker], frozen=True, kw_only=True):
    """A fault that is one harm inside of each container. A subclass gives `target` and `part`.

    (`target` is a field of each: of two structs with fields none can inherit.)
    """

    expiry: ClassVar[Expiry] = Expiry.TARGET
    joins: ClassVar[tuple[Joined, ...]] = ("net",)
    way_back: ClassVar[str] = WAY_BACK

    def part(self, at: At) -> Part:
        """What is done to that container. Reads only."""
        raise NotImplementedError

    def plan(self, client: Docker, rng: random.Random) -> Hold:
        meant: Containers = getattr(self, TARGET)
        engine = client.engine(meant.engine)
        running = [as_target(each, engine) for each in meant.running(client, engine)]
        targets = pick(running, meant.pick, rng)
        now = [present(client, engine, target) for target in targets]
        if not switch.possible(engine, now, client):
            raise Refused(
                f"the containers of engine {engine.name} are not on this machine",
                hint="run chaosrun where they are: this works inside of their namespaces",
            )
        parts = [self._planned(each, engine, client) for each in now]
        used = dict.fromkeys(right for part, _ in parts for right in part.used)
        client.require([right.action for right in used if right.system == "linux"])
        return Hold(
            fault=self.name,
            targets=tuple(
                msgspec.structs.replace(
                    target,
                    undo={
                        "started": each.started,
                        "inside": to_plain(inside),
                        "harm": to_plain(part.harm),
                    },
                )
                for target, each, (part, inside) in zip(targets, now, parts, strict=True)
            ),
            population=len(running),
            effect="; ".join(dict.fromkeys(part.effect for part, _ in parts)),
            undo=undo(engine, place=to_plain(client.place())),
            way_back=self.way_back,
            mechanism="; ".join(dict.fromkeys(part.mechanism for part, _ in parts)),
            expiry=self.expiry,
            used=tuple(used),
        )

    def _planned(self, now: Container, engine: Engine, client: Docker) -> tuple[Part, Inside]:
        if "cgroup" not in self.joins and _shares_network(now):
            raise Refused(
                f"container {now.name} has no network of its own: it uses {now.network_mode}",
                hint="harm whose network it is: host.* for this machine's, or that container",
            )
        place = Inside(pid=now.pid, joins=self.joins, ends_with_it=True)
        inside = client.found(place)
        return self.part(At(now=now, inside=inside, engine=engine, client=client)), inside

    @classmethod
    def inject(cls, hold: Hold, client: Docker) -> None:
        if not still_here(from_plain(hold.undo["place"], Place)):
            raise Refused("the machine was restarted since this was planned")
        for target, order in _orders(hold):
            now = inspected(client, engine_of(hold), target.id)
            if now is None or now.started != target.undo["started"]:
                raise Refused(f"container {target.label} was started again since it was planned")
            client.hold(order)

    @classmethod
    def revert(cls, hold: Hold, client: Docker) -> None:
        for _, order in _orders(hold):
            client.end(order)

    @classmethod
    def took_effect(cls, hold: Hold, client: Docker) -> Evidence:
        seen, measured = [], {}
        for target, order in _orders(hold):
            now = inspected(client, engine_of(hold), target.id)
            if now is None or not now.runs or now.started != target.undo["started"]:
                seen.append((target, False, _another(now)))
                continue
            looked = client.look(order)
            seen.append((target, looked.there, f"({looked.detail})"))
            measured[target.label] = looked.measured
        told = on_all(seen)
        return Evidence(told.seen, told.detail, _flat(measured))

    @classmethod
    def restored(cls, hold: Hold, client: Docker) -> Evidence:
        seen, measured = [], {}
        for target, order in _orders(hold):
            looked = client.look(order)
            seen.append((target, not looked.any, f"({looked.detail})"))
            measured[target.label] = looked.measured
        told = on_all(seen)
        return Evidence(told.seen, told.detail, _flat(measured))


def _orders(hold: Hold) -> Iterator[tuple[Target, Order]]:
    """One order for each target: they are in places of their own."""
    about, place = to_plain(hold), from_plain(hold.undo["place"], Place)
    for number, target in enumerate(hold.targets):
        yield (
            target,
            Order(
                mark=f"{hold.mark}.{number}",
                deadline=hold.deadline,
                harm=target.undo["harm"],
                inside=from_plain(target.undo["inside"], Inside),
                place=place,
                about=about,
            ),
        )


def _another(now: Container | None) -> str:
    if now is None:
        return "is gone, and the harm with it"
    if not now.runs:
        return f"is {now.state}, and the harm ended with it"
    return "was started again: what runs now is not harmed"


def _flat(measured: dict[str, dict[str, object]]) -> dict[str, object]:
    """Of one container its own numbers; of several those of each."""
    return dict(measured) if len(measured) != 1 else next(iter(measured.values()))


def _shares_network(now: Container) -> bool:
    return now.network_mode == "host" or now.network_mode.startswith("container:")


class Names:
    """Looks up peers as the container would: its neighbours on networks first, then anybody."""

    def __init__(self, client: Docker, engine: Engine, now: Container) -> None:
        self._client, self._engine, self._now = client, engine, now

    def addresses(self, name: str) -> list[str]:
        """The addresses of a container, a service, an alias or a host. Raises Transient."""
        near = [
            (one, network)
            for network in sorted(self._now.networks)
            for one in self._client.containers(self._engine, {"network": [network]})
            if one["Id"] != self._now.id  # nobody is a peer of itself
        ]
        named = [each for each in near if name in _names(each[0])]
        named = named or [each for each in near if name in self._aliases(*each)]
        found = {
            address
            for one, network in named
            for key in ("IPAddress", "GlobalIPv6Address")
            if (address := (one["NetworkSettings"]["Networks"].get(network) or {}).get(key))
        }
        return sorted(found) or self._client.addresses(name)

    def _aliases(self, one: dict[str, Any], network: str) -> list[str]:
        full = inspected(self._client, self._engine, one["Id"])
        endpoint = full.networks.get(network, {}) if full else {}
        return [*(endpoint.get("Aliases") or ()), *(endpoint.get("DNSNames") or ())]


def _names(one: dict[str, Any]) -> list[str]:
    """The names of a listed container."""
    return [name.lstrip("/") for name in one.get("Names") or ()]


def directory_in(now: Container, directory: str) -> str:
    """A directory of the container, checked. Raises Refused."""
    if not directory.startswith("/"):
        raise Refused(f"{directory} is not whole: a directory in a container begins with /")
    path = f"/proc/{now.pid}/root"
    for part in directory.strip("/").split("/"):
        path = f"{path}/{part}"
        if part == ".." or os.path.islink(path):  # it would lead out, to a place of this machine
            raise Refused(
                f"{directory} of container {now.name} is reached by a link",
                hint="name the directory itself",
            )
    return directory
