"""A command of your own on instances, undone there at its deadline."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.providers.aws.ssm import OnInstances, Script
from chaosrun.units import JSON, SEEN_BY_OTHERS


class SsmCommand(OnInstances, frozen=True, kw_only=True):
    """Run a shell script on instances by Systems Manager, and undo it when the hold ends.

    What it starts may last: it is killed, with all of its process group, before `undo` is run.
    Both are kept on the instance with the deadline, where a small keeper runs `undo` by itself if
    nobody does. A reboot ends the keeper: then what outlives it is undone when the hold ends.
    Where `undo` fails it is tried again. Systems Manager shows scripts to others, so no secret may
    stand there.
    """

    name: ClassVar[str] = "aws.ssm-command"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"tags": {"app": "checkout"}, "pick": "one"},
        "with": {
            "run": "systemctl stop cache",
            "undo": "systemctl start cache",
            "seen": "! systemctl is-active --quiet cache",
        },
    }

    run: Annotated[
        str, Meta(description="The harm: a shell script", min_length=1, max_length=20000,
                  extra={SEEN_BY_OTHERS: True})
    ]  # fmt: skip
    undo: Annotated[
        str, Meta(description="The way back: a shell script that may be run twice, or for nothing",
                  max_length=20000, extra={SEEN_BY_OTHERS: True})
    ] = "true"  # fmt: skip
    seen: Annotated[
        str, Meta(description="A shell script that succeeds while the harm can be seen",
                  max_length=20000, extra={SEEN_BY_OTHERS: True})
    ] = "true"  # fmt: skip

    def script(self) -> Script:
        return Script(run=self.run, undo=self.undo, seen=self.seen)

    def effect(self) -> str:
        first = self.run.strip().splitlines()[0]
        return f"`{first if len(first) < 60 else first[:59] + '…'}` is run there"
