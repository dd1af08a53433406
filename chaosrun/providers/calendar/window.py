"""The gate `window`: are people there to look?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar

from msgspec import Meta

from chaosrun.calendars import Calendar
from chaosrun.gate import Gate, Measured
from chaosrun.providers.calendar.staying import measure
from chaosrun.units import JSON, Duration

if TYPE_CHECKING:
    from chaosrun.providers.calendar.client import Client


class Window(Calendar, Gate["Client"], frozen=True, kw_only=True):
    """Open in working hours, when people are there to look; closed on holidays and in freezes.

    Hours are those of the clock on the wall in `timezone`, also on the days on which it is put
    forward or back. A closed one says what time it is there, which rule closed it, and when it
    opens. Like every gate it is asked again before each injection.
    """

    name: ClassVar[str] = "window"
    example: ClassVar[dict[str, JSON]] = {
        "timezone": "Asia/Jerusalem",
        "days": ["sun-thu"],
        "hours": ["09:00-17:00"],
        "hoursOf": {"thu": ["09:00-13:00"]},
        "holidays": [{"country": "IL"}, {"country": "US", "subdivision": "CA"}],
        "companyDays": [{"dates": "12-31", "name": "stocktaking"}],
        "freezes": [{"dates": "2026-11-25T12:00..2026-11-30T08:00", "name": "Black Friday"}],
        "staysOpen": "15m",
    }

    stays_open: Annotated[
        Duration, Meta(description="How long it must still be open, such as a run takes")
    ] = Duration(0)

    def measure(self, client: Client) -> Measured:
        """Look at the clock once."""
        return measure(self, client.now(), self.stays_open)
