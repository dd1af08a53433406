"""Which traffic of pods is meant: peers by address, name, Service or label.

Law (L4): all of them become addresses when it is planned, and those are what is harmed. Peers that
are nobody are refused: they would mean everybody. Law (L6): once a peer has come that is not
harmed, or one has gone whose address another may get, it is not what was asked for any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from typing import Annotated

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.mechanisms.asked.packets import Packets
from chaosrun.mechanisms.networks import Networks
from chaosrun.mechanisms.traffic import Traffic
from chaosrun.providers.kubernetes.access import Access, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import ENDPOINT_SLICE, NODE, POD, Kind, Ref
from chaosrun.rights import Permission

SERVICE = Kind("v1", "Service", "services")
_NAMED = 3


class Reach(Packets, frozen=True, kw_only=True):
    """Which packets of the pods are meant."""

    peer_pods: Annotated[
        str,
        Meta(
            description="Peers: pods with these labels, as they are when it is planned; one that "
            "comes later is spared, and then the effect counts as lost",
            examples=["app=catalog"],
        ),
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
            for name in self.peer_services:
                found += rbac("services", "get", scope=Ref(SERVICE, name, place).scope)
            found += rbac("endpointslices.discovery.k8s.io", "list", scope=place)
        return found

    def near(self, place: str) -> Near:
        """The peers that are found in the cluster."""
        return Near(place=place, pods=self.peer_pods, services=self.peer_services)

    def meant(self, client: Kubernetes, access: Access, place: str) -> tuple[Traffic, Near]:
        """The packets, with addresses for all names, and the peers that were found.

        Raises Refused and Transient.
        """
        near = self.near(place)
        found = near.addresses(client, access)
        if nobody := [said for said, addresses in found.items() if not addresses]:
            raise Refused(f"{nobody[0]}, so nobody is a peer")
        now = sorted(set().union(*found.values()))
        if of_nodes := _of_nodes(client, access).intersection(now) if now else set():
            raise Refused(
                f"{', '.join(sorted(of_nodes)[:_NAMED])}: peers that use their nodes' network",
                hint="others there would be harmed too; give `peers` if all of them are meant",
            )
        plain = self.traffic(Networks())
        peers = tuple(sorted({*plain.peers, *map(_network, now)}))
        return (
            msgspec.structs.replace(plain, peers=peers),
            msgspec.structs.replace(near, planned=tuple(now)),
        )


class Near(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Peers that are found in the cluster: pods by their labels, and Services."""

    place: str
    pods: str = ""
    services: tuple[str, ...] = ()
    planned: tuple[str, ...] = ()
    """Their addresses when it was planned."""

    def addresses(self, client: Kubernetes, access: Access) -> dict[str, set[str]]:
        """The addresses of each as they are now, by what to say where there are none."""
        found: dict[str, set[str]] = {}
        if self.pods:
            said = f"no pod with {self.pods} runs in {self.place}"
            found[said] = _of_pods(client, access, self.place, self.pods)
        for name in self.services:
            ref = Ref(SERVICE, name, self.place)
            found[f"{ref.label} has no address"] = _of_service(client, access, ref)
        return found

    def difference(self, client: Kubernetes, access: Access, meant: Traffic) -> str:
        """How those that are harmed differ from the peers that are there now, or nothing."""
        harmed = [ip_network(peer) for peer in meant.peers]
        now = set().union(*self.addresses(client, access).values())
        new = [each for each in now if not any(ip_address(each) in one for one in harmed)]
        if new:
            return f"{_some(new)} became peers after it was planned, and are spared"
        if gone := set(self.planned) - now:
            return f"{_some(gone)} are no peers any more, and may be somebody else's by now"
        return ""


def _some(addresses: Iterable[str]) -> str:
    every = sorted(addresses)
    return ", ".join(every[:_NAMED]) + (" and others" if len(every) > _NAMED else "")


def _network(address: str) -> str:
    return f"{address}/{128 if ':' in address else 32}"


def _of_nodes(client: Kubernetes, access: Access) -> set[str]:
    return {
        address["address"]
        for one in client.all(access, NODE)
        for address in one["status"].get("addresses") or ()
    }


def _of_pods(client: Kubernetes, access: Access, place: str, labels: str) -> set[str]:
    return {
        address["ip"]
        for one in client.all(access, POD, place, labels=labels)
        if one["status"].get("phase") == "Running"
        for address in one["status"].get("podIPs") or ()
    }


def _of_service(client: Kubernetes, access: Access, ref: Ref) -> set[str]:
    """Its own addresses, which its callers use, and those of its pods, which call too."""
    service = client.find(access, ref)
    if service is None:
        return set()
    found = {each for each in service["spec"].get("clusterIPs") or () if each != "None"}
    labels = f"kubernetes.io/service-name={ref.name}"
    for one in client.all(access, ENDPOINT_SLICE, ref.namespace, labels=labels):
        if one.get("addressType") in ("IPv4", "IPv6"):
            found |= {a for each in one.get("endpoints") or () for a in each["addresses"]}
    return found
