"""Gates that know when it is time: working hours, holidays and freezes."""

from __future__ import annotations

from chaosrun.discovery import Provider

provider = Provider(
    name="calendar",
    package=__name__,
    summary="Start in business hours only, and never during a freeze",
    gates={"window": "window:Window", "freeze": "freeze:Freeze"},
    connect="client:connect",
)
