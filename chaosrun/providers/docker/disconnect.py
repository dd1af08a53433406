"""Containers lose a network, as when a cable is pulled."""

from __future__ import annotations

import random
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.errors import ChaosrunError, Refused
from chaosrun.fault import Evidence, Hold, Permission
from chaosrun.providers.docker import marks, switch
from chaosrun.providers.docker.client import Docker, Engine
from chaosrun.providers.docker.containers import (
    Container,
    Containers,
    as_target,
    calls,
    each_now,
    engine_of,
    inspected,
    on_all,
    present,
    undo,
)
from chaosrun.targeting import Target, pick
from chaosrun.units import JSON

_ADDRESSES = (("IPAddress", "IPv4Address"), ("GlobalIPv6Address", "IPv6Address"))


class NetworkDisconnect(switch.Switched, frozen=True, kw_only=True):
    """Disconnect containers from a network of the engine, and connect them again as they were.

    Its interface is gone for the hold: calls fail at once, and others do not find its name and
    aliases. It is connected again with the same aliases, links and driver options, and with the
    same addresses; only on a network whose subnet nobody chose does Docker give an address as it
    likes.
    """

    name: ClassVar[str] = "docker.network-disconnect"
    permissions: ClassVar[tuple[Permission, ...]] = calls(
        "POST /networks/{id}/connect", "POST /networks/{id}/disconnect",
        *marks.CALLS,
    )  # fmt: skip
    example: ClassVar[dict[str, JSON]] = {
        "target": {"project": "shop", "service": "store", "pick": "one"},
        "with": {"from": "shop_backend"},
    }

    target: Containers
    from_: Annotated[
        str, Meta(description="The network's name; may be left out for containers with one only")
    ] = msgspec.field(default="", name="from")

    def plan(self, client: Docker, rng: random.Random) -> Hold:
        engine = client.engine(self.target.engine)
        running = [as_target(each, engine) for each in self.target.running(client, engine)]
        picked = pick(running, self.target.pick, rng)
        now = [present(client, engine, target) for target in picked]
        names = [self._network(each) for each in now]
        switched = switch.possible(engine, now, client)
        return Hold(
            fault=self.name,
            targets=tuple(
                _with_endpoint(target, each, name)
                for target, each, name in zip(picked, now, names, strict=True)
            ),
            population=len(running),
            effect=f"they lose the network {', '.join(sorted(set(names)))}",
            undo=undo(engine, **{switch.ON: switched}),
            way_back=f"they are connected again: {switch.in_words(switched)}",
            mechanism="docker network disconnect",
            expiry=switch.expiry(switched),
            used=self.permissions,
        )

    def _network(self, now: Container) -> str:
        """The network that it is to lose. Raises Refused."""
        if now.network_mode in ("host", "none") or now.network_mode.startswith("container:"):
            raise Refused(
                f"container {now.name} has no network of its own: it uses {now.network_mode}"
            )
        names = sorted(now.networks)
        if self.from_:
            if self.from_ not in names:
                raise Refused(
                    f"container {now.name} is not on the network {self.from_}",
                    hint=f"it is on {', '.join(names) or 'none'}",
                )
            return self.from_
        if len(names) != 1:
            raise Refused(
                f"container {now.name} is on {len(names)} networks",
                hint=f"say `from`, one of {', '.join(names)}" if names else "",
            )
        return names[0]

    @classmethod
    def do(cls, hold: Hold, client: Docker) -> None:
        for target, now in each_now(hold, client):
            if now is not None and target.undo["network"] in now.networks:
                client.disconnect(engine_of(hold), target.undo["network"], target.id)

    @classmethod
    def undo(cls, hold: Hold, client: Docker) -> None:
        for target, now in each_now(hold, client):
            name = target.undo["network"]
            if now is not None and not _is_on(now, name):
                _connect(client, engine_of(hold), target)

    @classmethod
    def took_effect(cls, hold: Hold, client: Docker) -> Evidence:
        return on_all(
            [
                (target, now is not None and target.undo["network"] not in now.networks,
                 _in_words(target, now))
                for target, now in each_now(hold, client)
            ]
        )  # fmt: skip

    @classmethod
    def restored(cls, hold: Hold, client: Docker) -> Evidence:
        seen = on_all(
            [
                (target, now is None or _as_before(target, now), _in_words(target, now))
                for target, now in each_now(hold, client)
            ]
        )
        return marks.and_none_left(seen, hold, client)


def _connect(client: Docker, engine: Engine, target: Target) -> None:
    """Connect it as it was.

    An address that Docker gave can be asked for again only where a person chose the network's
    subnet (nothing tells which do but the answer), and only while nobody else has it.
    """
    network, endpoint = target.undo["network"], target.undo["endpoint"]
    given = target.undo["given"]
    before = inspected(client, engine, target.id)
    if before is not None and network in before.networks:  # half, by a revert that was cut off
        client.disconnect(engine, network, target.id)
    if given:
        try:
            wished = {**endpoint, "IPAMConfig": {**endpoint.get("IPAMConfig", {}), **given}}
            client.connect(engine, network, target.id, wished)
            return
        except ChaosrunError:
            now = inspected(client, engine, target.id)
            if now is None or _is_on(now, network):
                return
            if network in now.networks:  # half connected, as Docker leaves it then
                client.disconnect(engine, network, target.id)
    client.connect(engine, network, target.id, endpoint)


def _is_on(now: Container, network: str) -> bool:
    """Whether it is on that network, with an address there if it runs."""
    there = now.networks.get(network)
    return there is not None and (not now.runs or any(there.get(shown) for shown, _ in _ADDRESSES))


def _with_endpoint(target: Target, now: Container, name: str) -> Target:
    """The target with what connecting it again takes, and what it must look like then."""
    there = now.networks[name]
    wanted: dict[str, Any] = dict(there.get("IPAMConfig") or {})
    given = {asked: there[shown] for shown, asked in _ADDRESSES if there.get(shown)}
    aliases = _aliases(there, now.id)
    endpoint = {
        key: value
        for key, value in (
            ("IPAMConfig", wanted), ("Links", there.get("Links")), ("Aliases", aliases),
            ("DriverOpts", there.get("DriverOpts")), ("GwPriority", there.get("GwPriority")),
        )
        if value
    }  # fmt: skip
    shown = {key: there.get(key, "") for key, asked in _ADDRESSES if asked in wanted}
    return msgspec.structs.replace(
        target,
        undo={
            "network": name,
            "endpoint": endpoint,
            "given": {asked: each for asked, each in given.items() if asked not in wanted},
            "addresses": shown,
            "aliases": aliases,
        },
    )


def _aliases(endpoint: dict[str, Any], container: str) -> list[str]:
    """Its aliases but for the short id, which older engines add by themselves."""
    return sorted(set(endpoint.get("Aliases") or ()) - {container[:12]})


def _as_before(target: Target, now: Container) -> bool:
    if not _is_on(now, target.undo["network"]):
        return False
    there = now.networks[target.undo["network"]]
    addresses = {key: there.get(key, "") for key in target.undo["addresses"]}
    return _aliases(there, now.id) == target.undo["aliases"] and (
        not now.runs or addresses == target.undo["addresses"]
    )


def _in_words(target: Target, now: Container | None) -> str:
    name = target.undo["network"]
    if now is None:
        return "is gone"
    there = now.networks.get(name)
    if there is None:
        return f"is not on {name}"
    return f"is on {name} as {there.get('IPAddress') or 'no address'}"
