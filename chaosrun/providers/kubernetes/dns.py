"""Pods look names up in vain, wrongly or slowly."""

from __future__ import annotations

from typing import ClassVar

from chaosrun.mechanisms import agent as mechanism
from chaosrun.mechanisms.asked.lookups import Lookups
from chaosrun.providers.kubernetes import in_pods, kernels
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.agents import Agent, Sent
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.network import ONE
from chaosrun.providers.kubernetes.pods import Pods
from chaosrun.units import JSON


class Dns(in_pods.InPods, Lookups, frozen=True, kw_only=True):
    """Answer lookups of chosen names wrongly, late or not at all, in chosen pods only.

    What these pods ask of their name servers is brought to a resolver of ours in their network
    namespace, which passes on all that is not meant. Names are those that are asked for: a pod
    that looks for `catalog` asks for `catalog.shop.svc.cluster.local` first. What a program keeps
    of earlier lookups, and /etc/hosts, are not touched. When our resolver is gone, lookups go
    their own way again within two seconds.
    """

    name: ClassVar[str] = "kubernetes.dns"
    example: ClassVar[dict[str, JSON]] = {
        "target": ONE,
        "with": {"names": ["catalog.shop.svc.cluster.local"], "answer": "nxdomain"},
    }

    target: Pods
    agent: Sent = Agent()

    def part(self, client: Kubernetes, access: Access) -> in_pods.Part:
        del client, access
        asked = Lookups(**{each: getattr(self, each) for each in Lookups.__struct_fields__})
        servers = ", ".join(self.servers) or "the pod's name servers"
        return in_pods.Part(
            wish=mechanism.Names(lookups=asked),
            effect=self.in_words(self.harm(self.servers)),
            mechanism=f"nftables redirect of port 53 of {servers}, in the pod's network namespace",
            capabilities=("NET_ADMIN",),
        )

    def below(self, part: in_pods.Part, kernel: kernels.Below) -> in_pods.Part:
        kernels.require(kernel, {"redirect": "redirects of nftables"})
        return part
