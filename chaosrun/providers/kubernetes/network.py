"""What the faults of pods' networks share: the traffic that is meant, and how it is impaired."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.mechanisms import agent
from chaosrun.mechanisms.choosing import NAMES, Mechanism
from chaosrun.mechanisms.impairment import Impairment
from chaosrun.providers.kubernetes import in_pods
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.pods import Pods
from chaosrun.providers.kubernetes.reach import Reach
from chaosrun.rights import Permission
from chaosrun.units import JSON, Share

NONE = Share(0)
ONE: dict[str, JSON] = {"namespace": "shop", "selector": "app=checkout", "pick": "one"}
Interface = Annotated[
    str, Meta(description="Its interface; without it the one that leads to the peers, or out")
]
By = Annotated[
    Mechanism,
    Meta(description="What does it; auto takes the best that the node's kernel has"),
]


class InNetworks(in_pods.InPods, frozen=True, kw_only=True):
    """A fault of the packets that a `Reach` means. A subclass is of both."""

    def also(self) -> tuple[Permission, ...]:
        return _reach(self).rights_to_peers(self._place())

    def _place(self) -> str:
        return _reach(self).place(_pods(self).everywhere())


class Impairing(InNetworks, frozen=True, kw_only=True):
    """A fault that impairs them. A subclass gives `impairment`, `interface` and `mechanism`."""

    likely: ClassVar[str]
    """In which order auto chooses."""

    def impairment(self) -> Impairment:
        """What happens to each packet."""
        raise NotImplementedError

    def part(self, client: Kubernetes, access: Access) -> in_pods.Part:
        traffic = _reach(self).meant(client, access, self._place())
        impairment = self.impairment()
        mechanism: Mechanism = getattr(self, "mechanism")  # noqa: B009 - of each subclass
        known = NAMES.get(mechanism, f"{self.likely}, as the node's kernel has it")
        return in_pods.Part(
            wish=agent.Impair(
                impairment=impairment, traffic=traffic, mechanism=mechanism,
                interface=getattr(self, "interface"),  # noqa: B009 - of each subclass
            ),
            effect=f"{traffic}: {impairment}",
            mechanism=known,
            privileged=True,
        )  # fmt: skip


def _reach(fault: object) -> Reach:
    assert isinstance(fault, Reach)
    return fault


def _pods(fault: object) -> Pods:
    found: Pods = getattr(fault, in_pods.TARGET)
    return found
