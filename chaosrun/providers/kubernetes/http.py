"""HTTP requests of pods, or to them, wait, fail or break off."""

from __future__ import annotations

from typing import ClassVar

from chaosrun.mechanisms import agent as mechanism
from chaosrun.mechanisms.asked.requests import (
    Addresses,
    HarmedRequests,
    Ports,
    Side,
    check_addresses,
)
from chaosrun.providers.kubernetes import in_pods, kernels
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.agents import Agent, Sent
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.network import ONE
from chaosrun.providers.kubernetes.pods import Pods
from chaosrun.units import JSON


class Calls(Pods, frozen=True, kw_only=True):
    """HTTP connections of pods, or to them."""

    ports: Ports
    direction: Side = "in"
    addresses: Addresses = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_addresses(self.addresses)


class Http(in_pods.InPods, HarmedRequests, frozen=True, kw_only=True):
    """Delay, fail or break off HTTP requests to pods or of them, by Envoy's fault filter.

    It takes no mesh. New connections to these ports (of the pod's containers, not of its Service)
    are brought to an Envoy of ours by nftables, in the pod's network namespace; it passes on all
    that is not meant. Only plain HTTP may run on these ports. Connections that are open keep their
    way. When Envoy is gone, however that came, new connections go their own way within two
    seconds. The agent's image has Envoy: it has the extra `http-faults`.
    """

    name: ClassVar[str] = "kubernetes.http"
    example: ClassVar[dict[str, JSON]] = {
        "target": {**ONE, "ports": [8080]},
        "with": {"paths": ["/stock*"], "share": "50%", "status": 503},
    }

    target: Calls
    agent: Sent = Agent()

    def part(self, client: Kubernetes, access: Access) -> in_pods.Part:
        del client, access
        names = HarmedRequests.__struct_fields__
        asked = HarmedRequests(**{each: getattr(self, each) for each in names})
        meant = self.target
        ports = ", ".join(map(str, sorted(set(meant.ports))))
        return in_pods.Part(
            wish=mechanism.Calls(
                requests=asked, ports=meant.ports, direction=meant.direction,
                addresses=meant.addresses,
            ),
            effect=self.in_words(),
            mechanism=f"Envoy's fault filter, by nftables redirect of port {ports}, in the pod's "
            "network namespace",
            capabilities=("NET_ADMIN",),
        )  # fmt: skip

    def below(self, part: in_pods.Part, kernel: kernels.Below) -> in_pods.Part:
        kernels.require(kernel, {"redirect": "redirects of nftables"})
        return part
