"""What the faults of pods' networks share: the traffic that is meant, and how it is impaired."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Annotated, ClassVar

from msgspec import Meta
from msgspec.structs import replace

from chaosrun.codec import from_plain, to_plain
from chaosrun.fault import Evidence, Hold
from chaosrun.mechanisms import agent
from chaosrun.mechanisms.choosing import NAMES, Mechanism, choose
from chaosrun.mechanisms.impairment import Impairment
from chaosrun.mechanisms.traffic import Traffic
from chaosrun.providers.kubernetes import in_pods
from chaosrun.providers.kubernetes.access import Access, access_of
from chaosrun.providers.kubernetes.agents import agents
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kernels import Below
from chaosrun.providers.kubernetes.pods import Pods
from chaosrun.providers.kubernetes.reach import Near, Reach
from chaosrun.rights import Permission
from chaosrun.units import JSON, Share

NONE = Share(0)
_NEAR = "near"
ONE: dict[str, JSON] = {"namespace": "shop", "selector": "app=checkout", "pick": "one"}
Interface = Annotated[
    str, Meta(description="Its interface; without it the one that leads to the peers, or out")
]
By = Annotated[
    Mechanism,
    Meta(
        description="What does it; auto takes the best that the node's kernel has. What the plan "
        "names is used, or refused"
    ),
]


class InNetworks(in_pods.InPods, frozen=True, kw_only=True):
    """A fault of the packets that a `Reach` means. A subclass is of both."""

    def also(self) -> tuple[Permission, ...]:
        return _reach(self).rights_to_peers(self._place())

    def _place(self) -> str:
        return _reach(self).place(_pods(self).everywhere())

    def _meant(self, client: Kubernetes, access: Access) -> tuple[Traffic, dict[str, JSON]]:
        """The packets that are meant, and what has to be known of them when they are looked at."""
        traffic, near = _reach(self).meant(client, access, self._place())
        return traffic, {_NEAR: to_plain(near)}

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        seen, near = super().took_effect(hold, client), from_plain(hold.undo[_NEAR], Near)
        if not seen.seen or not hold.targets:
            return seen
        meant = agents(hold)[0].errand.wish
        assert isinstance(meant, (agent.Impair, agent.Cut))
        if not (other := near.difference(client, access_of(hold), meant.traffic)):
            return seen
        return replace(seen, seen=False, detail=f"{seen.detail}; but {other}")


class Impairing(InNetworks, frozen=True, kw_only=True):
    """A fault that impairs them. A subclass gives `impairment`, `interface` and `mechanism`."""

    likely: ClassVar[str]
    """In which order auto chooses."""

    def impairment(self) -> Impairment:
        """What happens to each packet."""
        raise NotImplementedError

    def part(self, client: Kubernetes, access: Access) -> in_pods.Part:
        traffic, known = self._meant(client, access)
        impairment = self.impairment()
        mechanism: Mechanism = getattr(self, "mechanism")  # noqa: B009 - of each subclass
        return in_pods.Part(
            wish=agent.Impair(
                impairment=impairment, traffic=traffic, mechanism=mechanism,
                interface=getattr(self, "interface"),  # noqa: B009 - of each subclass
            ),
            effect=f"{traffic}: {impairment}",
            mechanism=NAMES.get(mechanism, self.likely),
            privileged=True,
            open=mechanism == "auto",
            known=known,
        )  # fmt: skip

    def below(self, part: in_pods.Part, kernel: Below) -> in_pods.Part:
        """By name where it is known what the kernel has: the agent takes that, and no other."""
        wish = part.wish
        assert isinstance(wish, agent.Impair)
        if kernel.offers is None:
            return part
        traffic = wish.traffic
        interface = wish.interface or ("lo" if _to_itself(traffic) else "")
        chosen = choose(wish.mechanism, kernel.offers, interface, wish.impairment, traffic)
        return replace(
            part, wish=replace(wish, mechanism=chosen), mechanism=NAMES[chosen], open=False
        )


def _to_itself(traffic: Traffic) -> bool:
    """Whether the first peer, by which the agent finds the interface, is on loopback."""
    return bool(traffic.peers) and ip_network(traffic.peers[0]).is_loopback


def _reach(fault: object) -> Reach:
    assert isinstance(fault, Reach)
    return fault


def _pods(fault: object) -> Pods:
    found: Pods = getattr(fault, in_pods.TARGET)
    return found
