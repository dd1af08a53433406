"""A workload replaces all its pods, one after the other, as for a new version."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold, Reversal
from chaosrun.providers.kubernetes.access import access_of, undo
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import WORKLOADS, Object, Ref
from chaosrun.providers.kubernetes.require import require
from chaosrun.providers.kubernetes.workloads import Named, not_rolling, state_of, target_of
from chaosrun.rights import Permission
from chaosrun.units import JSON

_ANNOTATION = "chaosrun.dev/restarted-by"


class Rolling(Named, frozen=True, kw_only=True):
    """One workload that rolls out versions."""

    kind: Annotated[
        Literal["Deployment", "StatefulSet", "DaemonSet"], Meta(description="Its kind")
    ] = "Deployment"


class RolloutRestart(Fault[Kubernetes], frozen=True, kw_only=True):
    """Restart every pod of a workload, as fast as its rollout strategy allows.

    As after `kubectl rollout restart`, an annotation of the pod template stays. Refused while
    the workload is not whole, or would keep its pods: one that is paused, OnDelete, or has a
    partition. A StatefulSet's or DaemonSet's first new pod comes when an old one has ended: give
    the step a `timeout` that is longer than that takes. It has healed when every pod is new and
    ready.
    """

    name: ClassVar[str] = "kubernetes.rollout-restart"
    reversal: ClassVar[Reversal] = Reversal.SELF_HEALING
    example: ClassVar[dict[str, JSON]] = {"target": {"namespace": "shop", "name": "checkout"}}

    target: Rolling

    def needs(self) -> tuple[Permission, ...]:
        return self.target.rights("get", "patch")

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:  # noqa: ARG002
        access, ref = client.settle(self.target.access()), self.target.ref()
        require(client, access, self.needs())
        found = client.get(access, ref)
        state = state_of(self.target.kind, found)
        if why := not_rolling(self.target.kind, found):
            raise Refused(f"{ref.label} would not restart its pods: {why}")
        if not state.desired:
            raise Refused(f"{ref.label} has no pods to restart")
        if not state.whole:
            raise Refused(f"{ref.label} is not whole: {state.said}", hint="wait until it is")
        return Hold(
            fault=self.name,
            targets=(target_of(ref, found, access),),
            population=1,
            effect=f"{ref.label} replaces all its {state.desired} pods",
            undo=undo(access, kind=self.target.kind),
            way_back="the rollout goes on until every pod is ready",
            mechanism="an annotation of the pod template",
            reversal=self.reversal,
            used=self.needs(),
        )

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        def edit(found: Object) -> None:
            inner = found["spec"]["template"].setdefault("metadata", {})
            inner["annotations"] = {**(inner.get("annotations") or {}), _ANNOTATION: hold.mark}

        try:
            client.change(access_of(hold), _ref(hold), edit, uid=hold.targets[0].id)
        except NotFound:
            raise Refused(f"{_ref(hold).label} is gone since it was planned") from None
        client.until(lambda c: cls.took_effect(hold, c).seen, "the first new pod should come")

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        """The workload does it."""

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        found = client.find(access_of(hold), _ref(hold), hold.targets[0].id)
        if found is None:
            return Evidence(False, f"{_ref(hold).label} is gone")
        written = found["spec"]["template"].get("metadata", {}).get("annotations") or {}
        if not hold.mark or written.get(_ANNOTATION) != hold.mark:
            return Evidence(False, "its template was not changed, or changed back")
        state = state_of(hold.undo["kind"], found)
        return Evidence(state.settled and state.updated > 0, state.said, {"updated": state.updated})

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        found = client.find(access_of(hold), _ref(hold), hold.targets[0].id)
        if found is None:
            return Evidence(True, f"{_ref(hold).label} was deleted meanwhile")
        state = state_of(hold.undo["kind"], found)
        return Evidence(state.whole, state.said, {"ready": state.ready, "desired": state.desired})


def _ref(hold: Hold) -> Ref:
    namespace, _, name = hold.targets[0].name.partition("/")
    return Ref(WORKLOADS[hold.undo["kind"]], name, namespace)
