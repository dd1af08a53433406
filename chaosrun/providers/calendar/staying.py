"""Open now, and for how long: what `window` and `freeze` have in common."""

from __future__ import annotations

from datetime import datetime, timedelta

from msgspec.structs import replace

from chaosrun.calendars import Calendar
from chaosrun.gate import Measured
from chaosrun.units import Duration


def measure(calendar: Calendar, now: datetime, stays_open: Duration) -> Measured:
    """Whether it is open now, and still is after `stays_open`. Raises Refused."""
    found = calendar.is_open(now)
    if not stays_open:
        return found
    found = replace(found, rule=f"{found.rule}; for {stays_open} more")
    lasting = timedelta(seconds=stays_open.seconds)
    closes = calendar.next_close(now, lasting) if found.open else None
    if closes is None or closes - now >= lasting:
        return found
    then = calendar.opening(closes).closed_by
    return replace(
        found,
        open=False,
        measured=f"{found.measured}, in less than {stays_open}: {then}",
        hint=calendar.is_open(closes).hint,
    )
