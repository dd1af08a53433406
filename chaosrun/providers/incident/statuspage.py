"""The gate `incident.statuspage`: a status page may show no unresolved incident.

Its API: `/api/v2/incidents/unresolved.json` of every Atlassian Statuspage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from chaosrun.gate import Gate, Measured
from chaosrun.providers.incident.asking import Server, measured
from chaosrun.units import JSON

if TYPE_CHECKING:
    from chaosrun.providers.incident.client import Client

_IMPACTS = ("none", "minor", "major", "critical")
_PATH = "/api/v2/incidents/unresolved.json"


class Component(msgspec.Struct, frozen=True):
    """A part of the system that an incident touches."""

    name: str


class Incident(msgspec.Struct, frozen=True):
    """What is read of an incident. One without components may touch any."""

    name: str
    impact: str
    components: tuple[Component, ...] = ()


class Unresolved(msgspec.Struct, frozen=True):
    """The answer."""

    incidents: tuple[Incident, ...]


class StatuspageGate(Server, Gate["Client"], frozen=True, kw_only=True):
    """Open while an Atlassian Statuspage shows no unresolved incident, such as a supplier's.

    Planned maintenance is no incident. An impact that is not known counts as critical.
    """

    name: ClassVar[str] = "incident.statuspage"
    example: ClassVar[dict[str, JSON]] = {
        "url": "https://status.supplier.example",
        "impact": "major",
        "components": ["Payments API"],
    }

    impact: Annotated[
        Literal["none", "minor", "major", "critical"],
        Meta(description="The least impact that counts"),
    ] = "minor"
    components: Annotated[
        tuple[str, ...],
        Meta(description="The components that count, by name; all of them without any"),
    ] = ()

    def measure(self, client: Client) -> Measured:
        """Ask once."""
        found = client.get("Statuspage", self, _PATH, (), Unresolved)
        names = [incident.name for incident in found.incidents if self._counts(incident)]
        of = f" of {', '.join(self.components)}" if self.components else ""
        return measured(
            names, f"no unresolved incident{of} may have an impact of {self.impact} or more",
            one="unresolved incident", many="unresolved incidents",
        )  # fmt: skip

    def _counts(self, incident: Incident) -> bool:
        least = _IMPACTS.index(self.impact)
        if incident.impact in _IMPACTS and _IMPACTS.index(incident.impact) < least:
            return False
        touched = {component.name for component in incident.components}
        return not self.components or not touched or bool(touched & set(self.components))
