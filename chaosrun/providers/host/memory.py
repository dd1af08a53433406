"""Memory is short, as beside a process that leaks."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms import pressure
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held
from chaosrun.providers.host.pressing import WAY_BACK, Group, Program, in_words, one_of, path_of
from chaosrun.units import JSON, Share, Size

_LEAST = Size.parse("128Mi").bytes
_LEAST_SHARE = 0.03


class Memory(Held, frozen=True, kw_only=True):
    """Take memory, on the whole machine or inside of one control group.

    What is taken is really there, page by page. `leave` stays available: when others need it, all
    of it is given back at once and the fault is over. If the kernel must kill somebody for memory,
    it is our worker first.
    """

    name: ClassVar[str] = "host.memory"
    example: ClassVar[dict[str, JSON]] = {"with": {"share": "80%"}}

    target: Group = Group()
    size: Annotated[Size, Meta(description="How much to take")] | None = None
    share: (
        Annotated[Share, Meta(description="Take as much as makes this share of all memory used")]
        | None
    ) = None
    leave: (
        Annotated[
            Size,
            Meta(
                description="How much stays available; 3% of all, and at least 128Mi, if not given"
            ),
        ]
        | None
    ) = None
    mechanism: Program = "auto"

    def __post_init__(self) -> None:
        one_of(self.size, self.share, "size")

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        target, inside = self.target.found("memory", client)
        whole = client.memory(inside.pid)
        least = min(_LEAST, whole // 8)  # a small control group holds no more than itself
        leave = self.leave.bytes if self.leave else max(least, int(whole * _LEAST_SHARE))
        if leave < least:
            raise Refused(f"leave is at least {Size(least)}, so that chaosrun itself survives")
        wanted = self.size.bytes if self.size else int((self.share or Share(0)).fraction * whole)
        if wanted > whole - leave:
            raise Refused(
                f"{Size(wanted)} of {whole >> 20}Mi cannot be used while {leave >> 20}Mi stay free",
                hint="take less",
            )
        by = path_of(self.mechanism, client)
        return self.held(
            client,
            pressure.Memory(
                size=self.size.bytes if self.size else 0,
                share=self.share.fraction if self.share else 0.0,
                floor=leave,
                by=by,
            ),
            target=target,
            inside=inside,
            effect=(
                (f"{self.size}B are taken" if self.size else f"{self.share} of it is used")
                + f"; {leave >> 20}Mi stay available"
            ),
            way_back=WAY_BACK,
            mechanism=in_words(by),
        )
