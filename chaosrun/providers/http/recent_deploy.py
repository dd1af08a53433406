"""The gate `recent-deploy`: is the last deploy old enough?

Law (L4): no timestamp, one that cannot be read, or one of the future is too young.
"""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta

from chaosrun.errors import Refused, Transient
from chaosrun.gate import Gate, Measured
from chaosrun.providers.http.probe import response_of
from chaosrun.units import JSON, Duration, format_seconds
from chaosrun.web import Question

if TYPE_CHECKING:
    from chaosrun.web.client import Client

_KEPT = 4 * 1024 * 1024
_MILLISECONDS = 1e11
"""Numbers above are milliseconds: as seconds they would be after the year 5000."""
_OLDEST = 946684800.0
"""The year 2000: a number below is something else, and must not pass for an old deploy."""
_FRACTION = re.compile(r"(\.\d{6})\d+")


class RecentDeploy(Question, Gate["Client"], frozen=True, kw_only=True):
    """Open once the last deploy is old enough to tell its harm from that of the experiment.

    Asks a server for JSON that holds the times of deploys, such as a deployment tool or a
    repository's list of deployments. The newest one counts.
    """

    name: ClassVar[str] = "recent-deploy"
    example: ClassVar[dict[str, JSON]] = {
        "url": "https://api.github.com/repos/shop/checkout/deployments?per_page=10",
        "headers": {"authorization": "Bearer ${secrets.token}"},
        "path": "/*/updated_at",
        "minimumAge": "30m",
    }

    path: Annotated[
        str,
        Meta(
            description="Where the time is: a JSON Pointer (RFC 6901), in which `*` stands for "
            "each item of a list. ISO 8601 with a zone, or seconds or milliseconds since 1970",
            examples=["/finishedAt", "/items/*/status/finishedAt", "/0/updated_at"],
        ),
    ]
    minimum_age: Annotated[
        Duration, Meta(description="How long ago the last deploy must have been", examples=["30m"])
    ]

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.path and not self.path.startswith("/"):
            raise ValueError(f"`path` {self.path!r} is not a JSON Pointer such as /finishedAt")
        if not self.minimum_age:
            raise ValueError("`minimumAge` must be longer than 0s")

    def measure(self, client: Client) -> Measured:
        """Ask once."""
        answer = client.ask(self.request(_KEPT), time.monotonic() + self.timeout.seconds)
        if answer.error:
            raise Transient(f"no answer: {answer.error}")
        if answer.status != 200:
            kind = Transient if answer.status == 429 or answer.status >= 500 else Refused
            raise kind(f"the answer has status {answer.status}, not 200")
        written = response_of(answer).json
        if written is None:
            raise Refused("the answer is not JSON, or longer than 4Mi")
        times = [_instant(found, self.path) for found in found_at(written, self.path)]
        if not times:
            raise Refused(f"the answer has no deploy at {self.path}")
        return self._judge(max(times), time.time())

    def _judge(self, last: float, now: float) -> Measured:
        age, least = now - last, self.minimum_age.seconds
        shown = datetime.fromtimestamp(last, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        ago = f"{format_seconds(round(age))} ago" if age >= 0 else "in the future"
        return Measured(
            open=age >= least,
            measured=f"the last deploy was {ago}, at {shown}",
            rule=f"the last deploy must be at least {self.minimum_age} ago",
            hint="" if age >= least else f"wait for {format_seconds(round(least - age))}",
        )


def found_at(written: JSON, pointer: str) -> list[JSON]:
    """What a JSON Pointer leads to, with `*` for each item of a list. Raises Refused."""
    found = [written]
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        found = [inner for outer in found for inner in _step(outer, key, pointer)]
    return found


def _step(outer: JSON, key: str, pointer: str) -> list[JSON]:
    match outer:
        case list() if key == "*":
            return outer
        case list() if key.isascii() and key.isdigit() and int(key) < len(outer):
            return [outer[int(key)]]
        case dict() if key in outer:
            return [outer[key]]
    raise Refused(f"the answer has nothing at {pointer}: no {key!r}")


def _instant(found: JSON, pointer: str) -> float:
    """Seconds since 1970. Raises Refused."""
    refused = Refused(
        f"what the answer has at {pointer} is not a time",
        hint="such as 2026-11-24T10:00:00Z, or seconds or milliseconds since 1970",
    )
    if isinstance(found, bool) or not isinstance(found, str | int | float):
        raise refused
    try:
        if isinstance(found, str) and not re.fullmatch(r"\d{9,}(\.\d+)?", found):
            moment = datetime.fromisoformat(_FRACTION.sub(r"\1", found))
            seconds = moment.timestamp() if moment.tzinfo else 0.0
        else:
            seconds = float(found)
            seconds = seconds / 1000 if seconds > _MILLISECONDS else seconds
            datetime.fromtimestamp(seconds, UTC)  # which tells whether it can be shown
    except (ValueError, OverflowError, OSError):
        raise refused from None
    if seconds < _OLDEST:
        raise refused
    return seconds
