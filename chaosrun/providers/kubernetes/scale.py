"""A workload has another number of replicas while it is held."""

from __future__ import annotations

import random
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Fault, Hold
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import access_of, undo
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import WORKLOADS, Object, Ref
from chaosrun.providers.kubernetes.require import require
from chaosrun.providers.kubernetes.watching import single
from chaosrun.providers.kubernetes.workloads import Named, refuse_claims, state_of, target_of
from chaosrun.rights import Permission
from chaosrun.units import JSON


class Scalable(Named, frozen=True, kw_only=True):
    """One workload that has replicas."""

    kind: Annotated[
        Literal["Deployment", "StatefulSet", "ReplicaSet"], Meta(description="Its kind")
    ] = "Deployment"


class Scale(Fault[Kubernetes], frozen=True, kw_only=True):
    """Give a workload another number of replicas; afterwards it has its own number again.

    A StatefulSet is refused that would lose volumes, or keep more of them than before. An
    autoscaler or a GitOps controller may set it back at once: the report then says that the
    change did not stay.
    """

    name: ClassVar[str] = "kubernetes.scale"
    example: ClassVar[dict[str, JSON]] = {
        "target": {"namespace": "shop", "kind": "Deployment", "name": "checkout"},
        "with": {"replicas": 0},
    }

    target: Scalable
    replicas: Annotated[int, Meta(ge=0, le=10_000, description="How many replicas it is to have")]

    def needs(self) -> tuple[Permission, ...]:
        return self.target.rights("get", "list", "patch", "watch")

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:  # noqa: ARG002
        access, ref = client.settle(self.target.access()), self.target.ref()
        require(client, access, self.needs())
        found = client.get(access, ref)
        marks.refuse_held(found, ref.label, self.name, marks.OBJECT)
        now = _replicas(found)
        if now == self.replicas:
            raise Refused(f"{ref.label} has {now} replicas already")
        refuse_claims(ref.label, found["spec"], {**found["spec"], "replicas": self.replicas})
        return Hold(
            fault=self.name,
            targets=(target_of(ref, found, access, {"replicas": now}),),
            population=1,
            effect=f"{ref.label} has {self.replicas} replicas in place of {now}",
            undo=undo(
                access, kind=self.target.kind, wanted=self.replicas,
                whole=state_of(self.target.kind, found).whole,
            ),
            way_back=f"chaosrun sets {now} replicas again",
            mechanism="spec.replicas",
            used=self.needs(),
        )  # fmt: skip

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        def edit(found: Object) -> None:
            now, before = _replicas(found), hold.targets[0].undo["replicas"]
            if now != before and not marks.ours(found, hold):
                raise Refused(f"it has {now} replicas, and had {before} when it was planned")
            if not marks.ours(found, hold):  # its policy may be another one than when planned
                after = {**found["spec"], "replicas": hold.undo["wanted"]}
                refuse_claims(_ref(hold).label, found["spec"], after)
            found["spec"]["replicas"] = hold.undo["wanted"]
            marks.put(found, hold)

        client.change(access_of(hold), _ref(hold), edit, uid=hold.targets[0].id)
        client.until(
            lambda c: _arrived(hold, c),
            "it should have as many replicas as were asked for",
            watching=[single(access_of(hold), _ref(hold))],
        )

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        def put_back(found: Object) -> None:
            if _is_left(hold, found):
                found["spec"]["replicas"] = hold.targets[0].undo["replicas"]

        marks.give_back(hold, client, _ref(hold), put_back)

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        found = client.find(access_of(hold), _ref(hold), hold.targets[0].id)
        if found is None:
            return Evidence(False, f"{_ref(hold).label} is gone")
        now, wanted = _replicas(found), hold.undo["wanted"]
        state = state_of(hold.undo["kind"], found)
        if now != wanted:
            set_back = ": somebody set it back" if marks.ours(found, hold) else ""
            return Evidence(False, f"it has {now} replicas, not {wanted}{set_back}")
        ready = int(found.get("status", {}).get("readyReplicas", 0))
        return Evidence(ready == wanted, state.said, {"ready": ready, "wanted": wanted})

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        found = marks.here(hold, client, _ref(hold))
        if found is None:
            return Evidence(True, f"{_ref(hold).label} was deleted meanwhile")
        if marks.bears(found, hold) or _is_left(hold, found):
            return Evidence(False, "it is still marked, or has the replicas that were asked for")
        now, before = _replicas(found), hold.targets[0].undo["replicas"]
        state = state_of(hold.undo["kind"], found)
        other = f"; somebody else set {now} replicas, {before} before" if now != before else ""
        good = state.whole or (not hold.undo["whole"] and state.settled and state.extra <= 0)
        return Evidence(good, state.said + other)


def _ref(hold: Hold) -> Ref:
    namespace, _, name = hold.targets[0].name.partition("/")
    return Ref(WORKLOADS[hold.undo["kind"]], name, namespace)


def _replicas(found: Object) -> int:
    return int(found["spec"].get("replicas", 1))


def _is_left(hold: Hold, found: Object) -> bool:
    """Whether it has the replicas that were asked for, and we gave it them."""
    asked = _replicas(found) == hold.undo["wanted"]
    return asked and marks.by_us(found, hold, "spec", "replicas")


def _arrived(hold: Hold, client: Kubernetes) -> bool:
    """Whether the wish was carried out, or somebody set it back, which the look will tell."""
    found = client.find(access_of(hold), _ref(hold), hold.targets[0].id)
    if found is None or _replicas(found) != hold.undo["wanted"]:
        return True
    status = found.get("status", {})
    settled = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
    wanted = hold.undo["wanted"]
    return bool(settled and status.get("replicas", 0) == wanted == status.get("readyReplicas", 0))
