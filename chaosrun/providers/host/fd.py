"""Files and sockets can no longer be opened, as after a leak of descriptors."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold, Permission
from chaosrun.mechanisms import pressure
from chaosrun.mechanisms.asked.pressure import one_of
from chaosrun.mechanisms.open_limit import Limited, OpenLimit
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held, machine_target
from chaosrun.providers.host.pressing import WAY_BACK
from chaosrun.providers.host.selection import Processes, as_target, identity_of
from chaosrun.targeting import pick
from chaosrun.units import JSON, Share

_LIMIT = Permission("linux", "CAP_SYS_RESOURCE", "limits of processes of other users")


class Fd(Held, frozen=True, kw_only=True):
    """Let processes run out of file descriptors, or the whole machine.

    With a target, each of these processes can open only `leave` files and sockets more: its
    own soft limit is lowered, and raised again afterwards, also for what it started meanwhile.
    What is open stays open. Without a target a worker holds `count` files open, or as many as make
    `share` of the machine's limit (fs.file-max) open, and `leave` stay free for all.
    """

    name: ClassVar[str] = "host.fd"
    permissions: ClassVar[tuple[Permission, ...]] = (_LIMIT,)
    example: ClassVar[dict[str, JSON]] = {"target": {"name": "nginx"}, "with": {"leave": 4}}

    target: Processes | None = None
    count: Annotated[int, Meta(ge=1, description="How many files more are open")] | None = None
    share: (
        Annotated[Share, Meta(description="As many as make this share of the limit open")] | None
    ) = None
    leave: (
        Annotated[
            int,
            Meta(
                ge=0,
                description="How many can still be opened: by each process of the target (0 if not "
                "given), or by all (1024 if not given)",
            ),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        if self.target is None:
            one_of(self.count, self.share, "count")
            if self.leave is not None and self.leave < 256:
                raise ValueError("leave is at least 256 on the whole machine: chaosrun needs some")
        elif self.count is not None or self.share is not None:
            raise ValueError("count and share are for the whole machine; with a target say leave")

    def plan(self, client: Host, rng: random.Random) -> Hold:
        return (
            self._of_machine(client) if self.target is None else self._of(self.target, client, rng)
        )

    def _of_machine(self, client: Host) -> Hold:
        leave = 1024 if self.leave is None else self.leave
        return self.held(
            client,
            pressure.Files(
                count=self.count or 0,
                share=self.share.fraction if self.share else 0.0,
                floor=leave,
            ),
            target=machine_target("open-files", client),
            effect=f"{self.count} files more are open"
            if self.count
            else f"{self.share} of the limit on open files is used",
            way_back=WAY_BACK,
            mechanism="a worker that holds files open",
        )

    def _of(self, selection: Processes, client: Host, rng: random.Random) -> Hold:
        population = [as_target(each, client, {}) for each in selection.matching(client)]
        targets = pick(population, selection.pick, rng)
        others = any(target.undo["user"] != client.user() for target in targets)
        if others and _LIMIT.action not in client.capabilities():
            raise Refused(
                f"{targets[0].label} is of another user, and limits of others take {_LIMIT.action}",
                hint="run as its user, or with that capability",
            )
        leave = self.leave or 0
        harm = OpenLimit(
            processes=tuple(
                Limited(
                    pid=identity_of(target).pid, started=identity_of(target).started,
                    soft=client.open_limit(identity_of(target)),
                )
                for target in targets
            ),
            leave=leave,
            youngest=client.youngest(identity_of(target) for target in targets),
        )  # fmt: skip
        return self.held(
            client,
            harm,
            targets=targets,
            population=len(population),
            effect=f"they can open {leave or 'no'} files more",
            way_back="their limits are raised again, at the deadline at the latest",
            mechanism="their soft limit RLIMIT_NOFILE",
            used=(_LIMIT,) if others else (),
        )
