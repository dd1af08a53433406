"""Harm done, undone and looked at by a person's own commands."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.codec import from_plain, to_json, to_plain
from chaosrun.commands import Completed
from chaosrun.errors import Indeterminate, Refused
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.place import Place, require_same_machine
from chaosrun.providers.host.client import Host
from chaosrun.targeting import Target
from chaosrun.units import JSON, CommandLine, Duration

_WRITTEN = "a text goes to `sh -c`, a list is run as it is"
Words = CommandLine
_SHOWN = 200
_NOT_RUN = (126, 127)
"""What a shell ends with when it cannot run a command. POSIX, XCU 2.8.2."""


class Undo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """All that the way back needs, and the injection too: they run from the hold alone."""

    inject: Words
    revert: Words
    took_effect: Words
    restored: Words
    timeout: float
    cwd: str
    env: dict[str, str] = {}
    place: Place | None = None


class Command(Fault[Host], frozen=True, kw_only=True):
    """Run commands of your own: one harms, one undoes it, and two look.

    `tookEffect` and `restored` end with 0 for yes and with anything else for no; they must only
    look. Both are asked before anything is done: it has not happened yet, and all is well, or
    the experiment is refused, because such a look would prove nothing later.

    `inject` and `revert` may be run more than once, and `revert` also when `inject` never ran or
    was cut off in the middle: that they can bear it is up to you. What `inject` leaves running in
    the background is killed before `revert` runs, and when chaosrun dies. Secrets belong in `env`:
    every user of the machine can read a command line.
    """

    name: ClassVar[str] = "host.command"
    example: ClassVar[dict[str, JSON]] = {
        "with": {
            "inject": "mv /srv/shop/cache /srv/shop/cache.away",
            "revert": "test ! -e /srv/shop/cache.away || mv /srv/shop/cache.away /srv/shop/cache",
            "tookEffect": "test ! -e /srv/shop/cache",
            "restored": "test -e /srv/shop/cache",
        }
    }

    inject_: Annotated[Words, Meta(description=f"Does the harm; {_WRITTEN}")] = msgspec.field(
        name="inject"
    )
    revert_: Annotated[Words, Meta(description="Undoes it")] = msgspec.field(name="revert")
    took_effect_: Annotated[Words, Meta(description="Looks whether the harm is there")] = (
        msgspec.field(name="tookEffect")
    )
    restored_: Annotated[Words, Meta(description="Looks whether all is as it was")] = msgspec.field(
        name="restored"
    )
    timeout: Annotated[Duration, Meta(description="How long each command may take")] = Duration(10)
    env: Annotated[dict[str, str], Meta(description="Variables added to their environment")] = {}
    cwd: Annotated[
        str, Meta(description="Where they run; without it, where chaosrun was started")
    ] = ""
    anywhere: Annotated[
        bool,
        Meta(description="They do the same on every machine, so another one may revert"),
    ] = False

    def __post_init__(self) -> None:
        checked("inject", self.inject_)
        checked("revert", self.revert_)
        checked("tookEffect", self.took_effect_)
        checked("restored", self.restored_)
        if not self.timeout:
            raise ValueError("timeout must be longer than 0s")

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        place = client.place()
        undo = Undo(
            inject=self.inject_,
            revert=self.revert_,
            took_effect=self.took_effect_,
            restored=self.restored_,
            timeout=self.timeout.seconds,
            cwd=client.directory(self.cwd),
            env=self.env,
            place=None if self.anywhere else place,
        )
        _ask_before(undo, client)
        digest = hashlib.sha256(to_json([self.inject_, undo.cwd])).hexdigest()[:16]
        return Hold(
            fault=self.name,
            targets=(
                Target(
                    kind="command",
                    id=digest if self.anywhere else f"{digest}.{place.node}",
                    name=_shown(self.inject_),
                    domain=place.node,
                ),
            ),
            population=1,
            effect=_shown(self.inject_),
            undo=to_plain(undo),
            way_back=_shown(self.revert_),
            mechanism="commands of your own",
        )

    @classmethod
    def inject(cls, hold: Hold, client: Host) -> None:
        undo = from_plain(hold.undo, Undo)
        done = _run(undo.inject, undo, client, mark=hold.mark)
        if done.code != 0:
            raise Indeterminate(f"inject ended with {_outcome(done)}")

    @classmethod
    def revert(cls, hold: Hold, client: Host) -> None:
        undo = from_plain(hold.undo, Undo)
        if undo.place is not None:
            require_same_machine(undo.place)
        client.end_marked(hold.mark)
        done = _run(undo.revert, undo, client)
        if done.code != 0:
            raise Indeterminate(f"revert ended with {_outcome(done)}")

    @classmethod
    def took_effect(cls, hold: Hold, client: Host) -> Evidence:
        undo = from_plain(hold.undo, Undo)
        return _evidence("tookEffect", _run(undo.took_effect, undo, client))

    @classmethod
    def restored(cls, hold: Hold, client: Host) -> Evidence:
        undo = from_plain(hold.undo, Undo)
        if undo.place is not None:
            require_same_machine(undo.place)
        return _evidence("restored", _run(undo.restored, undo, client))


def checked(name: str, command: Words | None) -> None:
    """Raise ValueError for a command that says nothing."""
    if command is not None and not (command.strip() if isinstance(command, str) else command):
        raise ValueError(f"{name} is an empty command")


def _ask_before(undo: Undo, client: Host) -> None:
    """The two looks, before anything was done: they must be able to tell the difference."""
    before = _run(undo.took_effect, undo, client)
    if before.code in _NOT_RUN:
        raise Refused(f"tookEffect could not be run ({_outcome(before)})")
    if before.code == 0:
        raise Refused(
            "tookEffect says yes before anything was injected, so it would prove nothing",
            hint="let it end with another code than 0 as long as there is no effect",
        )
    well = _run(undo.restored, undo, client)
    if well.code != 0:
        raise Refused(
            f"restored says no before anything was injected ({_outcome(well)})",
            hint="let it end with 0 when all is as it should be, as now",
        )


def _run(command: Words, undo: Undo, client: Host, *, mark: str = "") -> Completed:
    return client.run(command, timeout=undo.timeout, env=undo.env, cwd=undo.cwd, mark=mark)


def _evidence(name: str, done: Completed) -> Evidence:
    return Evidence(done.code == 0, f"{name} ended with {_outcome(done)}", {"code": done.code})


def _outcome(done: Completed) -> str:
    lines = (done.stdout if done.code == 0 else done.stderr or done.stdout).strip().splitlines()
    return f"{done.code}" + (f": {lines[-1][:_SHOWN]}" if lines else "")


def _shown(command: Words) -> str:
    words: Sequence[str] = [command] if isinstance(command, str) else command
    text = " ".join(" ".join(words).split())
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
