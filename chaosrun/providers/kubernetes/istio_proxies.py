"""Whether sidecars have a fault: their own Envoys are asked which routes they have now.

Law (L6): a sidecar that cannot be asked has not shown it.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from chaosrun.errors import ChaosrunError, Refused
from chaosrun.fault import Evidence
from chaosrun.providers.kubernetes.access import Access, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.at_once import at_once
from chaosrun.providers.kubernetes.kinds import POD, Object, Ref
from chaosrun.rights import Permission

_ASKS = ("pilot-agent", "request", "GET", "config_dump?resource=dynamic_route_configs")
_WITHIN, _MOST = 4.0, 10
_FAULT = "envoy.filters.http.fault"


class Proxies(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"
):
    """Pods whose sidecars must have the fault: those of clients, since it is there that it acts."""

    selector: Annotated[str, Meta(description="Their labels", min_length=1)]
    namespace: Annotated[
        str, Meta(description="Their namespace; else that of the VirtualService")
    ] = ""
    container: Annotated[str, Meta(description="The sidecar's container", min_length=1)] = (
        "istio-proxy"
    )

    def needs(self) -> tuple[Permission, ...]:
        asking = rbac("pods/exec", "create", "get", scope=self.namespace)
        return (*rbac("pods", "list", scope=self.namespace), *asking)

    def pods(self, client: Kubernetes, access: Access) -> list[Ref]:
        """Those whose sidecar is ready, by name; that the rest is not may be the fault's doing."""
        found = client.all(access, POD, self.namespace, labels=self.selector)
        names = [one["metadata"]["name"] for one in found if self._serves(one)]
        return [Ref(POD, name, self.namespace) for name in sorted(names)]

    def _serves(self, pod: Object) -> bool:
        status = pod.get("status") or {}
        states = [*(status.get("containerStatuses") or ()),
                  *(status.get("initContainerStatuses") or ())]  # fmt: skip
        runs = any(one["name"] == self.container and one.get("ready") for one in states)
        lost = any(  # with its node: it is not the kubelet that says so, which gives a reason
            one["type"] == "Ready" and one["status"] != "True" and not one.get("reason")
            for one in status.get("conditions") or ()
        )
        return runs and not lost and "deletionTimestamp" not in pod["metadata"]

    def require(self, client: Kubernetes, access: Access, service: Ref) -> None:
        """Raise Refused where none is there, or one does not tell: it could show no way back."""
        asked = self.pods(client, access)[:_MOST]
        if not asked:
            raise Refused(
                f"no pod of {self.selector} has a container {self.container} that is ready"
            )
        told = self._routes(client, access, asked, service)
        if silent := [text for text in told.values() if isinstance(text, str)]:
            raise Refused(
                f"sidecars that are to show the fault must tell their routes; {sorted(silent)[0]}",
                hint="give other pods in `seenBy`, or `onTrust: true` in its place",
            )

    def have(self, client: Kubernetes, access: Access, service: Ref, fault: Object) -> Evidence:
        """Whether each of them has a route of that VirtualService with just this fault."""
        pods = self.pods(client, access)
        asked = pods[:_MOST]
        told = self._routes(client, access, asked, service)
        without = [text for pod in asked if (text := _lacks(pod, told[pod], service, fault))]
        said = f"{len(asked) - len(without)} of {len(asked)} sidecars that were asked have it"
        if len(pods) > len(asked):
            said += f", of {len(pods)} that there are"
        return Evidence(
            bool(asked) and not without,
            f"{said}: {without[0]}" if without else said,
            {"sidecars": len(asked), "with": len(asked) - len(without)},
        )

    def still(self, client: Kubernetes, access: Access, service: Ref, fault: Object) -> str:
        """Which of them has it, or does not tell; empty if none does."""
        asked = self.pods(client, access)[:_MOST]
        told = self._routes(client, access, asked, service)
        for pod in asked:
            routes = told[pod]
            if isinstance(routes, str):
                return routes
            if any(_same(route, fault) for route in routes):
                return f"{pod.name} has the fault yet"
        return ""

    def _routes(
        self, client: Kubernetes, access: Access, pods: list[Ref], service: Ref
    ) -> dict[Ref, list[Object] | str]:
        """The routes of that VirtualService that each has, or why it does not tell."""
        found: dict[Ref, list[Object] | str] = {}

        def ask(pod: Ref) -> None:
            try:
                told = client.execute(access, pod, self.container, _ASKS, _WITHIN)
                found[pod] = _routes_of(json.loads(told), service)
            except (ChaosrunError, ValueError) as error:
                found[pod] = f"{pod.name} does not tell: {error}"

        at_once(ask, pods)
        return found


def _lacks(pod: Ref, routes: list[Object] | str, service: Ref, fault: Object) -> str:
    """Why that one does not have it; empty if it does."""
    if isinstance(routes, str):
        return routes
    if any(_same(route, fault) for route in routes):
        return ""
    return f"{pod.name} has {len(routes)} routes of {service.label}, and none has the fault"


def _routes_of(dump: Any, service: Ref) -> list[Object]:
    """The routes that Istio made of that VirtualService, which it notes on each."""
    end = f"/namespaces/{service.namespace}/virtual-service/{service.name}"
    return [
        route
        for config in dump.get("configs") or ()
        for host in config.get("route_config", {}).get("virtual_hosts") or ()
        for route in host.get("routes") or ()
        if str(_noted(route).get("config", "")).endswith(end)
    ]


def _noted(route: Object) -> Object:
    found: Object = route.get("metadata", {}).get("filter_metadata", {}).get("istio", {})
    return found


def _same(route: Object, fault: Object) -> bool:
    there = route.get("typed_per_filter_config", {}).get(_FAULT)
    if there is None:
        return False
    delay, abort = there.get("delay", {}), there.get("abort", {})
    return (
        _seconds(delay.get("fixed_delay")) == _seconds(fault.get("delay", {}).get("fixedDelay"))
        and abort.get("http_status") == fault.get("abort", {}).get("httpStatus")
        and _millionths(delay) == _share(fault.get("delay"))
        and _millionths(abort) == _share(fault.get("abort"))
    )


def _seconds(text: str | None) -> float:
    return float(text.removesuffix("s")) if text else 0.0


def _millionths(part: Object) -> int:
    return int(part.get("percentage", {}).get("numerator", 0))


def _share(part: Object | None) -> int:
    return round(part["percentage"]["value"] * 10_000) if part else 0
