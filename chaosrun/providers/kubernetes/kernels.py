"""What the kernels of nodes offer, as it was noted on them; kernel_trials.py finds it out.

Law (L8): a note counts for the very kernel in which it was found, until that starts anew. What is
not known is said to be so, and nothing is chosen by it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from chaosrun.codec import from_json, to_json
from chaosrun.errors import Refused
from chaosrun.mechanisms.kernel import TRIED, Kernel, Offers
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import NODE, Object, annotations_of
from chaosrun.providers.kubernetes.pods import Pod

ANNOTATION = "chaosrun.dev/kernel"
_MOST_NAMES = 4


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """What the annotation holds: which kernel, since which start, and what was tried in it."""

    version: str
    boot: str
    works: tuple[str, ...]
    lacks: tuple[str, ...]


class Below(msgspec.Struct, frozen=True, kw_only=True):
    """The kernel below a pod. Where `offers` is None, `why` may say why nothing is known of it."""

    node: str
    version: str = ""
    offers: Offers | None = None
    why: str = ""
    own: str = ""
    """The pod, where it may have a kernel of its own."""

    @property
    def called(self) -> str:
        """As a person knows it: `node-2 (6.18.0)`."""
        return self.own or (f"{self.node} ({self.version})" if self.version else self.node)


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """How it is done on a kernel; `open` where that is not known before it is done."""

    kernel: Below
    mechanism: str
    open: bool = False


def written(kernel: Kernel) -> str:
    """The note of what was seen, as the annotation has it."""
    works = kernel.offers.works & TRIED
    note = Note(
        version=kernel.version, boot=kernel.boot, works=tuple(sorted(works)),
        lacks=tuple(sorted(TRIED - works)),
    )  # fmt: skip
    return to_json(note).decode()


def running(node: Object) -> tuple[str, str]:
    """The version and the boot of the kernel that runs there now."""
    told = (node.get("status") or {}).get("nodeInfo") or {}
    return str(told.get("kernelVersion", "")), str(told.get("bootID", ""))


def below(node: Object) -> Below:
    """The kernel of a node, with what its note says if that counts."""
    version, boot = running(node)
    plain = Below(node=node["metadata"]["name"], version=version)
    if (text := annotations_of(node).get(ANNOTATION)) is None:
        return plain
    try:
        note = from_json(text, Note)
    except msgspec.MsgspecError:
        return msgspec.structs.replace(plain, why="what is noted there cannot be read")
    if not boot or (note.version, note.boot) != (version, boot):
        return msgspec.structs.replace(plain, why="what is noted there is of an earlier start")
    if not {*note.works, *note.lacks} >= TRIED:
        return msgspec.structs.replace(plain, why="what is noted there is of an older chaosrun")
    return msgspec.structs.replace(plain, offers=Offers(works=frozenset(note.works)))


def of_pods(client: Kubernetes, access: Access, pods: Iterable[Pod]) -> dict[str, Below]:
    """The kernel below each pod, by its UID. One list of the nodes."""
    nodes = {one["metadata"]["name"]: below(one) for one in client.all(access, NODE)}
    return {pod.uid: _below_pod(pod, nodes) for pod in pods}


def _below_pod(pod: Pod, nodes: Mapping[str, Below]) -> Below:
    if runtime := pod.spec.get("runtimeClassName"):
        own = f"pod {pod.namespace}/{pod.name} (runtime class {runtime})"
        return Below(node=pod.node, own=own)
    return nodes.get(pod.node, Below(node=pod.node))


def require(kernel: Below, needed: Mapping[str, str]) -> None:
    """Raise Refused when it is known to lack one of these, which are said in the words given."""
    lacking = [words for name, words in needed.items() if lacks(kernel, name)]
    if lacking:
        raise Refused(f"it has no {' and no '.join(lacking)}")


def lacks(kernel: Below, name: str) -> bool:
    """Whether it is known not to have that."""
    return kernel.offers is not None and name not in kernel.offers.works


def refusal(kernel: Below, refused: Refused) -> Refused:
    """The same of that kernel, and what to do if it has changed since it was noted."""
    again = "`chaosrun doctor --kubernetes` looks again"
    return Refused(
        f"the kernel of {kernel.called}, as noted there: {refused}",
        hint=f"{refused.hint}; {again}" if refused.hint else again,
        code="kernel",
    )


def in_words(ways: Sequence[Way]) -> str:
    """How it is done, on which kernel, where that differs."""
    groups: dict[tuple[str, bool, str, bool], list[Below]] = {}
    for way in ways:
        unknown = (way.kernel.why, bool(way.kernel.own)) if way.open else ("", False)
        kernels = groups.setdefault((way.mechanism, way.open, *unknown), [])
        if way.kernel not in kernels:
            kernels.append(way.kernel)
    said = []
    for (mechanism, is_open, why, own), kernels in sorted(
        groups.items(), key=lambda group: group[0][1]
    ):
        if is_open:
            said.append(_open(mechanism, kernels, why, own=own))
        elif len(groups) > 1:
            said.append(f"on {_names(one.node for one in kernels)}: {mechanism}")
        else:
            said.append(mechanism)
    return "; ".join(said)


def _open(mechanism: str, kernels: Sequence[Below], why: str, *, own: bool) -> str:
    several = len(kernels) > 1
    whose = f"the first that the kernel{'s' if several else ''} of "
    whose += f"{_names(one.called for one in kernels)} {'have' if several else 'has'}"
    if own:
        return f"{mechanism}: {whose}, known when it is done"
    reason = f"{why}; " if why else ""
    return f"{mechanism}: {whose} ({reason}`chaosrun doctor --kubernetes` finds out)"


def _names(found: Iterable[str]) -> str:
    names = sorted(set(found))
    if len(names) > _MOST_NAMES:
        names = [*names[: _MOST_NAMES - 1], f"{len(names) - _MOST_NAMES + 1} more"]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
