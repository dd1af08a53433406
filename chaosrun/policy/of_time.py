"""Rules about the time: windows and freezes."""

from __future__ import annotations

from datetime import UTC, datetime

from chaosrun.calendars import Calendar
from chaosrun.policy.rule import Asked, Found, Rule
from chaosrun.policy.spec import Freezes


class Window(Rule, frozen=True, kw_only=True):
    """It is one of these times."""

    calendars: tuple[Calendar, ...]
    name = "window"

    @property
    def limit(self) -> str:
        return "open " + ", or ".join(str(calendar) for calendar in self.calendars)

    def measure(self, asked: Asked) -> Found:
        now = datetime.fromtimestamp(asked.now, UTC)
        found = [calendar.is_open(now) for calendar in self.calendars]
        best = next((one for one in found if one.open), found[0])
        return Found(within=best.open, measured=best.measured, hint=best.hint)


class Freeze(Rule, frozen=True, kw_only=True):
    """It is none of these times."""

    freezes: Freezes
    name = "freeze"

    @property
    def limit(self) -> str:
        dates = ", ".join(str(closure) for closure in self.freezes.dates)
        return f"no freeze: {dates}, in {self.freezes.timezone}"

    def measure(self, asked: Asked) -> Found:
        calendar = Calendar(
            timezone=self.freezes.timezone, days=("mon-sun",), hours=("00:00-24:00",),
            freezes=self.freezes.dates,
        )  # fmt: skip
        found = calendar.is_open(datetime.fromtimestamp(asked.now, UTC))
        return Found(within=found.open, measured=found.measured, hint=found.hint)
