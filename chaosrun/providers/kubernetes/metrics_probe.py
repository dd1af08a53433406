"""The probe `kubernetes.metrics`: what pods use, by the metrics API."""

from __future__ import annotations

import re
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from chaosrun.errors import Refused, Transient
from chaosrun.probe import Probe
from chaosrun.providers.kubernetes.access import Access, rbac
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import POD_METRICS
from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration

_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkMGTPE]|[KMGTPE]i)?")
_FACTORS = {
    "n": 1e-9, "u": 1e-6, "m": 1e-3, None: 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12,
    "P": 1e15, "E": 1e18, "Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40,
    "Pi": 2.0**50, "Ei": 2.0**60,
}  # fmt: skip


class Usage(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What pods use, as of some seconds ago."""

    pods: Annotated[int, Meta(description="How many pods have metrics")]
    cpu: Annotated[float, Meta(description="Processors, of all pods together")]
    cpu_max: Annotated[float, Meta(description="Processors, of the pod that uses most")]
    memory: Annotated[float, Meta(description="Bytes, of all pods together")]
    memory_max: Annotated[float, Meta(description="Bytes, of the pod that uses most")]


class MetricsProbe(Access, Probe[Kubernetes, Usage], frozen=True, kw_only=True):
    """Asks the metrics API how much processor time and memory pods use."""

    name: ClassVar[str] = "kubernetes.metrics"
    Result = Usage
    example: ClassVar[dict[str, JSON]] = {
        "with": {"namespace": "shop", "selector": "app=checkout"},
        "expect": "cpuMax < 0.8",
    }

    namespace: Annotated[str, Meta(description="Their namespace", min_length=1)]
    selector: Annotated[str, Meta(description="A label selector", examples=["app=checkout"])] = ""
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(10)

    def needs(self) -> tuple[Permission, ...]:
        return (*self.asking(), *rbac(POD_METRICS.resource, "list", scope=self.namespace))

    def observe(self, client: Kubernetes) -> Usage:
        access = client.settle(self.access())
        try:
            found = client.all(access, POD_METRICS, self.namespace, labels=self.selector)
        except NotFound:
            raise Refused("the cluster has no metrics API", hint="install metrics-server") from None
        if not found:
            raise Transient("no pod has metrics yet")
        used = {
            name: [
                sum(_number(one["usage"].get(name, "0")) for one in pod["containers"])
                for pod in found
            ]
            for name in ("cpu", "memory")
        }
        return Usage(
            pods=len(found),
            cpu=sum(used["cpu"]),
            cpu_max=max(used["cpu"]),
            memory=sum(used["memory"]),
            memory_max=max(used["memory"]),
        )


def _number(text: str) -> float:
    """A quantity, as Kubernetes writes it: `250m`, `64Mi`."""
    match = _QUANTITY.fullmatch(str(text))
    if match is None:
        raise Transient(f"{text!r} is not a quantity")
    return float(match[1]) * _FACTORS[match[2]]
