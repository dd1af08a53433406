"""The gate `freeze`: may anything be touched now?

Law (L4): a calendar that cannot be read whole is a freeze.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta
from msgspec.structs import replace

from chaosrun.calendars import Calendar, Closure
from chaosrun.gate import Gate, Measured
from chaosrun.providers.calendar.staying import measure
from chaosrun.units import JSON, Duration
from chaosrun.web import Endpoint

if TYPE_CHECKING:
    from chaosrun.providers.calendar.client import Client


class Freeze(Gate["Client"], frozen=True, kw_only=True):
    """Closed during freezes: dates that are written here, and every event of iCalendars.

    An event that is marked "free" closes too, since calendars mark whole days so by themselves;
    only a cancelled one does not. A calendar that cannot be read whole keeps it closed.
    """

    name: ClassVar[str] = "freeze"
    example: ClassVar[dict[str, JSON]] = {
        "timezone": "Europe/Berlin",
        "dates": [
            {"dates": "2026-11-25T12:00..2026-11-30T08:00", "name": "Black Friday"},
            {"dates": "12-20..01-02", "name": "end of the year"},
        ],
        "files": ["freezes.ics"],
        "urls": [{"url": "https://calendar.shop.example/freezes.ics", "timeout": "3s"}],
    }

    timezone: Annotated[
        str, Meta(description="The time zone of days and of times that do not say theirs")
    ] = "UTC"
    dates: Annotated[tuple[Closure, ...], Meta(description="Freezes that are known here")] = ()
    files: Annotated[
        tuple[str, ...], Meta(description="Files in iCalendar format", examples=[["freezes.ics"]])
    ] = ()
    urls: Annotated[
        tuple[Endpoint, ...], Meta(description="Where iCalendars are, one after the other")
    ] = ()
    stays_open: Annotated[
        Duration, Meta(description="How long no freeze may begin, such as a run takes")
    ] = Duration(0)

    def __post_init__(self) -> None:
        if not (self.dates or self.files or self.urls):
            raise ValueError("a freeze needs `dates`, `files` or `urls`")
        self._calendar(())

    @property
    def time_needed(self) -> Duration:
        return Duration(5 + sum(endpoint.timeout.seconds for endpoint in self.urls))

    def measure(self, client: Client) -> Measured:
        """Read every calendar, and look at the clock once."""
        texts = [client.read(path) for path in self.files]
        for index, endpoint in enumerate(self.urls):
            texts.append(client.fetch(endpoint, f"urls[{index}]"))  # the URL may be a secret
        found = measure(self._calendar(tuple(texts)), client.now(), self.stays_open)
        lasting = f" within {self.stays_open}" if self.stays_open else ""
        return replace(found, rule=f"no freeze may be on{lasting}")

    def _calendar(self, texts: tuple[str, ...]) -> Calendar:
        return Calendar(
            timezone=self.timezone, days=("mon-sun",), hours=("00:00-24:00",),
            freezes=self.dates, icalendars=texts,
        )  # fmt: skip
