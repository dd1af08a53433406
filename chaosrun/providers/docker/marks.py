"""The mark that a fault leaves on an engine, and the sweep that finds it.

Law: the mark is put before the harm and taken after it. An engine lets nobody write on a container
that is there, so the mark is an empty volume, `chaosrun-...`, whose labels hold the whole hold: any
machine that reaches the engine can revert it. What is held by a dead man's switch on this machine
has its note beside.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import msgspec

from chaosrun.codec import from_json, from_plain, to_json, to_plain
from chaosrun.errors import Refused, Transient
from chaosrun.fault import Evidence, Found, Hold
from chaosrun.providers.docker.client import Docker, Engine
from chaosrun.providers.docker.containers import engine_of

LABEL = "dev.chaosrun.mark"
CALLS = ("POST /volumes/create", "GET /volumes", "DELETE /volumes/{id}")
_FAULT, _HOLD = "dev.chaosrun.fault", "dev.chaosrun.hold"


def name_of(hold: Hold) -> str:
    """The volume's name."""
    return f"chaosrun-{hashlib.sha256(hold.mark.encode()).hexdigest()[:32]}"


def put(hold: Hold, client: Docker) -> None:
    """Mark the engine. Twice is once."""
    labels = {LABEL: hold.mark, _FAULT: hold.fault, _HOLD: to_json(hold).decode()}
    client.put_mark(engine_of(hold), name_of(hold), labels)


def take(hold: Hold, client: Docker) -> None:
    """Take our mark, and no other, from the engine."""
    client.take_mark(engine_of(hold), name_of(hold))


def there(hold: Hold, client: Docker) -> bool:
    """Whether our mark is on the engine: the injection began."""
    return any(
        each["Name"] == name_of(hold)
        for each in client.marks(engine_of(hold), f"{LABEL}={hold.mark}")
    )


def and_none_left(seen: Evidence, hold: Hold, client: Docker) -> Evidence:
    """The evidence that all is as it was, if our mark is gone too."""
    if there(hold, client):
        return Evidence(False, f"{seen.detail}; the mark is still on the engine", seen.measured)
    return seen


def find(client: Docker) -> tuple[Found, ...]:
    """What is held on this machine, and what is on the default engine if one answers."""
    return (*_held(client), *_on_engine(client))


def _held(client: Docker) -> Iterator[Found]:
    """Harms inside of containers, by the word left of them; several are of one hold."""
    found: dict[str, Hold] = {}
    for order in client.held():
        with contextlib.suppress(msgspec.ValidationError):  # another provider's, or version's
            hold = from_plain(order.about, Hold)
            if hold.fault.startswith("docker."):
                found[hold.mark] = hold
    for mark, hold in found.items():
        yield Found(
            fault=hold.fault,
            mark=mark,
            target=", ".join(target.label for target in hold.targets),
            detail="held inside by processes of this machine",
            hold=hold,
        )


def _reached_by(hold: Hold, engine: Engine) -> Hold:
    """The hold, for a revert from here: who planned it may have reached the engine otherwise."""
    return msgspec.structs.replace(hold, undo={**hold.undo, "engine": to_plain(engine)})


def _on_engine(client: Docker) -> Iterator[Found]:
    try:
        engine = client.engine()
    except (Transient, Refused):  # no engine here, or none for us: nothing of ours is on it
        return
    for volume in client.marks(engine, LABEL):
        labels = volume.get("Labels") or {}
        hold = None
        with contextlib.suppress(msgspec.MsgspecError):  # of another version
            hold = _reached_by(from_json(labels.get(_HOLD, ""), Hold), engine)
        targets = [target.label for target in hold.targets] if hold else [volume["Name"]]
        yield Found(
            fault=labels.get(_FAULT, ""),
            mark=labels[LABEL],
            target=", ".join(targets),
            detail=f"marked by the volume {volume['Name']} of engine {engine.name}",
            hold=hold,
        )
