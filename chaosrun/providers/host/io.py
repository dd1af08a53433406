"""A disk is busy, as beside a backup or a compaction."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms import pressure
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held, machine_target
from chaosrun.providers.host.pressing import WAY_BACK, Program, in_words, path_of
from chaosrun.units import JSON, Size

IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")
_MOST = 64


class Io(Held, frozen=True, kw_only=True):
    """Keep a disk busy: write, sync and read files in a directory on it, without pause.

    The files have no names, so the kernel frees them when their writers end, however they end.
    """

    name: ClassVar[str] = "host.io"
    example: ClassVar[dict[str, JSON]] = {"with": {"directory": "/var/lib/postgresql"}}

    directory: Annotated[
        str, Meta(description="A directory on the disk", examples=["/var/lib/postgresql"])
    ]
    writers: Annotated[int, Meta(ge=1, le=_MOST, description="How many write at the same time")] = 1
    size: Annotated[Size, Meta(description="How much each of them writes before it reads")] = (
        Size.parse("256Mi")
    )
    mechanism: Program = "auto"

    def __post_init__(self) -> None:
        if self.size < Size.parse("1Mi"):
            raise ValueError("size is at least 1Mi")

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        directory = client.directory(self.directory)
        space = client.space(directory)
        if space.kind in IN_MEMORY:
            raise Refused(
                f"{directory} is in memory ({space.kind}), and on no disk",
                hint="name a directory on the disk that is meant",
            )
        if self.writers * self.size.bytes > space.free // 2:
            raise Refused(
                f"{self.writers} x {self.size}B is more than half of what is free in {directory}",
                hint="a smaller size does as well: it is written again and again",
            )
        by = path_of(self.mechanism, client)
        return self.held(
            client,
            pressure.Io(
                directory=directory, writers=self.writers, size=self.size.bytes, by=by
            ),
            target=machine_target("disk", client, f"the disk of {directory}", str(space.device)),
            effect=f"{self.writers} write, sync and read {self.size}B each, over and over",
            way_back=WAY_BACK,
            mechanism=in_words(by),
        )  # fmt: skip
