"""When it is time, and when it is not: working weeks, holidays, freezes. No clock, no network.

Law (L4): what cannot be read is closed. A calendar says of each instant whether it is open,
which rule closed it, and when that changes. The days of a year are those of its time zone.
"""

from __future__ import annotations

from chaosrun.calendars.calendar import Calendar, Opening
from chaosrun.calendars.closures import Closure
from chaosrun.calendars.public_holidays import PublicHolidays

__all__ = ["Calendar", "Closure", "Opening", "PublicHolidays"]
