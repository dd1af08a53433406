"""The marks that faults of this provider leave, as a sweep finds them. Reads only.

A pause is known by the word left of it and by its watchdog, a harm by the word left of it, a
toxic by its proxy, and what a command left running by its environment.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from chaosrun import discovery
from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import ChaosrunError
from chaosrun.fault import Expiry, Found, Hold
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.process_pause import ProcessPause
from chaosrun.providers.host.proxy.messages import Request
from chaosrun.providers.host.selection import identity_of
from chaosrun.providers.host.tcp_proxy import TcpProxy
from chaosrun.targeting import Target


def find(client: Host) -> tuple[Found, ...]:
    """What is there now, whoever put it there."""
    return (*_pauses(client), *_harms(client), *_toxics(client), *_commands(client))


def _pauses(client: Host) -> Iterator[Found]:
    watched = client.watchdogs()
    for hold in client.pauses():
        stopped = [t.label for t in hold.targets if client.state(identity_of(t)) == "T"]
        guarded = watched.pop(hold.mark, None) is not None
        if stopped or guarded:
            yield Found(
                fault=ProcessPause.name,
                mark=hold.mark,
                target=", ".join(stopped or [target.label for target in hold.targets]),
                detail=("stopped" if stopped else "running")
                + (", with a watchdog" if guarded else ", and its watchdog is gone"),
                hold=hold,
            )
    for mark, identities in watched.items():  # the word of it was lost
        yield Found(
            fault=ProcessPause.name,
            mark=mark,
            target=", ".join(f"watchdog {identity.pid}" for identity in identities),
            detail="a watchdog that will continue its processes at their deadline",
            since=client.started_at(identities[0]),
        )


def _harms(client: Host) -> Iterator[Found]:
    for order in client.harms():
        try:
            hold = from_plain(order.about, Hold)
        except msgspec.ValidationError:  # another provider's, or of another version
            continue
        if discovery.provider_of("faults", hold.fault).name != "host":
            continue
        try:
            seen = client.look(order)
            detail = seen.detail if seen.any else "nothing of it is left but the word of it"
        except ChaosrunError as error:
            detail = str(error)
        yield Found(
            fault=hold.fault,
            mark=order.mark,
            target=", ".join(target.label for target in hold.targets),
            detail=detail,
            hold=hold,
        )


def _toxics(client: Host) -> Iterator[Found]:
    for control in client.proxies():
        try:
            status = client.proxy(control, Request(do="status"))
        except ChaosrunError as error:
            yield Found(fault=TcpProxy.name, mark="", target=control, detail=str(error))
            continue
        for on in status.toxics if status else ():
            assert status is not None
            place = client.place()
            target = Target(
                kind="tcp-proxy",
                id=f"{status.listen}.{place.key}",
                name=f"{status.listen} -> {status.upstream}",
                domain=place.node,
            )
            yield Found(
                fault=TcpProxy.name,
                mark=on.toxic.mark,
                target=target.label,
                detail=f"on, and ends by itself in {on.left:.0f}s",
                since=on.since,
                hold=Hold(
                    fault=TcpProxy.name,
                    targets=(target,),
                    population=1,
                    effect="connections through the proxy are harmed",
                    undo={
                        "place": to_plain(place),
                        "control": control,
                        "proxy": to_plain(client.identity(status.pid)),
                        "toxic": to_plain(on.toxic),
                    },
                    expiry=Expiry.TARGET,
                    mark=on.toxic.mark,
                    deadline=on.toxic.deadline,
                ),
            )


def _commands(client: Host) -> Iterator[Found]:
    names = {each.pid: each for each in client.processes()}
    for pid, mark in client.commands().items():
        if pid in names:
            yield Found(
                fault="host.command",
                mark=mark,
                target=f"{names[pid].name} (pid {pid})",
                detail="left running by a command with that mark",
                since=client.started_at(names[pid].identity),
            )
