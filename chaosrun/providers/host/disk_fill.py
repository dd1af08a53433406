"""A file system is full, as when logs are not rotated."""

from __future__ import annotations

import random
from typing import ClassVar

from chaosrun.errors import Refused
from chaosrun.fault import Hold
from chaosrun.mechanisms.asked.pressure import Filling
from chaosrun.providers.host.client import Host
from chaosrun.providers.host.held import Held, machine_target
from chaosrun.units import JSON, Size

_LEAST = Size.parse("16Mi")


class DiskFill(Held, Filling, frozen=True, kw_only=True):
    """Fill a file system with one file, and leave a little room.

    The file, `chaosrun-fill-` and the mark, loses its name as soon as it is open: `df` shows it,
    `du` does not, `lsof +L1` names it, and the kernel frees it when its worker ends, however that
    ends. Where others need the room that was to stay free, the file shrinks.
    """

    name: ClassVar[str] = "host.disk-fill"
    example: ClassVar[dict[str, JSON]] = {"with": {"directory": "/var/log", "share": "95%"}}

    def plan(self, client: Host, rng: random.Random) -> Hold:  # noqa: ARG002
        directory = client.directory(self.directory)
        space = client.space(directory)
        harm = self.harm(directory, space, client.memory())
        if harm.floor < _LEAST.bytes and space.device in client.own_devices():
            raise Refused(
                f"at least {_LEAST}B stay free on the file system of {directory}, where "
                "chaosrun and the system write too",
                hint="give the service a file system of its own, or leave more",
            )
        return self.held(
            client,
            harm,
            target=machine_target(
                "file-system", client, f"the file system of {directory}", str(space.device)
            ),
            effect=self.in_words(harm),
            way_back="its worker ends, by the deadline at the latest, and the file with it",
            mechanism="a file without a name",
        )
