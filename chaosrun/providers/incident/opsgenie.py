"""The gate `incident.opsgenie`: no incident, or no alert, may be open.

Its API: https://docs.opsgenie.com/docs/incident-api, and alert-api.
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

_PATHS = {"incidents": "/v1/incidents", "alerts": "/v2/alerts"}
_PAGE = 100


class Item(msgspec.Struct, frozen=True):
    """What is read of an incident or an alert."""

    id: str
    message: str = ""


class Paging(msgspec.Struct, frozen=True):
    """Where the other pages are."""

    next: str = ""


class Page(msgspec.Struct, frozen=True):
    """The answer; the first page tells whether there are any."""

    data: tuple[Item, ...]
    paging: Paging = Paging()


class OpsgenieGate(TokenServer, Gate["Client"], frozen=True, kw_only=True):
    """Open while Opsgenie has no open incident, or no open alert, acknowledged or not.

    The key needs to read only, of the integration "API".
    """

    name: ClassVar[str] = "incident.opsgenie"
    example: ClassVar[dict[str, JSON]] = {
        "token": "${secrets.token}",
        "kind": "alerts",
        "query": "priority: (P1 OR P2) AND tag: checkout",
    }

    url: Annotated[
        str,
        Meta(
            description="Where its API is",
            examples=["https://api.opsgenie.com", "https://api.eu.opsgenie.com"],
        ),
    ] = "https://api.opsgenie.com"
    kind: Annotated[
        Literal["incidents", "alerts"], Meta(description="What counts: incidents, or alerts")
    ] = "incidents"
    query: Annotated[
        str, Meta(description="Which of the open ones count, in Opsgenie's search syntax")
    ] = ""

    def measure(self, client: Client) -> Measured:
        """Ask once."""
        query = f"status: open AND ({self.query})" if self.query.strip() else "status: open"
        page = client.get(
            "Opsgenie", self, _PATHS[self.kind], [("query", query), ("limit", str(_PAGE))], Page,
            authorization=f"GenieKey {self.token}",
        )  # fmt: skip
        if page.paging.next and not page.data:
            raise Refused(f"Opsgenie says that there are more {self.kind}, but gives none")
        return measured(
            [item.message or item.id for item in page.data],
            f"no {self.kind} may be found by: {query}",
            one=f"open {self.kind[:-1]}", many=f"open {self.kind}", more=bool(page.paging.next),
        )  # fmt: skip
