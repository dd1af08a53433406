"""The probe `kubernetes.events`: what the cluster has said about its objects lately."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from chaosrun.probe import Probe
from chaosrun.providers.kubernetes.access import Access, rbac
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import EVENT, Object
from chaosrun.rights import Permission
from chaosrun.units import JSON, Duration

_KEPT = 20


class EventsSeen(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Events of the time that was asked for."""

    count: Annotated[int, Meta(description="How many there were, repetitions counted")]
    reasons: Annotated[list[str], Meta(description="Their reasons, each once")]
    messages: Annotated[list[str], Meta(description="The newest messages, at most 20")]


class EventsProbe(Access, Probe[Kubernetes, EventsSeen], frozen=True, kw_only=True):
    """Counts events of a namespace, by type, reason and the object they are about."""

    name: ClassVar[str] = "kubernetes.events"
    Result = EventsSeen
    example: ClassVar[dict[str, JSON]] = {
        "with": {"namespace": "shop", "type": "Warning", "reason": "FailedScheduling"},
        "expect": "count == 0",
    }

    namespace: Annotated[str, Meta(description="Their namespace", min_length=1)]
    type: Annotated[Literal["", "Normal", "Warning"], Meta(description="Only of this type")] = ""
    reason: Annotated[str, Meta(description="Only with this reason")] = ""
    kind: Annotated[str, Meta(description="Only about objects of this kind")] = ""
    object: Annotated[str, Meta(description="Only about objects whose name begins so")] = ""
    since: Annotated[Duration, Meta(description="Only those not older than this")] = Duration(60)
    timeout: Annotated[Duration, Meta(description="How long it may take")] = Duration(10)

    def needs(self) -> tuple[Permission, ...]:
        return (*self.asking(), *rbac("events", "list", scope=self.namespace))

    def observe(self, client: Kubernetes) -> EventsSeen:
        wanted = {"type": self.type, "reason": self.reason, "involvedObject.kind": self.kind}
        fields = ",".join(f"{name}={value}" for name, value in wanted.items() if value)
        oldest = datetime.now(UTC) - timedelta(seconds=self.since.seconds)
        found = client.all(client.settle(self.access()), EVENT, self.namespace, fields=fields)
        recent = sorted(
            (when, number, one)
            for number, one in enumerate(found)
            if (when := _last(one)) >= oldest
            and one["involvedObject"].get("name", "").startswith(self.object)
        )
        return EventsSeen(
            count=sum(_times(one) for _, _, one in recent),
            reasons=sorted({str(one.get("reason", "")) for _, _, one in recent}),
            messages=[str(one.get("message", ""))[:300] for _, _, one in recent[-_KEPT:]],
        )


def _last(one: Object) -> datetime:
    series = one.get("series") or {}
    text = (
        series.get("lastObservedTime")
        or one.get("lastTimestamp")
        or one.get("eventTime")
        or one["metadata"]["creationTimestamp"]
    )
    return datetime.fromisoformat(str(text).replace("Z", "+00:00"))


def _times(one: Object) -> int:
    return int((one.get("series") or {}).get("count") or one.get("count") or 1)
