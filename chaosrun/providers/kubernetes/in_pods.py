"""What the faults share that are done inside of pods, by an agent of ours.

Law (L1-L3): a pod is marked before its agent starts; the agent arms its own deadline, and ends what
it did though nobody of us is left. Law (L5): a node that does not answer holds up the end of what
was done on no other. Law (L6): what is said to be there, or gone, the agent saw or
the kubelet: the mark goes when the end was seen.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import msgspec

from chaosrun.codec import from_json, to_json
from chaosrun.errors import Refused
from chaosrun.fault import Evidence, Expiry, Fault, Hold
from chaosrun.mechanisms.agent import Wish, container_id
from chaosrun.providers.kubernetes import agent_orders, agent_pods, agent_states, kernels, marks
from chaosrun.providers.kubernetes.access import Access, access_of, rbac, undo
from chaosrun.providers.kubernetes.agents import Agent, At, Way, agents
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.at_once import at_once
from chaosrun.providers.kubernetes.kernels import Below
from chaosrun.providers.kubernetes.pod_kill import ref_of
from chaosrun.providers.kubernetes.pods import Pod, Pods, counted
from chaosrun.providers.kubernetes.require import require
from chaosrun.rights import Permission
from chaosrun.targeting import Target
from chaosrun.units import JSON

TARGET, AGENT = "target", "agent"
_BEGINS_WITHIN = 120.0
_EXEC = ("create", "get")
"""A websocket is asked for by GET; clusters from 1.35 on also want `create`."""


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """What is done to each pod: the wish, in words, how, and what the agent must be allowed."""

    wish: Wish
    effect: str
    mechanism: str
    privileged: bool = False
    capabilities: tuple[str, ...] = ()
    open: bool = False
    """Whether `mechanism` is a choice that is made when it is done."""
    known: dict[str, JSON] = {}
    """What has to be known besides when it is looked at again."""


class InPods(Fault[Kubernetes], frozen=True, kw_only=True):
    """A fault that an agent does in each pod. A subclass gives `target`, `agent` and `part`.

    (The two are fields of each: of two structs with fields none can inherit.)
    """

    expiry: ClassVar[Expiry] = Expiry.TARGET
    seen_in: ClassVar[str] = "the pod's specification, which tells the agent what to do"
    of_network: ClassVar[bool] = True
    """Whether it is done in the pod's network; else in a control group."""

    def part(self, client: Kubernetes, access: Access) -> Part:
        """What is done. Reads only."""
        raise NotImplementedError

    def below(self, part: Part, kernel: Below) -> Part:
        """The same as that kernel does it, as far as it is known. Raises Refused if it cannot."""
        del kernel
        return part

    def also(self) -> tuple[Permission, ...]:
        """The rights that it takes besides."""
        return ()

    def ways(self, pod: Pod | None = None) -> tuple[Way, ...]:
        """How the agent may come to a pod, or to any: the best first. Raises Refused for none."""
        del pod
        asked = self._agent().by
        return ("ephemeral", "helper") if asked == "auto" else (asked,)

    def container_of(self, pod: Pod) -> str:
        """The container whose control group and files are meant; empty where none is."""
        del pod
        return ""

    def needs(self) -> tuple[Permission, ...]:
        return self._rights(self.ways())

    def _agent(self) -> Agent:
        found: Agent = getattr(self, AGENT)
        return found

    def _rights(self, ways: Iterable[Way]) -> tuple[Permission, ...]:
        meant: Pods = getattr(self, TARGET)
        found = [*meant.rights(pods=["get", "patch", "watch"])]
        for namespace in meant.everywhere():
            for way in ways:
                if way == "ephemeral":
                    for scope in meant.scopes(namespace):
                        found += rbac("pods/ephemeralcontainers", "patch", scope=scope)
                        found += rbac("pods/exec", *_EXEC, scope=scope)
                else:
                    place = self._agent().place(namespace)
                    found += rbac("pods", "create", "delete", "list", "watch", scope=place)
                    found += rbac("pods/exec", *_EXEC, scope=place)
        return tuple(dict.fromkeys([*found, *self.also()]))

    def plan(self, client: Kubernetes, rng: random.Random) -> Hold:
        meant: Pods = getattr(self, TARGET)
        access = client.settle(meant.access())
        require(client, access, self.needs())
        image = self._agent().called
        picked, population = meant.picked(client, access, rng, self._unable)
        part = self.part(client, access)
        parts, mechanism = self._by_kernels(client, access, part, picked)
        draft = Hold(
            fault=self.name,
            targets=tuple(
                sorted(
                    (self._target(access, pod, parts[pod.uid]) for pod in picked),
                    key=lambda t: t.key,
                )
            ),
            population=len(population),
            populations=counted(access, population),
            effect=part.effect,
            undo=undo(
                access, image=image, privileged=part.privileged,
                capabilities=list(part.capabilities), **part.known,
            ),
            way_back="the agent ends it at the deadline, or when chaosrun says so before",
            expiry=self.expiry,
        )  # fmt: skip
        ways = self._admitted(draft, {pod.uid: pod for pod in picked}, client)
        targets = tuple(_by(target, ways[target.key]) for target in draft.targets)
        chosen = sorted(set(ways.values()))
        words = {
            "ephemeral": "an ephemeral container of the pod",
            "helper": "a helper pod on its node",
        }
        said = " or ".join(words[way] for way in chosen)
        return msgspec.structs.replace(
            draft,
            targets=targets,
            mechanism=f"{mechanism}; by {said}",
            used=self._rights(chosen),
        )

    def _unable(self, pod: Pod) -> str:
        if self.of_network and pod.spec.get("hostNetwork"):
            return "it uses its node's network, which others use too"
        return ""

    def _by_kernels(
        self, client: Kubernetes, access: Access, part: Part, picked: Sequence[Pod]
    ) -> tuple[dict[str, Part], str]:
        """What is done to each pod, by its UID, and how: on which kernel where that differs."""
        if not self.of_network:  # no kernel is without what these take
            return {pod.uid: part for pod in picked}, part.mechanism
        below, parts, ways = kernels.of_pods(client, access, picked), {}, []
        for pod in picked:
            kernel = below[pod.uid]
            try:
                own = parts[pod.uid] = self.below(part, kernel)
            except Refused as refused:
                raise kernels.refusal(kernel, refused) from None
            ways.append(kernels.Way(kernel=kernel, mechanism=own.mechanism, open=own.open))
        return parts, kernels.in_words(ways)

    def _target(self, access: Access, pod: Pod, part: Part) -> Target:
        name = self.container_of(pod)
        found = pod.containers.get(name, {}).get("containerID", "") if name else ""
        plain = from_json(to_json(part.wish), dict)  # as it comes back from JSON
        more = {
            "wish": plain, "node": pod.node, "namespace": self._agent().place(pod.namespace),
            "container": container_id(found), "way": "",
        }  # fmt: skip
        return pod.target(access, more)

    def _admitted(self, hold: Hold, pods: Mapping[str, Pod], client: Kubernetes) -> dict[str, Way]:
        """The first way that the cluster admits, for each target: asked by a dry run.

        Pods of one workload are alike, so one of them is asked about. Raises Refused.
        """
        known: dict[tuple[str, tuple[Way, ...]], Way] = {}
        found: dict[str, Way] = {}
        for target in hold.targets:
            pod = pods[target.id]
            ways = self.ways(pod)
            if pod.phase != "Running":
                raise Refused(f"pod {target.name} does not run: {pod.phase}", code="not-running")
            key = (pod.owner_uid or pod.uid, ways)
            if key not in known:
                known[key] = _first(hold, target, ways, client)
            found[target.key] = known[key]
        return found

    @classmethod
    def inject(cls, hold: Hold, client: Kubernetes) -> None:
        now = agent_states.Pods(hold, client)
        every = agents(hold)
        for at in every:
            if now.target(at) is None:
                raise Refused(f"pod {at.target.name} is gone since it was planned")
        for at in every:
            _mark(hold, client, at)
            if now.state(at, hold).word == "absent":
                agent_pods.start(hold, client, at)
        left = list(every)

        def begun(other: Kubernetes) -> bool:
            seen = agent_states.Pods(hold, other)
            left[:] = [at for at in left if not agent_orders.goes(hold, other, at, seen)]
            return not left

        said, watching = "the agents should begin", agent_states.watched(hold)
        client.until(begun, said, _BEGINS_WITHIN, watching, agent_orders.TELL_AGAIN)

    @classmethod
    def revert(cls, hold: Hold, client: Kubernetes) -> None:
        at_once(lambda at: agent_orders.end(hold, client, at), agents(hold))

    @classmethod
    def took_effect(cls, hold: Hold, client: Kubernetes) -> Evidence:
        now, words, measured, good = agent_states.Pods(hold, client), [], {}, True
        for at in agents(hold):
            state = now.state(at, hold)
            if now.target(at) is None:
                seen, said = False, "is gone"
            elif state.word != "running":
                seen, said = False, f"the agent does not run: {state.said}"
            else:
                looked = agent_orders.ask(hold, client, at, "look")
                seen, said = looked.there, looked.detail
                measured[at.target.label] = looked.measured
            good = good and seen
            words.append(f"{at.target.label}: {said}")
        return Evidence(good, "; ".join(words), _flat(measured))

    @classmethod
    def restored(cls, hold: Hold, client: Kubernetes) -> Evidence:
        now, words, good = agent_states.Pods(hold, client), [], True
        for at in agents(hold):
            seen, said = agent_orders.as_before(hold, client, at, now)
            good = good and seen
            words.append(f"{at.target.label}: {said}")
        return Evidence(good, "; ".join(words))


def _first(hold: Hold, target: Target, ways: Iterable[Way], client: Kubernetes) -> Way:
    against: list[str] = []
    marked = msgspec.structs.replace(hold, mark="plan")
    for way in ways:
        trial = msgspec.structs.replace(marked, targets=(_by(target, way),))
        try:
            agent_pods.start(trial, client, agents(trial)[0], dry=True)
        except (Refused, NotFound) as error:
            against.append(f"{way}: {error}")
        else:
            return way
    raise Refused(
        f"no agent is admitted at pod {target.name} ({'; '.join(against)})",
        hint="let helper pods live in a namespace that is privileged: agent: {namespace: NAME}",
        code="not-admitted",
    )


def _by(target: Target, way: Way) -> Target:
    return msgspec.structs.replace(target, undo={**target.undo, "way": way})


def _mark(hold: Hold, client: Kubernetes, at: At) -> None:
    try:
        client.change(
            access_of(hold), ref_of(at.target), lambda found: marks.put(found, hold),
            uid=at.target.id,
        )  # fmt: skip
    except NotFound:
        raise Refused(f"pod {at.target.name} is gone since it was planned") from None


def _flat(measured: dict[str, Any]) -> dict[str, Any]:
    """Of one pod its own numbers; of several those of each."""
    return dict(measured) if len(measured) != 1 else dict(next(iter(measured.values())))
