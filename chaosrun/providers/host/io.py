"""A disk is busy, as beside a backup or a compaction."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.fault import Hold
from chaosrun.mechanisms.asked.pressure import Writing, in_words
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held, machine_target
from chaosrun.providers.host.pressing import WAY_BACK, path_of
from chaosrun.units import JSON


class Io(Held, Writing, frozen=True, kw_only=True):
    """Keep a disk busy: write, sync and read files in a directory on it, without pause.

    The files have no names, so the kernel frees them when their writers end, however they end.
    """

    name: ClassVar[str] = "host.io"
    example: ClassVar[dict[str, JSON]] = {"with": {"directory": "/var/lib/postgresql"}}

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        directory = client.directory(self.directory)
        space = client.space(directory)
        by = path_of(self.mechanism, client)
        return self.held(
            client,
            self.harm(directory, space, by),
            target=machine_target("disk", client, f"the disk of {directory}", str(space.device)),
            effect=self.in_words(),
            way_back=WAY_BACK,
            mechanism=in_words(by),
        )  # fmt: skip
