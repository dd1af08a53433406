"""The halt source `kubernetes.config-map`: a switch in the cluster.

Law (L10): a ConfigMap or a key that is not there means on.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from chaosrun.halting import Every, HaltSource, Switch, Timeout, said
from chaosrun.providers.kubernetes.access import Access, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import CONFIG_MAP, Ref
from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration


class ConfigMapHalt(Access, HaltSource[Kubernetes], frozen=True, kw_only=True):
    """Off while a key of a ConfigMap says `off`; on when it says `on` and why, or is not there."""

    name: ClassVar[str] = "kubernetes.config-map"
    example: ClassVar[dict[str, JSON]] = {"namespace": "chaos", "configMap": "chaosrun"}

    namespace: Annotated[str, Meta(description="Its namespace", min_length=1)]
    config_map: Annotated[str, Meta(description="The ConfigMap's name", min_length=1)]
    key: Annotated[str, Meta(description="The key", min_length=1)] = "halt"
    every: Every = Duration(2)
    timeout: Timeout = Duration(10)

    def needs(self) -> tuple[Permission, ...]:
        ref = self._ref()
        return (*self.asking(), *rbac(ref.kind.resource, "get", scope=ref.scope))

    def _ref(self) -> Ref:
        return Ref(CONFIG_MAP, self.config_map, self.namespace)

    def read(self, client: Kubernetes) -> Switch:
        ref = self._ref()
        found = client.get(client.settle(self.access()), ref)
        data = found.get("data") or {}
        if self.key not in data:
            return Switch(True, f"{ref.label} has no key {self.key}")
        return said(str(data[self.key]), f"{ref.label}, {self.key},")
