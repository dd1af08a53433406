"""The gate `incident.pagerduty`: no incident may be triggered or acknowledged.

Its API: https://developer.pagerduty.com/api-reference/, "List incidents".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.gate import Gate, Measured
from chaosrun.providers.incident.asking import TokenServer, measured
from chaosrun.units import JSON

if TYPE_CHECKING:
    from chaosrun.providers.incident.client import Client

_VERSION = "application/vnd.pagerduty+json;version=2"


class Incident(msgspec.Struct, frozen=True):
    """What is read of an incident."""

    id: str
    status: str
    title: str = ""


class Page(msgspec.Struct, frozen=True):
    """The answer; the first page tells whether there are any."""

    incidents: tuple[Incident, ...]
    more: bool


class PagerDutyGate(TokenServer, Gate["Client"], frozen=True, kw_only=True):
    """Open while PagerDuty has no incident that is triggered or acknowledged, however old.

    The token needs to read incidents only.
    """

    name: ClassVar[str] = "incident.pagerduty"
    example: ClassVar[dict[str, JSON]] = {
        "token": "${secrets.token}",
        "services": ["PIJ90N7"],
        "urgencies": ["high"],
    }

    url: Annotated[
        str,
        Meta(
            description="Where its API is",
            examples=["https://api.pagerduty.com", "https://api.eu.pagerduty.com"],
        ),
    ] = "https://api.pagerduty.com"
    services: Annotated[
        tuple[str, ...], Meta(description="The ids of the services that count; all without any")
    ] = ()
    teams: Annotated[
        tuple[str, ...], Meta(description="The ids of the teams that count; all without any")
    ] = ()
    urgencies: Annotated[
        tuple[Literal["high", "low"], ...], Meta(description="The urgencies that count")
    ] = ("high", "low")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.urgencies:
            raise ValueError("`urgencies` is empty: nothing would count")

    def measure(self, client: Client) -> Measured:
        """Ask once."""
        parameters = [
            ("date_range", "all"),  # else those of the last month only
            ("limit", "100"),
            ("statuses[]", "triggered"), ("statuses[]", "acknowledged"),
            *(("service_ids[]", service) for service in self.services),
            *(("team_ids[]", team) for team in self.teams),
            *(("urgencies[]", urgency) for urgency in self.urgencies),
        ]  # fmt: skip
        page = client.get(
            "PagerDuty", self, "/incidents", parameters, Page,
            accept=_VERSION, authorization=f"Token token={self.token}",
        )  # fmt: skip
        if page.more and not page.incidents:
            raise Refused("PagerDuty says that there are more incidents, but gives none")
        return measured(
            [incident.title or incident.id for incident in page.incidents],
            "no incident may be triggered or acknowledged",
            one="open incident", many="open incidents", more=page.more,
        )  # fmt: skip
