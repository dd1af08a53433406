"""How much of a resource a person wants to be taken, and the harm that takes it.

Law (L3, L4): how much is taken is bounded before it begins, so that the runner and the rest of
the machine keep some.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.mechanisms import pressure
from chaosrun.units import Share, Size

Program = Annotated[
    Literal["auto", "stress-ng", "worker"],
    Meta(description="What presses: stress-ng where it is installed, or a small worker of ours"),
]


def in_words(by: str) -> str:
    """What presses."""
    return "stress-ng" if by else "a worker of chaosrun"


def one_of(size: Size | int | None, share: Share | None, what: str) -> None:
    """Raise ValueError unless just one of them was given."""
    if (size is None) == (share is None):
        raise ValueError(f"say how much: either {what} or share")
    if not (share.fraction if share is not None else _number(size)):
        raise ValueError(f"{what} and share are more than 0")


def _number(size: Size | int | None) -> int:
    return size.bytes if isinstance(size, Size) else size or 0


IN_MEMORY = ("tmpfs", "ramfs", "devtmpfs")
_BUSY_EACH = 4
"""How many busy processes there may be for each processor."""
_LEAST_MEMORY = Size.parse("128Mi").bytes
_LEAST_MEMORY_SHARE = 0.03
_MOST_WRITERS = 64
_LEAST_ROOM = Size.parse("16Mi").bytes
_LEAST_ROOM_SHARE = 0.005


class Space(msgspec.Struct, frozen=True, kw_only=True):
    """A file system: its size, what is free to us, in bytes; its kind, and its device's number."""

    whole: int
    free: int
    kind: str
    device: int


class Asked(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True,
    rename="camel",
):  # fmt: skip
    """What a person writes."""


class Busy(Asked, frozen=True, kw_only=True):
    """Processors that are busy."""

    load: Annotated[Share, Meta(description="How much of each core is wanted")] = Share(1)
    cores: (
        Annotated[int, Meta(ge=1, description="How many cores; all of them when not given")] | None
    ) = None
    nice: Annotated[
        int, Meta(ge=0, le=19, description="19 takes only what nobody else wants, 0 its fair part")
    ] = 0
    mechanism: Program = "auto"

    def __post_init__(self) -> None:
        if self.load.fraction < 0.01:
            raise ValueError("load is at least 1%")

    def harm(self, processors: int, by: str) -> pressure.Cpu:
        """The harm on that many processors. Raises Refused."""
        cores = self.cores or processors
        if cores > processors * _BUSY_EACH:
            raise Refused(
                f"{cores} busy processes are too many for {processors} processors",
                hint=f"at most {processors * _BUSY_EACH}, or chaosrun itself could not act in time",
            )
        return pressure.Cpu(cores=cores, load=self.load.fraction, nice=self.nice, by=by)

    def in_words(self, harm: pressure.Cpu) -> str:
        return f"{harm.cores} processes want {self.load} of a processor each"


class Taken(Asked, frozen=True, kw_only=True):
    """Memory that is taken."""

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

    def harm(self, whole: int, by: str) -> pressure.Memory:
        """The harm where there are that many bytes. Raises Refused."""
        least = min(_LEAST_MEMORY, whole // 8)  # a small control group holds no more than itself
        leave = self.leave.bytes if self.leave else max(least, int(whole * _LEAST_MEMORY_SHARE))
        if leave < least:
            raise Refused(f"leave is at least {Size(least)}, so that chaosrun itself survives")
        wanted = self.size.bytes if self.size else int((self.share or Share(0)).fraction * whole)
        if wanted > whole - leave:
            raise Refused(
                f"{Size(wanted)} of {whole >> 20}Mi cannot be used while {leave >> 20}Mi stay free",
                hint="take less",
            )
        return pressure.Memory(
            size=self.size.bytes if self.size else 0,
            share=self.share.fraction if self.share else 0.0,
            floor=leave,
            by=by,
        )

    def in_words(self, harm: pressure.Memory) -> str:
        much = f"{self.size}B are taken" if self.size else f"{self.share} of it is used"
        return f"{much}; {harm.floor >> 20}Mi stay available"


class Writing(Asked, frozen=True, kw_only=True):
    """A disk that is busy."""

    directory: Annotated[
        str, Meta(description="A directory on the disk", examples=["/var/lib/postgresql"])
    ]
    writers: Annotated[
        int, Meta(ge=1, le=_MOST_WRITERS, description="How many write at the same time")
    ] = 1
    size: Annotated[Size, Meta(description="How much each of them writes before it reads")] = (
        Size.parse("256Mi")
    )
    mechanism: Program = "auto"

    def __post_init__(self) -> None:
        if self.size < Size.parse("1Mi"):
            raise ValueError("size is at least 1Mi")

    def harm(self, directory: str, space: Space, by: str) -> pressure.Io:
        """The harm in that directory. Raises Refused."""
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
        return pressure.Io(
            directory=directory, writers=self.writers, size=self.size.bytes, by=by
        )  # fmt: skip

    def in_words(self) -> str:
        return f"{self.writers} write, sync and read {self.size}B each, over and over"


class Filling(Asked, frozen=True, kw_only=True):
    """A file system that is full."""

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

    def harm(self, directory: str, space: Space, memory: int) -> pressure.Disk:
        """The harm in that directory, on a machine with that much memory. Raises Refused."""
        leave = (
            self.leave.bytes
            if self.leave
            else max(_LEAST_ROOM, int(space.whole * _LEAST_ROOM_SHARE))
        )
        if space.kind in IN_MEMORY and memory < space.whole:
            raise Refused(
                f"{directory} is in memory, and larger than it", hint="use a fault of memory"
            )
        if self.size and self.size.bytes > space.free - leave:
            raise Refused(
                f"{directory} has {space.free >> 20}Mi free, of which {leave >> 20}Mi stay free; "
                f"{self.size}B do not fit",
                hint="fill less, or give a share",
            )
        if space.free <= leave:
            raise Refused(f"{directory} has only {space.free >> 20}Mi free already")
        return pressure.Disk(
            directory=directory,
            size=self.size.bytes if self.size else 0,
            share=self.share.fraction if self.share else 0.0,
            floor=leave,
        )

    def in_words(self, harm: pressure.Disk) -> str:
        much = f"{self.size}B more are used" if self.size else f"{self.share} is used"
        return f"{much}; at least {harm.floor >> 20}Mi stay free"


class Crowded(Asked, frozen=True, kw_only=True):
    """Tasks that exist."""

    count: Annotated[int, Meta(ge=1, description="How many tasks more")] | None = None
    share: (
        Annotated[Share, Meta(description="As many as make this share of the limit used")] | None
    ) = None
    leave: (
        Annotated[
            int,
            Meta(ge=0, description="How many stay free: 256, or 0 in a control group if not given"),
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        one_of(self.count, self.share, "count")

    def harm(self, leave: int) -> pressure.Tasks:
        """The harm; so many more tasks may still be made."""
        return pressure.Tasks(
            count=self.count or 0,
            share=self.share.fraction if self.share else 0.0,
            floor=leave,
        )

    def in_words(self) -> str:
        if self.count:
            return f"{self.count} tasks more exist"
        return f"{self.share} of the limit on tasks is used"
