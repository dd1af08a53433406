"""The probe `kubernetes.endpoints`: who answers for a Service."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.probe import Probe
from chaosrun.providers.kubernetes.access import Access, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import ENDPOINT_SLICE
from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration


class Endpoints(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The endpoints of a Service, each pod, or other address, once."""

    ready: Annotated[int, Meta(description="How many take requests")]
    not_ready: Annotated[int, Meta(description="How many are known and take none")]
    ending: Annotated[int, Meta(description="How many of either are ending")]
    zones: Annotated[list[str], Meta(description="The zones of those that are ready")]


class EndpointsProbe(Access, Probe[Kubernetes, Endpoints], frozen=True, kw_only=True):
    """Counts the endpoints of a Service, by its EndpointSlices."""

    name: ClassVar[str] = "kubernetes.endpoints"
    Result = Endpoints
    example: ClassVar[dict[str, JSON]] = {
        "with": {"namespace": "shop", "service": "checkout"},
        "expect": "ready >= 2",
    }

    namespace: Annotated[str, Meta(description="Its namespace", min_length=1)]
    service: Annotated[str, Meta(description="The Service's name", min_length=1)]
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(10)

    def needs(self) -> tuple[Permission, ...]:
        return (*self.asking(), *rbac(ENDPOINT_SLICE.resource, "list", scope=self.namespace))

    def observe(self, client: Kubernetes) -> Endpoints:
        found = client.all(
            client.settle(self.access()),
            ENDPOINT_SLICE,
            self.namespace,
            labels=f"kubernetes.io/service-name={self.service}",
        )
        known = {
            key: endpoint
            for one in found
            for endpoint in one.get("endpoints") or ()
            for key in _keys(endpoint)
        }
        conditions = [endpoint.get("conditions") or {} for endpoint in known.values()]
        ready = [endpoint for endpoint in known.values() if _ready(endpoint)]
        return Endpoints(
            ready=len(ready),
            not_ready=len(known) - len(ready),
            ending=sum(bool(each.get("terminating")) for each in conditions),
            zones=sorted({str(endpoint.get("zone", "")) for endpoint in ready} - {""}),
        )


def _keys(endpoint: dict[str, Any]) -> list[str]:
    """What it is an endpoint of, which may have an address of each family; or its addresses."""
    of = (endpoint.get("targetRef") or {}).get("uid")
    return [of] if of else endpoint["addresses"]


def _ready(endpoint: dict[str, JSON]) -> bool:
    """Not said means ready, says the API."""
    return (endpoint.get("conditions") or {}).get("ready") is not False
