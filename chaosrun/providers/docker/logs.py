"""The probe `docker.logs`: what containers wrote lately."""

from __future__ import annotations

import re
import time
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.probe import Probe
from chaosrun.providers.docker.client import Docker
from chaosrun.providers.docker.containers import Some
from chaosrun.units import JSON, Duration

_MOST_LINES = 10_000
_LONGEST_LINE = 500


class Lines(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What was written."""

    matches: Annotated[int, Meta(description="How many lines match the pattern")]
    lines: Annotated[int, Meta(description="How many lines were written")]
    share: Annotated[float, Meta(description="The share of them that match, from 0 to 1")]
    last: Annotated[str, Meta(description="The last line that matches; empty when none does")]


class LogsProbe(Some, Probe[Docker, Lines], frozen=True, kw_only=True):
    """Counts the lines that containers wrote lately and that match a pattern.

    It reads what `docker logs` shows, of all containers that match, running or not, and of each the
    last 10,000 lines at most.
    """

    name: ClassVar[str] = "docker.logs"
    Result = Lines
    example: ClassVar[dict[str, JSON]] = {
        "with": {"project": "shop", "service": "web", "pattern": "ERROR", "since": "10s"},
        "expect": "matches == 0",
    }

    pattern: Annotated[
        str, Meta(description="A regular expression found anywhere in a line", min_length=1)
    ]
    since: Annotated[Duration, Meta(description="How far to look back")] = Duration(10)
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(5)

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(f"pattern is not a regular expression: {error}") from None
        if not self.since:
            raise ValueError("since must be longer than 0s")

    def observe(self, client: Docker) -> Lines:
        engine, wanted = client.engine(self.engine), re.compile(self.pattern)
        found = self.matching(client, engine)
        if not found:
            raise Refused("no container is as selected", hint="check project, service and labels")
        since = time.time() - self.since.seconds
        lines = [
            line
            for each in found
            for line in client.logs(engine, each.id, since, _MOST_LINES)
            .decode(errors="replace")
            .splitlines()
        ]
        matching = [line for line in lines if wanted.search(line)]
        return Lines(
            matches=len(matching),
            lines=len(lines),
            share=len(matching) / len(lines) if lines else 0.0,
            last=matching[-1][:_LONGEST_LINE] if matching else "",
        )
