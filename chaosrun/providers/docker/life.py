"""What the faults that end a container's processes have in common: its runs, and its return.

Law (L2): a container that ran before runs again, in a run of its own or a later one, and no call
of ours that would end it is still under way.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import msgspec

from chaosrun.codec import from_plain, to_plain
from chaosrun.errors import Indeterminate, Refused
from chaosrun.fault import Evidence, Hold
from chaosrun.providers.docker import marks
from chaosrun.providers.docker.client import Docker, Engine, until
from chaosrun.providers.docker.containers import (
    Container,
    Listed,
    all_running,
    as_target,
    each_now,
    engine_of,
    inspected,
    on_all,
    present,
)
from chaosrun.targeting import Target

LATER = 1.0
"""How many seconds longer than it should take an order that lost its caller may still end one."""
_STARTS_WITHIN = 5.0
_NOTICED_WITHIN = 2.0


class Before(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One run of a container, when it was planned."""

    pid: int
    started: str
    policy: str
    health: str = ""


def targets_of(found: Sequence[Listed], engine: Engine) -> list[Target]:
    return [as_target(each, engine) for each in found]


def with_runs(
    targets: Sequence[Target], client: Docker, engine: Engine
) -> list[tuple[Target, Container]]:
    """The targets with the runs that they have now. Raises Refused when one must not end."""
    found = [_with_run(target, client, engine) for target in targets]
    refuse_shared(targets, client, engine)
    return found


def refuse_shared(targets: Sequence[Target], client: Docker, engine: Engine) -> None:
    """Raise Refused when other running containers are in the namespaces of a target.

    Those end with the target's processes: the others die, or keep a network that leads nowhere,
    and nothing that brings the target back mends them.
    """
    running = all_running(client, engine)
    for target in targets:
        others = [each.name for each in running if any(_names(word, target) for word in each.uses)]
        if others:
            raise Refused(
                f"container {target.label} shares its namespaces with {', '.join(others)}, "
                "which would not come back with it",
                hint="pick another, or harm it while it runs: docker.pause, docker.network",
            )


def _names(word: str, target: Target) -> bool:
    """Whether a name, an id or the beginning of one means that container."""
    return word == target.name or target.id.startswith(word)


def _with_run(target: Target, client: Docker, engine: Engine) -> tuple[Target, Container]:
    now = present(client, engine, target)
    if not now.runs:
        raise Refused(f"container {now.name} does not run any more: it is {now.state}")
    if now.owner:
        raise Refused(f"container {now.name} is of {now.owner}")
    if now.removes_itself:
        raise Refused(
            f"container {now.name} is removed as soon as it ends (--rm)",
            hint="pick others; docker.remove is for what is gone for good",
        )
    before = Before(pid=now.pid, started=now.started, policy=now.policy, health=now.health)
    return msgspec.structs.replace(target, undo=to_plain(before)), now


def before_of(target: Target) -> Before:
    return from_plain(target.undo, Before)


def same_run(target: Target, now: Container | None) -> bool:
    """Whether the container still is in the run in which it was planned."""
    return now is not None and now.runs and now.started == before_of(target).started


def await_ends(hold: Hold, client: Docker, within: float) -> bool:
    """Wait until no target is in its old run; whether that is so."""
    return until(
        lambda: not any(same_run(target, now) for target, now in each_now(hold, client)), within
    )


def bring_back(
    hold: Hold, client: Docker, *, ends_within: float, heals_within: float = 0.0,
    crashed: bool = False,
) -> None:  # fmt: skip
    """Have every target run again.

    What we asked for may still be about to end one of them when the mark is there and it is in
    its old run: that is waited for, since what is started before its end would be ended by it.
    Then those whose restart policy brings them back have `heals_within` to do so, and the rest
    are started: Docker makes one that ends again and again wait ever longer.
    """
    engine = engine_of(hold)
    if marks.there(hold, client):
        await_ends(hold, client, ends_within)
        if crashed:
            until(lambda: not _dying(hold, client), _NOTICED_WITHIN)
    until(lambda: not any(_heals(now) for _, now in each_now(hold, client)), heals_within)
    for target, now in each_now(hold, client):
        if now is None or now.runs:
            continue
        if _heals(now):
            client.restart(engine, target.id, 0)  # a mere start would leave it waiting
        else:
            client.start(engine, target.id)
        if not until(partial(_runs, client, engine, target.id), _STARTS_WITHIN):
            raise Indeterminate(f"container {target.label} was started, and does not run")


def _dying(hold: Hold, client: Docker) -> bool:
    """Whether a first process has ended, and the engine has not noticed yet."""
    return any(
        now is not None and same_run(target, now) and not client.alive(now.pid, now.id)
        for target, now in each_now(hold, client)
    )


def _runs(client: Docker, engine: Engine, container: str) -> bool:
    now = inspected(client, engine, container)
    return now is None or now.runs


def _heals(now: Container | None) -> bool:
    """Whether its restart policy is about to start it."""
    return now is not None and now.state == "restarting"


def ended(hold: Hold, client: Docker) -> Evidence:
    """Evidence that every target's old run is over."""
    return on_all([_end(target, now) for target, now in each_now(hold, client)])


def _end(target: Target, now: Container | None) -> tuple[Target, bool, str]:
    if now is None:
        return target, True, "is gone"
    if same_run(target, now):
        return target, False, "runs as before"
    if now.runs:
        return target, True, f"ended, and was started again at {moment(now.started)}"
    return target, True, f"ended with exit code {now.exit_code} at {moment(now.finished)}"


def down(hold: Hold, client: Docker) -> Evidence:
    """Evidence that no target runs."""
    return on_all(
        [
            (target, now is not None and not now.runs, _end(target, now)[2])
            for target, now in each_now(hold, client)
        ]
    )


def back(hold: Hold, client: Docker) -> Evidence:
    """Evidence that every target runs, is not ill, and that no mark is left."""
    seen = on_all([_return(target, now) for target, now in each_now(hold, client)])
    return marks.and_none_left(seen, hold, client)


def _return(target: Target, now: Container | None) -> tuple[Target, bool, str]:
    if now is None:
        return target, True, "is gone: somebody removed it, and this fault did not"
    if not now.runs or now.paused:
        return target, False, f"is {now.state}"
    if now.health == "unhealthy" and before_of(target).health != "unhealthy":
        return target, False, "runs, and is unhealthy, which it was not before"
    if now.started == before_of(target).started:
        return target, True, "runs as before"
    health = f", {now.health}" if now.health else ""
    by = f" by its restart policy ({now.policy})" if now.restarts else ""
    return target, True, f"runs again{by}, since {moment(now.started)}{health}"


def moment(text: str) -> str:
    """The time of day of an engine's time stamp: `12:30:05.123`."""
    return text.partition("T")[2][:12].rstrip("Z")
