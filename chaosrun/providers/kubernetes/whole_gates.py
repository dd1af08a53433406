"""The gates `kubernetes.rollout-complete`, `kubernetes.no-degraded` and `kubernetes.budget-allows`.

Law (L4): what does not exist, or was not seen by its controller yet, closes the gate.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.gate import Gate, Measured
from chaosrun.providers.kubernetes.access import Access, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import (
    BUDGET,
    DAEMON_SET,
    DEPLOYMENT,
    STATEFUL_SET,
    Object,
    Ref,
)
from chaosrun.providers.kubernetes.workloads import Named, look, state_of
from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration

_NAMED = 5


class RolloutComplete(Named, Gate[Kubernetes], frozen=True, kw_only=True):
    """Open when no rollout of the workload is under way, and all its pods are ready."""

    name: ClassVar[str] = "kubernetes.rollout-complete"
    example: ClassVar[dict[str, JSON]] = {"namespace": "shop", "name": "checkout"}

    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(10)

    def needs(self) -> tuple[Permission, ...]:
        return self.rights("get")

    def measure(self, client: Kubernetes) -> Measured:
        ref = self.ref()
        state = look(client, client.settle(self.access()), ref)
        return Measured(
            open=state is not None and state.whole,
            measured=f"{ref.label}: {state.said if state else 'there is none'}",
            rule="every pod must be ready and of the newest revision",
            hint="" if state and state.whole else "wait until the rollout is complete",
        )


class NoDegraded(Access, Gate[Kubernetes], frozen=True, kw_only=True):
    """Open when every Deployment, StatefulSet and DaemonSet of a namespace is whole."""

    name: ClassVar[str] = "kubernetes.no-degraded"
    example: ClassVar[dict[str, JSON]] = {"namespace": "shop"}

    namespace: Annotated[str, Meta(description="The namespace", min_length=1)]
    selector: Annotated[str, Meta(description="Only those with these labels")] = ""
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(10)

    def needs(self) -> tuple[Permission, ...]:
        kinds = (DEPLOYMENT, STATEFUL_SET, DAEMON_SET)
        rights = [rbac(kind.resource, "list", scope=self.namespace) for kind in kinds]
        return (*self.asking(), *(right for each in rights for right in each))

    def measure(self, client: Kubernetes) -> Measured:
        access, degraded, count = client.settle(self.access()), [], 0
        for kind in (DEPLOYMENT, STATEFUL_SET, DAEMON_SET):
            for one in client.all(access, kind, self.namespace, labels=self.selector):
                count += 1
                state = state_of(kind.kind, one)
                if not state.whole:
                    degraded.append(f"{kind.kind} {one['metadata']['name']}: {state.said}")
        said = "; ".join(sorted(degraded)[:_NAMED])
        more = f" and {len(degraded) - _NAMED} more" if len(degraded) > _NAMED else ""
        return Measured(
            open=count > 0 and not degraded,
            measured=(said + more) or f"{count} workloads of {self.namespace}, all whole",
            rule="there must be workloads, and none may be degraded",
            hint="wait until they are whole" if degraded else "" if count else "check `namespace`",
        )


class BudgetAllows(Access, Gate[Kubernetes], frozen=True, kw_only=True):
    """Open when every disruption budget that is meant allows as many disruptions as are asked."""

    name: ClassVar[str] = "kubernetes.budget-allows"
    example: ClassVar[dict[str, JSON]] = {
        "namespace": "shop", "budget": "checkout", "disruptions": 1,
    }  # fmt: skip

    namespace: Annotated[str, Meta(description="The namespace", min_length=1)]
    budget: Annotated[str, Meta(description="The budget's name; else all of the namespace")] = ""
    disruptions: Annotated[int, Meta(ge=1, description="How many it must allow now")] = 1
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(10)

    def needs(self) -> tuple[Permission, ...]:
        if self.budget:
            return (*self.asking(), *rbac(BUDGET.resource, "get", scope=self._ref().scope))
        return (*self.asking(), *rbac(BUDGET.resource, "list", scope=self.namespace))

    def _ref(self) -> Ref:
        return Ref(BUDGET, self.budget, self.namespace)

    def _found(self, client: Kubernetes) -> list[Object]:
        access = client.settle(self.access())
        if not self.budget:
            return client.all(access, BUDGET, self.namespace)
        named = client.find(access, self._ref())
        return [] if named is None else [named]

    def measure(self, client: Kubernetes) -> Measured:
        found = self._found(client)
        allowed = {}
        for one in found:
            status = one.get("status", {})
            current = status.get("observedGeneration", 0) >= one["metadata"].get("generation", 0)
            name = one["metadata"]["name"]
            allowed[name] = int(status.get("disruptionsAllowed", 0)) if current else 0
        good = bool(allowed) and all(count >= self.disruptions for count in allowed.values())
        said = "; ".join(f"{name} allows {count}" for name, count in sorted(allowed.items()))
        return Measured(
            open=good,
            measured=said or "there is no such disruption budget",
            rule=f"each must allow at least {self.disruptions}",
            hint="" if good else "wait until more pods are ready, or ask for fewer",
        )
