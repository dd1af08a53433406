"""What a fault leaves on an object, so that it is known whose it is; and the sweep that finds it.

Law: the mark comes with the change, in one call, and goes with it. It is an annotation that
names the fault, and a label by which the API server finds all that bear one.
"""

from __future__ import annotations

from collections.abc import Iterator

from chaosrun.errors import Refused
from chaosrun.fault import Found, Hold
from chaosrun.providers.kubernetes.access import Access
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import Kind, Object, annotations_of, meta, uid_of

LABEL = "chaosrun.dev/marked"
_PREFIX = "mark.chaosrun.dev/"
_SKIPPED = {"events", "componentstatuses"}


def key(hold: Hold) -> str:
    """The annotation of this hold; the name of one has at most 63 characters."""
    return f"{_PREFIX}{hold.mark[-63:].lstrip('-_.')}"


def put(found: Object, hold: Hold) -> None:
    """Mark an object that is about to be changed."""
    if not hold.mark:
        raise Refused("a hold without a mark cannot be injected")
    meta(found)["labels"] = {**(meta(found).get("labels") or {}), LABEL: "true"}
    own = {key(hold): hold.fault}
    meta(found)["annotations"] = {**(meta(found).get("annotations") or {}), **own}


def take(found: Object, hold: Hold) -> None:
    """Take our mark, and no other."""
    annotations = {k: v for k, v in annotations_of(found).items() if k != key(hold)}
    meta(found)["annotations"] = annotations
    if not any(name.startswith(_PREFIX) for name in annotations):
        labels = meta(found).get("labels") or {}
        meta(found)["labels"] = {k: v for k, v in labels.items() if k != LABEL}


def ours(found: Object, hold: Hold) -> bool:
    """Whether it bears our mark."""
    return bool(hold.mark) and key(hold) in annotations_of(found)


def find(client: Kubernetes) -> tuple[Found, ...]:
    """Each mark once, with all that bears it; none where no cluster is known.

    The sweep looks in the cluster that kubectl would look in. It reads the metadata of what
    bears the label, of every kind that can be listed, and says so when it may not.
    """
    if not client.configured():
        return ()
    access = client.settle(Access())
    found: dict[tuple[str, str], set[str]] = {}
    for kind, one in _bearers(client, access):
        where = one["metadata"].get("namespace", "")
        name = f"{kind.kind} {where + '/' if where else ''}{one['metadata']['name']}"
        for annotation, fault in annotations_of(one).items():
            if annotation.startswith(_PREFIX):
                mark = annotation.removeprefix(_PREFIX)
                found.setdefault((mark, fault), set()).add(name)
    return tuple(
        Found(
            fault=fault,
            mark=mark,
            target=", ".join(sorted(names)),
            detail=f"annotated {_PREFIX}{mark} in cluster {access.cluster}",
        )
        for (mark, fault), names in sorted(found.items())
    )


def _bearers(client: Kubernetes, access: Access) -> Iterator[tuple[Kind, Object]]:
    seen: set[str] = set()
    for kind in _listable(client, access):
        try:
            bearing = client.all(access, kind, labels=LABEL, metadata=True)
        except NotFound:  # a kind that went away meanwhile
            continue
        for one in bearing:
            if uid_of(one) not in seen:  # one object may be of several API groups
                seen.add(uid_of(one))
                yield kind, one


def _listable(client: Kubernetes, access: Access) -> Iterator[Kind]:
    for version in client.groups(access):
        try:
            resources = client.discover(access, version)
        except NotFound:
            continue
        for one in resources:
            if {"list", "patch"} <= set(one["verbs"]) and one["name"] not in _SKIPPED:
                yield Kind(version, one["kind"], one["name"], bool(one["namespaced"]))
