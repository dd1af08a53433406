"""What a fault leaves on an object, so that it is known whose it is; and the sweep that finds it.

Law: the mark comes with the change, in one call, and goes with it. It is a label that names the
fault, and another by which the API server finds all that bear one. (Annotations would stay behind:
controllers copy those of a Deployment to its ReplicaSets, and a rollback copies them back.) Law
(L2): a change does not become somebody else's because the mark was taken off: the API server keeps
who was the last to set a field.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence

from chaosrun.errors import Refused
from chaosrun.fault import Found, Hold
from chaosrun.providers.kubernetes.access import Access, access_of
from chaosrun.providers.kubernetes.answers import NotFound
from chaosrun.providers.kubernetes.api import MANAGER, Kubernetes
from chaosrun.providers.kubernetes.kinds import Kind, Object, Ref, labels_of, meta, uid_of

LABEL = "chaosrun.dev/marked"
ANY = "*"
"""All faults, for `refuse_held`."""
OBJECT = "kubernetes.api-object"
"""A fault that changes whatever a person wrote."""
_ALIKE = (
    {"kubernetes.node-cordon", "kubernetes.node-drain", "kubernetes.zone-outage", OBJECT},
    {"kubernetes.container-kill", "kubernetes.pod-failure", OBJECT},
)
"""Faults that change the same of an object; any other is alike to itself."""
_PREFIX = "mark.chaosrun.dev/"
_FENCE = "fence"
"""What a mark says that stands for no change: see `give_back_at`."""
_SKIPPED = {"events", "componentstatuses"}


def key(hold: Hold) -> str:
    """The label of this hold; the name of one has at most 63 characters."""
    return f"{_PREFIX}{hold.mark[-63:].lstrip('-_.')}"


def put(found: Object, hold: Hold) -> None:
    """Mark an object that is about to be changed."""
    if not hold.mark:
        raise Refused("a hold without a mark cannot be injected")
    meta(found)["labels"] = {**labels_of(found), LABEL: "true", key(hold): hold.fault}


def take(found: Object, hold: Hold) -> None:
    """Take our mark, and no other."""
    labels = {k: v for k, v in labels_of(found).items() if k != key(hold)}
    if not any(name.startswith(_PREFIX) for name in labels):
        labels.pop(LABEL, None)
    if labels or "labels" in meta(found):
        meta(found)["labels"] = labels


def bears(found: Object, hold: Hold) -> bool:
    """Whether a mark of this hold is on it, for a change or as a fence."""
    return bool(hold.mark) and key(hold) in labels_of(found)


def ours(found: Object, hold: Hold) -> bool:
    """Whether it bears our mark: it was put there with our change."""
    return bears(found, hold) and labels_of(found)[key(hold)] != _FENCE


def borne(found: Object) -> dict[str, str]:
    """The marks of changes that it bears, ours or another run's, and whose fault each is."""
    return {mark: fault for mark, fault in _marks(found).items() if fault != _FENCE}


def _marks(found: Object) -> dict[str, str]:
    return {
        name.removeprefix(_PREFIX): fault
        for name, fault in labels_of(found).items()
        if name.startswith(_PREFIX)
    }


def by_us(found: Object, hold: Hold, *path: str) -> bool:
    """Whether a value there, if it is as the hold would have it, is our doing.

    It is where the object bears our mark. Somebody may have taken that off (a controller that
    writes labels whole): then it is where the API server says that chaosrun set the field
    last. A person who happened to set the same is kept by the API server as that person. Another
    run is not: what may be its doing, by the mark that stands there, is not ours.
    """
    return ours(found, hold) or (not anothers(found, hold) and _set_last_by_us(found, path))


def anothers(found: Object, hold: Hold) -> bool:
    """Whether a fault of another hold is on it that changes what this one changes."""
    alike = next((each for each in _ALIKE if hold.fault in each), {hold.fault, OBJECT})
    others = {by for mark, by in borne(found).items() if f"{_PREFIX}{mark}" != key(hold)}
    return bool(others) if hold.fault == OBJECT else not others.isdisjoint(alike)


def _set_last_by_us(found: Object, path: Sequence[str]) -> bool:
    """Whether `managedFields` says so; of a list or a map that is written whole, for all of it."""
    entries = found["metadata"].get("managedFields") or ()
    own = [each for each in entries if each.get("manager") == MANAGER]
    for depth in range(len(path), 0, -1):
        parts = [part for each in own if (part := _part(each, path[:depth])) is not None]
        if parts and depth == len(path):
            return True
        if parts:  # of a map that is written key by key, somebody else has that key
            every = [_part(each, path[:depth]) or {} for each in entries]
            return not any(key.startswith("f:") for part in every for key in part)
    return False


def _part(entry: Object, path: Sequence[str]) -> Object | None:
    fields: Object | None = entry.get("fieldsV1")
    for name in path:
        fields = (fields or {}).get(name if name.startswith("k:") else f"f:{name}")
    return fields


def refuse_held(found: Object, label: str, fault: str, *others: str) -> None:
    """Raise Refused for an object that such a fault has changed, and has not put back.

    Of two that undo the same field neither could tell what was there before both.
    """
    for mark, by in sorted(borne(found).items()):
        if by in (fault, *others) or ANY in others:
            raise Refused(
                f"{label} is changed by {by} of {mark} already",
                hint="wait until that has ended; `chaosrun recover` if its runner is gone",
            )


def here(hold: Hold, client: Kubernetes, ref: Ref) -> Object | None:
    """The object that was planned, or one that was made anew of it, our mark and all."""
    found = client.find(access_of(hold), ref)
    if found is None or uid_of(found) == hold.targets[0].id or ours(found, hold):
        return found
    return None


def give_back(hold: Hold, client: Kubernetes, ref: Ref, put_back: Callable[[Object], None]) -> None:
    """Undo the change of the hold's object, and take our mark. One that is gone needs nothing."""
    found = here(hold, client, ref)
    if found is not None:
        give_back_at(hold, client, ref, uid_of(found), put_back)


def give_back_at(
    hold: Hold, client: Kubernetes, ref: Ref, uid: str, put_back: Callable[[Object], None]
) -> None:
    """The same for the object with that UID.

    Where nothing of ours is there, a change of ours that nobody answered may still be on its way.
    It names the version that it changes, and is refused after any other change: so a label is put
    there, the fence, and taken (law L2). What may not be changed at all needs none.
    """
    fencing: list[bool] = []

    def edit(now: Object) -> None:
        before, marked = copy.deepcopy(now), bears(now, hold)
        put_back(now)
        take(now, hold)
        fencing[:] = [bool(hold.mark) and not marked and now == before]
        if fencing[0]:
            meta(now)["labels"] = {**labels_of(now), LABEL: "true", key(hold): _FENCE}

    access = access_of(hold)
    try:
        if bears(client.change(access, ref, edit, uid=uid), hold):
            client.change(access, ref, lambda now: take(now, hold), uid=uid)
    except NotFound:
        return
    except Refused:
        if fencing != [True]:
            raise


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
        for mark, fault in _marks(one).items():
            found.setdefault((mark, fault), set()).add(name)
    return tuple(
        Found(
            fault=fault,
            mark=mark,
            target=", ".join(sorted(names)),
            detail=f"labelled {_PREFIX}{mark} in cluster {access.cluster}",
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
