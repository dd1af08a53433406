"""Which traffic of pods is meant: peers by address, name, Service or label.

Law (L4): all of them become addresses when it is planned, and those are what is harmed. Peers that
are nobody are refused: they would mean everybody.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.mechanisms.asked.packets import Packets
from chaosrun.mechanisms.networks import Networks
from chaosrun.mechanisms.traffic import Traffic
from chaosrun.providers.kubernetes.access import Access, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import ENDPOINT_SLICE, POD, Kind, Ref
from chaosrun.rights import Permission

SERVICE = Kind("v1", "Service", "services")


class Reach(Packets, frozen=True, kw_only=True):
    """Which packets of the pods are meant."""

    peer_pods: Annotated[
        str, Meta(description="Peers: pods with these labels", examples=["app=catalog"])
    ] = ""
    peer_services: Annotated[
        tuple[str, ...],
        Meta(description="Peers: Services, with the pods behind them", examples=[["catalog"]]),
    ] = ()
    peer_namespace: Annotated[
        str, Meta(description="The namespace of these; else that of the target")
    ] = ""

    def place(self, namespaces: list[str]) -> str:
        """Where peers are looked for. Raises ValueError where that is not one namespace."""
        if not (self.peer_pods or self.peer_services) or self.peer_namespace:
            return self.peer_namespace
        if len(namespaces) != 1:
            raise ValueError("peerPods and peerServices are in which namespace? say peerNamespace")
        return namespaces[0]

    def rights_to_peers(self, place: str) -> tuple[Permission, ...]:
        """What it takes to find the peers."""
        found: tuple[Permission, ...] = ()
        if self.peer_pods:
            found += rbac("pods", "list", scope=place)
        if self.peer_services:
            found += rbac("services", "get", scope=place)
            found += rbac("endpointslices.discovery.k8s.io", "list", scope=place)
        return found

    def meant(self, client: Kubernetes, access: Access, place: str) -> Traffic:
        """The packets, with addresses for all names. Raises Refused and Transient."""
        near = _of_pods(client, access, place, self.peer_pods) if self.peer_pods else set()
        for name in self.peer_services:
            near |= _of_service(client, access, Ref(SERVICE, name, place))
        plain = self.traffic(Networks())
        peers = {*plain.peers, *(f"{each}/{128 if ':' in each else 32}" for each in near)}
        return msgspec.structs.replace(plain, peers=tuple(sorted(peers)))


def _of_pods(client: Kubernetes, access: Access, place: str, labels: str) -> set[str]:
    found = {
        address["ip"]
        for one in client.all(access, POD, place, labels=labels)
        if one["status"].get("phase") == "Running" and not one["spec"].get("hostNetwork")
        for address in one["status"].get("podIPs") or ()
    }
    if not found:
        raise Refused(f"no pod with {labels} runs in {place}, so nobody is a peer")
    return found


def _of_service(client: Kubernetes, access: Access, ref: Ref) -> set[str]:
    """Its own addresses, which its callers use, and those of its pods, which call too."""
    spec = client.get(access, ref)["spec"]
    found = {each for each in spec.get("clusterIPs") or () if each != "None"}
    labels = f"kubernetes.io/service-name={ref.name}"
    for one in client.all(access, ENDPOINT_SLICE, ref.namespace, labels=labels):
        if one.get("addressType") in ("IPv4", "IPv6"):
            found |= {a for each in one.get("endpoints") or () for a in each["addresses"]}
    if not found:
        raise Refused(f"{ref.label} has no address, so nobody is a peer")
    return found
