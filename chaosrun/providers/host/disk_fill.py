"""A file system is full, as when logs are not rotated."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms import pressure
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held, machine_target
from chaosrun.providers.host.io import IN_MEMORY
from chaosrun.providers.host.pressing import one_of
from chaosrun.units import JSON, Share, Size

_LEAST = Size.parse("16Mi").bytes
_LEAST_SHARE = 0.005


class DiskFill(Held, frozen=True, kw_only=True):
    """Fill a file system with one file, and leave a little room.

    The file, `chaosrun-fill-` and the mark, loses its name as soon as it is open: `df` shows it,
    `du` does not, `lsof +L1` names it, and the kernel frees it when its worker ends, however that
    ends. Where others need the room that was to stay free, the file shrinks.
    """

    name: ClassVar[str] = "host.disk-fill"
    example: ClassVar[dict[str, JSON]] = {"with": {"directory": "/var/log", "share": "95%"}}

    directory: Annotated[
        str, Meta(description="A directory on the file system", examples=["/var/log"])
    ]
    size: Annotated[Size, Meta(description="How much to fill")] | None = None
    share: (
        Annotated[Share, Meta(description="Fill until this share of the file system is used")]
        | None
    ) = None
    leave: (
        Annotated[
            Size,
            Meta(description="How much stays free; 0.5% of all, and at least 16Mi, if not given"),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        one_of(self.size, self.share, "size")

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        directory = client.directory(self.directory)
        space = client.space(directory)
        leave = self.leave.bytes if self.leave else max(_LEAST, int(space.whole * _LEAST_SHARE))
        if space.kind in IN_MEMORY and client.memory() < space.whole:
            raise Refused(f"{directory} is in memory, and larger than it", hint="use host.memory")
        if self.size and self.size.bytes > space.free - leave:
            raise Refused(
                f"{directory} has {space.free >> 20}Mi free, of which {leave >> 20}Mi stay free; "
                f"{self.size}B do not fit",
                hint="fill less, or give a share",
            )
        if space.free <= leave:
            raise Refused(f"{directory} has only {space.free >> 20}Mi free already")
        return self.held(
            client,
            pressure.Disk(
                directory=directory,
                size=self.size.bytes if self.size else 0,
                share=self.share.fraction if self.share else 0.0,
                floor=leave,
            ),
            target=machine_target(
                "file-system", client, f"the file system of {directory}", str(space.device)
            ),
            effect=(
                (f"{self.size}B more are used" if self.size else f"{self.share} is used")
                + f"; at least {leave >> 20}Mi stay free"
            ),
            way_back="its worker ends, by the deadline at the latest, and the file with it",
            mechanism="a file without a name",
        )
