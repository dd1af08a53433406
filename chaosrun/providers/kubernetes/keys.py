"""Keys of a ConfigMap or a Secret: changed and put back, for `kubernetes.config-change`.

Law (L9): of a Secret the hold knows only names. What its keys held is kept in another Secret,
made before the first change; without that one, nothing was changed. Law (L2): that one goes when
what it keeps was put back, and not before.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

from chaosrun.errors import Indeterminate, Refused
from chaosrun.fault import Evidence, Hold
from chaosrun.providers.kubernetes import marks
from chaosrun.providers.kubernetes.access import Access, access_of
from chaosrun.providers.kubernetes.answers import Exists
from chaosrun.providers.kubernetes.api import Kubernetes
from chaosrun.providers.kubernetes.kinds import SECRET, Object, Ref, uid_of

FAULT = "kubernetes.config-change"


def kept_in(ref: Ref) -> Ref:
    """The Secret that keeps what a Secret held before."""
    return Ref(SECRET, f"chaosrun-undo-{ref.name}", ref.namespace)


def before(
    client: Kubernetes,
    access: Access,
    ref: Ref,
    found: Object,
    wanted: dict[str, str],
    removed: Iterable[str],
) -> dict[str, Any]:
    """What the hold must know. Raises Refused where nothing would change."""
    marks.refuse_held(found, ref.label, FAULT, marks.OBJECT)
    data = dict(found.get("data") or {})
    if lost := sorted(set(removed) - set(data)):
        raise Refused(f"{ref.label} has no key {', '.join(lost)}")
    new = _encoded(ref, wanted)
    if all(data.get(name) == value for name, value in new.items()) and not removed:
        raise Refused(f"{ref.label} has these values already")
    if ref.kind is not SECRET:
        names = [*wanted, *removed]
        return {"before": {name: data.get(name) for name in sorted(names)}}
    if client.find(access, kept_in(ref)) is not None:
        raise Refused(
            f"{kept_in(ref).label} is there: another run has not put back what it changed",
            hint="`chaosrun status`, then `chaosrun recover`",
        )
    return {"changes": [name for name, value in new.items() if data.get(name) != value]}


def inject(hold: Hold, client: Kubernetes, ref: Ref) -> None:
    access, target = access_of(hold), hold.targets[0]
    earlier = _keep(hold, client, ref) if ref.kind is SECRET else hold.undo["before"]
    new = _encoded(ref, hold.undo["set"])

    def edit(found: Object) -> None:
        now = found.get("data") or {}
        if not marks.ours(found, hold) and (
            other := [name for name, value in earlier.items() if now.get(name) != value]
        ):
            raise Refused(f"{ref.label} has other values of {', '.join(other)} than when planned")
        data = {**now, **new}
        found["data"] = {k: v for k, v in data.items() if k in new or k not in hold.undo["names"]}
        marks.put(found, hold)

    client.change(access, ref, edit, uid=target.id)


def revert(hold: Hold, client: Kubernetes, ref: Ref) -> None:
    kept = _kept(hold, client, ref)
    earlier = _earlier(hold, ref, kept)

    def put_back(found: Object) -> None:
        if earlier is None:
            if marks.ours(found, hold):
                raise Indeterminate(_lost(ref))
            return  # it was put back, or never changed
        left = _left(hold, ref, found, earlier)
        data = dict(found.get("data") or {})
        for name in left:
            data.pop(name, None)
            if earlier[name] is not None:
                data[name] = earlier[name]
        if left:
            found["data"] = data

    marks.give_back(hold, client, ref, put_back)
    if kept is not None:
        client.delete(access_of(hold), kept_in(ref), uid_of(kept))


def took_effect(hold: Hold, client: Kubernetes, ref: Ref) -> Evidence:
    found = client.find(access_of(hold), ref, hold.targets[0].id)
    if found is None:
        return Evidence(False, f"{ref.label} is gone")
    data, new = found.get("data") or {}, _encoded(ref, hold.undo["set"])
    other = [name for name in hold.undo["names"] if data.get(name) != new.get(name)]
    said = f"{ref.label}: {len(hold.undo['names']) - len(other)} of {len(hold.undo['names'])} set"
    if other and marks.ours(found, hold):
        said += f"; somebody set back {', '.join(other)}"
    return Evidence(not other, said)


def restored(hold: Hold, client: Kubernetes, ref: Ref) -> Evidence:
    kept = _kept(hold, client, ref)
    if kept is not None:
        return Evidence(False, f"{kept_in(ref).label} is still there")
    found = marks.here(hold, client, ref)
    if found is None:
        return Evidence(True, f"{ref.label} was deleted meanwhile")
    again = f"{ref.label} has its own values again"
    if ref.kind is SECRET:
        earlier = dict.fromkeys(hold.undo["changes"])  # unknown, and not what we made them
        lost = marks.ours(found, hold) or _left(hold, ref, found, earlier)
        if lost or not marks.bears(found, hold):
            return Evidence(not lost, _lost(ref) if lost else again)
    if marks.bears(found, hold):
        return Evidence(False, f"{ref.label} is still marked")
    if left := _left(hold, ref, found, hold.undo["before"]):
        return Evidence(False, f"{ref.label} still has our values of {', '.join(left)}")
    data, own = found.get("data") or {}, hold.undo["before"]
    other = [name for name, value in own.items() if data.get(name) != value]
    said = f"{ref.label}: somebody else has set {', '.join(other)}" if other else again
    return Evidence(True, said)


def _earlier(hold: Hold, ref: Ref, kept: Object | None) -> dict[str, Any] | None:
    """What the keys held before; None for a Secret of which nothing is kept."""
    if ref.kind is not SECRET:
        return dict(hold.undo["before"])
    data = (kept or {}).get("data") or {}
    return None if kept is None else {name: data.get(name) for name in hold.undo["names"]}


def _left(hold: Hold, ref: Ref, found: Object, earlier: dict[str, Any]) -> list[str]:
    """The names that are as we made them, by our doing: not as before.

    Who took a key away, the API server does not keep: one that is not there is ours.
    """
    new, data = _encoded(ref, hold.undo["set"]), found.get("data") or {}
    return [
        name
        for name, value in earlier.items()
        if data.get(name) == new.get(name) != value
        and (name not in new or marks.by_us(found, hold, "data", name))
    ]


def _lost(ref: Ref) -> str:
    return f"{ref.label} is still changed, and {kept_in(ref).label} with its own values is gone"


def _encoded(ref: Ref, wanted: dict[str, str]) -> dict[str, str]:
    if ref.kind is not SECRET:
        return wanted
    return {name: base64.b64encode(value.encode()).decode() for name, value in wanted.items()}


def _keep(hold: Hold, client: Kubernetes, ref: Ref) -> dict[str, Any]:
    """Keep what is there now, unless it is kept already; what is kept."""
    access = access_of(hold)
    found = client.get(access, ref)
    if uid_of(found) != hold.targets[0].id:
        raise Refused(f"{ref.label} is another one than was planned")
    place, data = kept_in(ref), found.get("data") or {}
    body: Object = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": place.name, "namespace": place.namespace},
        "data": {name: data[name] for name in hold.undo["names"] if name in data},
    }
    marks.put(body, hold)
    kept: Object | None = body
    if marks.ours(found, hold):
        kept = _kept(hold, client, ref)
    else:
        try:
            client.create(access, place, body)
        except Exists:
            kept = _kept(hold, client, ref)
    if kept is None:
        raise Refused(f"{place.label} is not ours, or gone")
    return _earlier(hold, ref, kept) or {}


def _kept(hold: Hold, client: Kubernetes, ref: Ref) -> Object | None:
    """What we kept of a Secret, if it is there."""
    if ref.kind is not SECRET:
        return None
    found = client.find(access_of(hold), kept_in(ref))
    if found is None or marks.ours(found, hold):
        return found
    stripped = not marks.borne(found) and marks.by_us(found, hold, "type")
    return found if stripped else None
